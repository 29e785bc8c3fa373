"""BSS Eval v4 from correlations that are computed once: the numbers of museval, many times faster, in little memory.

Stöter, Liutkus and Ito, "The 2018 Signal Separation Evaluation Campaign", LVA/ICA 2018, after Vincent et al.,
IEEE TASLP 14(4), 2006. As `museval.metrics.bss_eval` with `framewise_filters=False`, `compute_permutation=False` and
`bsseval_sources_version=False`: each estimate is projected onto its source, and onto all sources, delayed by 0 to 511
samples; the filters are those of the whole signal, the energies those of each window.

Both follow from the correlations of sources with sources and with estimates at lags of 0 to 511 samples. Those of the
whole signal are the blocks of the normal equations, which are Toeplitz, solved once for all estimates; with those of a
window, the energy of a filtered source is a scalar product with the filter's own correlation (x * h has energy sum over
lags of r_x r_h), one matrix product for all windows. Correlations add up over stretches of time, so audio is read once,
in any number of pieces, and only 512 numbers a pair of signals and window are kept.

Sources with next to nothing in a part of the spectrum, as decoders give them in floating point, leave the filters there
to rounding, and with them the SIR, whose interference is then what the cuts at a window's ends let through. It is as
near to museval's as museval's is to its own once the sources are listed in another order (tests/eval/test_bss_eval.py).
That takes museval's solver: LU, and least squares for what is singular (equal sources). The shortest filters, which
leave the empty part alone, have a SIR that is tens of dB higher.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.linalg import toeplitz

TAPS = 512
BLOCK = 8 * TAPS  # samples of a transform: short ones stay in the processor's cache


@dataclass(frozen=True)
class Windows:
    """The windows of BSS Eval v4, all numbers in samples. A signal no longer than a window is one window."""

    n_samples: int
    window: int
    hop: int

    @property
    def starts(self) -> np.ndarray:
        """First sample of each, int[windows]."""
        last = max(0, self.n_samples - self.window)
        return np.arange(0, last + 1, self.hop)

    @property
    def ends(self) -> np.ndarray:
        """The sample after the last of each, int[windows]."""
        return np.minimum(self.starts + self.window, self.n_samples)


@dataclass(frozen=True)
class Sums:
    """What a stretch of n sources, their n estimates and their mixture adds to the sums over windows.

    Attributes
    ----------
    first
        Window that the first row of `windows`, `energies` and `errors` belongs to.
    whole : float64[n, 2n + 1, TAPS]
        Sums over t of source i at t times signal j at t + lag; signals are sources, estimates, mixture.
    windows : float64[windows, n, 2n + 1, TAPS]
        The same within each window, signals silent outside.
    energies : float64[windows, n + 1]
        Of the estimates and of the mixture.
    errors : float64[windows, 2, n]
        Energies of source less its estimate, and of source less mixture.
    """

    first: int
    whole: np.ndarray
    windows: np.ndarray
    energies: np.ndarray
    errors: np.ndarray


def measure(audio: np.ndarray, start: int, stop: int, windows: Windows) -> Sums:
    """Sums of one stretch.

    Parameters
    ----------
    audio : float64[2n + 1, stop - start + 2 (TAPS - 1)]
        Sources, estimates in the sources' order, mixture, from sample start - (TAPS - 1); zeros outside the signal.
    start, stop
        The stretch, in samples.
    """
    n, around = len(audio) // 2, TAPS - 1
    starts, ends = windows.starts, windows.ends
    first, last = np.searchsorted(ends, start, "right"), np.searchsorted(starts, stop, "left")
    cuts = np.unique(np.clip(np.concatenate([[start, stop], starts, ends]), start, stop)).tolist()
    whole = np.zeros((n, len(audio), TAPS))
    sums = Sums(
        int(first),
        whole,
        np.zeros((last - first, *whole.shape)),
        np.zeros((last - first, n + 1)),
        np.zeros((last - first, 2, n)),
    )
    for begin, end in itertools.pairwise(cuts):
        piece = audio[:, begin - start + around : end - start + 2 * around]
        own = piece[:, : end - begin]
        found = _correlations(own[:n], piece)
        whole += found
        within = slice(
            max(int(np.searchsorted(ends, begin, "right") - first), 0),
            int(np.searchsorted(starts, end, "left") - first),
        )
        sums.windows[within] += found
        sums.energies[within] += np.einsum("kt,kt->k", own[n:], own[n:])
        sums.errors[within] += np.stack(
            [np.sum((own[:n] - other) ** 2, axis=1) for other in (own[n : 2 * n], own[2 * n :])]
        )
        for closed in np.flatnonzero(ends[first:last] == end):  # what lies after a window is silent to it
            beyond = audio[:, end - start : end - start + 2 * around].copy()
            beyond[:, :around] = 0
            sums.windows[closed] -= _correlations(audio[:n, end - start : end - start + around], beyond)
    return sums


def add(total: Sums | None, part: Sums, windows: Windows) -> Sums:
    """Add a stretch to the sums of a whole signal, None if it is the first; in any order."""
    if total is None:
        count = len(windows.starts)
        shapes = [each.shape[1:] for each in (part.windows, part.energies, part.errors)]
        total = Sums(0, np.zeros_like(part.whole), *(np.zeros((count, *shape)) for shape in shapes))
    rows = slice(part.first, part.first + len(part.windows))
    total.whole[:] += part.whole
    total.windows[rows] += part.windows
    total.energies[rows] += part.energies
    total.errors[rows] += part.errors
    return total


def bss_eval(sums: Sums) -> np.ndarray:
    """Scores from the sums of a whole signal.

    Returns
    -------
    float64[3, 2, n, windows]
        SDR, SIR and SAR in dB of each source's estimate, then of the mixture as each source's estimate; infinite
        where nothing is wrong, NaN where a source or what is scored is silent in the window.
    """
    n = len(sums.whole)
    pairs = [(i, i) for i in range(n)] + [(i, n) for i in range(n)]  # source, and which estimate or mixture
    own, joint = _filters(sums.whole)
    gram = sums.windows[:, :, :n].reshape(len(sums.windows), -1)
    weights, with_estimate = [], []
    for i, j in pairs:
        target = np.zeros((n, TAPS))
        target[i] = own[i, j]
        weights += [_weights(target), _weights(joint[j] - target), _weights(joint[j])]
        with_estimate.append(np.einsum("wil,il->w", sums.windows[:, :, n + j], joint[j]))
    energies = np.maximum(gram @ np.stack([each.ravel() for each in weights], axis=1), 0)
    targets, interference, projections = energies.reshape(-1, len(pairs), 3).transpose(2, 1, 0)
    estimates = np.stack([sums.energies[:, j] for _, j in pairs])
    artifacts = np.maximum(estimates - 2 * np.stack(with_estimate) + projections, 0)
    true = np.concatenate([np.einsum("wii->iw", sums.windows[:, :, :n, 0])] * 2)
    errors = sums.errors.reshape(len(gram), -1).T
    scores = np.stack(
        [_decibels(true, errors), _decibels(targets, interference), _decibels(projections, artifacts)]
    )
    silent = (true <= 0).any(axis=0) | (estimates <= 0)
    return np.where(silent, np.nan, scores).reshape(3, 2, n, -1)


def _filters(correlations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares filters from each source to each other signal, and from all sources together.

    Parameters
    ----------
    correlations : float64[n, n + m, TAPS]
        Of the sources with sources and with m other signals.

    Returns
    -------
    own : float64[n, m, TAPS]
    joint : float64[m, n, TAPS]
    """
    n = len(correlations)
    gram, right = correlations[:, :n].copy(), correlations[:, n:]
    gram[range(n), range(n), 0] += np.finfo(float).eps  # as museval does
    blocks = [[toeplitz(gram[i, j], gram[j, i]) for j in range(n)] for i in range(n)]
    own = np.stack([_solve(blocks[i][i], right[i].T).T for i in range(n)])
    joint = _solve(np.block(blocks), right.swapaxes(1, 2).reshape(n * TAPS, -1))
    return own, joint.T.reshape(-1, n, TAPS)


def _weights(filters: np.ndarray) -> np.ndarray:
    """What the sources' correlations, [n, n, TAPS], are weighted with in the energy of their filtered sum."""
    size = next_fast_len(2 * TAPS, real=True)
    spectra = rfft(filters, size)
    weights = irfft(spectra[:, None] * spectra.conj()[None], size)[..., :TAPS]
    weights[..., 1:] *= 2  # negative lags are the positive ones of the pair the other way round
    return weights


def _correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sums over t of `first[i, t] * second[j, t + lag]`, float64[len(first), len(second), TAPS].

    `second` begins with `first` and is TAPS - 1 samples longer.
    """
    length = first.shape[1]
    count = -(-length // (BLOCK - TAPS + 1))
    step = -(-length // count)
    size = next_fast_len(step + TAPS - 1, real=True)
    blocks = np.pad(first, [(0, 0), (0, count * step - length)]).reshape(len(first), count, step)
    longer = np.pad(second, [(0, 0), (0, (count - 1) * step + size - second.shape[1])])
    frames = np.lib.stride_tricks.sliding_window_view(longer, size, axis=-1)[:, ::step]
    spectra = np.einsum("ibf,jbf->ijf", rfft(blocks, size).conj(), rfft(frames, size))
    return irfft(spectra, size)[..., :TAPS]


def _solve(gram: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve normal equations as museval does."""
    try:
        return np.linalg.solve(gram, right)
    except np.linalg.LinAlgError:  # singular: the delayed sources depend on each other
        return np.linalg.lstsq(gram, right)[0]


def _decibels(wanted: np.ndarray, unwanted: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(unwanted > 0, 10 * np.log10(wanted / unwanted), np.inf)

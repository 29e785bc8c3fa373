"""BSS Eval v4 of one segment, with what the sources share computed once: the numbers of museval, several times faster.

Stöter, Liutkus and Ito, "The 2018 Signal Separation Evaluation Campaign", LVA/ICA 2018, after Vincent et al.,
IEEE TASLP 14(4), 2006. As `museval.metrics.bss_eval` with `framewise_filters=False`, `compute_permutation=False` and
`bsseval_sources_version=False`: each estimate is projected onto its source, and onto all sources, delayed by 0 to 511
samples; the filters are those of the whole signal, the energies those of each window. Where the delayed sources depend
on each other to the last digit (equal sources, or some that fill only a part of the spectrum and are not rounded to
16 bits), many filters fit alike: here the shortest is taken, by museval the one that rounding chooses.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.linalg import LinAlgError, cho_factor, cho_solve, toeplitz

TAPS = 512


def bss_eval(references: np.ndarray, estimates: np.ndarray, window: int, hop: int) -> np.ndarray:
    """Score one segment.

    Parameters
    ----------
    references, estimates : float64[n, n_samples]
        True and estimated sources, none silent.
    window, hop
        In samples. A signal no longer than a window is one window.

    Returns
    -------
    float64[3, n, windows]
        SDR, SIR and SAR in dB, infinite where nothing is wrong; NaN in a window where a signal is silent.
    """
    n, window = len(references), min(window, references.shape[1])
    onto_own, onto_all = _filters(references, estimates)
    size = 2 * next_fast_len((window + TAPS) // 2)  # even, no shorter than a filtered window
    onto_own, onto_all = rfft(onto_own, size), rfft(onto_all, size)
    frames = np.lib.stride_tricks.sliding_window_view(np.stack([references, estimates]), window, axis=-1)
    scores = np.full((3, n, (references.shape[1] - window) // hop + 1), np.nan)
    for w in range(scores.shape[2]):
        true, estimated = frames[:, :, w * hop]
        if not (true.any(axis=1).all() and estimated.any(axis=1).all()):
            continue
        sources, spectra = rfft(true, size), rfft(estimated, size)
        for i in range(n):
            target = sources[i] * onto_own[i]
            projection = np.einsum("jf,jf->f", sources, onto_all[i])
            error = true[i] - estimated[i]
            scores[:, i, w] = (
                _decibels(true[i] @ true[i], error @ error),
                _decibels(_energy(target), _energy(projection - target)),
                _decibels(_energy(projection), _energy(spectra[i] - projection)),
            )
    return scores


def _filters(references: np.ndarray, estimates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares filters to each estimate from its own source, [n, TAPS], and from every source, [n, n, TAPS]."""
    n = len(references)
    products = _correlations(references, np.concatenate([references, estimates]))
    gram, right = products[:, :n], products[:, n:]
    blocks = [[toeplitz(gram[i, j], gram[j, i]) for j in range(n)] for i in range(n)]
    own = np.stack([_solve(blocks[i][i], right[i, i]) for i in range(n)])
    joint = _solve(np.block(blocks), right.swapaxes(1, 2).reshape(n * TAPS, n))
    return own, joint.T.reshape(n, n, TAPS)


def _correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sums over t of `first[i, t] * second[j, t + lag]`, float64[len(first), len(second), TAPS]."""
    size = 8 * TAPS  # short blocks stay in the processor's cache
    step = size - TAPS + 1
    count = -(-first.shape[1] // step)
    blocks = np.pad(first, [(0, 0), (0, count * step - first.shape[1])]).reshape(len(first), count, step)
    longer = np.pad(second, [(0, 0), (0, (count - 1) * step + size - second.shape[1])])
    frames = np.lib.stride_tricks.sliding_window_view(longer, size, axis=-1)[:, ::step]
    spectra = np.einsum("ibf,jbf->ijf", rfft(blocks, size).conj(), rfft(frames, size))
    return irfft(spectra, size)[..., :TAPS]


def _solve(gram: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve the normal equations, `gram` positive but for rounding."""
    gram = gram + np.finfo(float).eps * np.eye(len(gram))
    try:
        return cho_solve(cho_factor(gram, check_finite=False), right, check_finite=False)
    except LinAlgError:  # the delayed sources depend on each other
        return np.linalg.lstsq(gram, right)[0]


def _energy(spectrum: np.ndarray) -> float:
    """Energy of a signal of even length from its half spectrum, times that length (Parseval)."""
    both = np.vdot(spectrum, spectrum).real * 2
    return both - abs(spectrum[0]) ** 2 - abs(spectrum[-1]) ** 2


def _decibels(wanted: float, unwanted: float) -> float:
    return 10 * np.log10(wanted / unwanted) if unwanted > 0 else np.inf

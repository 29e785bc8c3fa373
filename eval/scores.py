"""Separation scores of arrays: SI family, BSS Eval v4 and a spectral distance, each value with a status.

What each metric is
-------------------
si_sdr, si_sir, si_sar
    In dB, over the whole signal: SI-SDR of Le Roux et al., "SDR: half-baked or well done?", ICASSP 2019, with
    interference and artifacts split as in Vincent et al., IEEE TASLP 14(4), 2006, the allowed distortion being a
    gain. The values are those of `fast_bss_eval.si_bss_eval_sources` in float64.
si_sdr_improvement
    SI-SDR of the estimate less SI-SDR of the mixture, in dB.
v4_sdr, v4_sir, v4_sar
    In dB, a value a window, as BSS Eval v4 defines it (`eval.bss_eval`): one distortion filter of 512 taps for the
    whole signal, references as they are (the "images" version), no permutation of its own. The values are those of
    `museval.metrics.bss_eval`. This SDR counts every filtering, delay or gain as error; the SDR of v3's
    `bss_eval_sources` forgives them, and is another quantity.
mstft
    Multi-scale STFT distance (`eval.distances`), no unit, lower is better.

Values in dB are limited to ±100: beyond that they measure rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from eval.bss_eval import bss_eval
from eval.distances import multiscale_stft_distance

PROTOCOL_VERSION = (
    1  # a change of any score's definition counts it up, and old rows no longer mix with new ones
)
LIMIT_DB = 100.0
# Keeps the projection onto the sources defined where one is silent or two are equal; a score of 60 dB moves by 4e-9 dB.
DIAGONAL = 1e-15


@dataclass(frozen=True)
class Metric:
    """A metric's label and unit for tables and figures, and which way is better."""

    label: str
    unit: str = "dB"
    higher_is_better: bool = True


METRICS = {
    "si_sdr": Metric("SI-SDR"),
    "si_sir": Metric("SI-SIR"),
    "si_sar": Metric("SI-SAR"),
    "si_sdr_improvement": Metric("SI-SDR improvement"),
    "v4_sdr": Metric("SDR (BSS Eval v4)"),
    "v4_sir": Metric("SIR (BSS Eval v4)"),
    "v4_sar": Metric("SAR (BSS Eval v4)"),
    "mstft": Metric("multi-scale STFT distance", unit="", higher_is_better=False),
}
WINDOWED = ("v4_sdr", "v4_sir", "v4_sar")


class Score(NamedTuple):
    """One value. `window` is None for a score of the whole signal; `value` is NaN unless `status` is `ok`."""

    source: int
    metric: str
    window: int | None
    value: float
    status: str
    reason: str


def score_segments(
    references: np.ndarray,
    estimates: np.ndarray,
    mixtures: np.ndarray,
    sample_rate: int,
    *,
    window: float = 3.5,
    hop: float = 1.5,
    ordered: bool = True,
) -> list[list[Score]]:
    """Score a batch of separated signals with every metric.

    Parameters
    ----------
    references, estimates : float[b, n, n_samples]
        True and estimated sources. References are finite; an estimate that is not gets status `failed`.
    mixtures : float[b, n_samples]
        What was separated.
    sample_rate
        In Hz.
    window, hop
        Of BSS Eval v4, in seconds. A signal no longer than a window is one window.
    ordered
        Whether estimate i is source i; otherwise each segment takes its best permutation (`best_order`).

    Returns
    -------
    list[list[Score]]
        For each segment, every metric of every source, whatever its status: `silent` where a source or
        an estimate is digital silence, which no ratio is defined for, `failed` where there is no value
        for another reason.

    Raises
    ------
    ValueError
        If the shapes disagree.
    """
    if references.shape != estimates.shape or mixtures.shape != references[:, 0].shape:
        raise ValueError(f"shapes disagree: {references.shape}, {estimates.shape}, {mixtures.shape}")
    references, estimates, mixtures = (np.asarray(x, np.float64) for x in (references, estimates, mixtures))
    finite = np.all(np.isfinite(estimates), axis=-1)
    estimates = np.where(finite[..., None], estimates, 0)
    true, estimated, mixed = _coordinates(references, estimates, mixtures[:, None])
    if not ordered:
        order = _best_order(true, estimated)
        estimates, estimated = (
            np.take_along_axis(x, order[..., None], axis=1) for x in (estimates, estimated)
        )
        finite = np.take_along_axis(finite, order, axis=1)

    whole = _si_scores(true, estimated, mixed)
    # One signal at a time: the frames of a batch would not stay in the processor's cache.
    pairs = zip(references, estimates, strict=True)
    whole["mstft"] = np.array([[*map(multiscale_stft_distance, *pair)] for pair in pairs])
    frame, step = round(window * sample_rate), round(hop * sample_rate)
    scores = []
    for b in range(len(references)):
        troubles = [_trouble(*each) for each in zip(references[b], estimates[b], finite[b], strict=True)]
        scores.append(
            [
                Score(i, metric, None, *(trouble or _ok(values[b, i])))
                for i, trouble in enumerate(troubles)
                for metric, values in whole.items()
            ]
            + _v4_scores(references[b], estimates[b], troubles, frame, step)
        )
    return scores


def si_scores(
    references: np.ndarray, estimates: np.ndarray, mixtures: np.ndarray, ordered: bool = False
) -> dict[str, np.ndarray]:
    """The SI family alone, for what needs no more.

    Parameters
    ----------
    references, estimates : float[b, n, n_samples]
        Finite.
    mixtures : float[b, n_samples]
    ordered
        Whether estimate i is source i; otherwise each segment takes its best permutation.

    Returns
    -------
    dict of float64[b, n]
        By metric, in dB; NaN where a source or its estimate is silent.
    """
    true, estimated, mixed = _coordinates(references, estimates, mixtures[:, None])
    if not ordered:
        estimated = np.take_along_axis(estimated, _best_order(true, estimated)[..., None], axis=1)
    sounding = true.any(axis=-1) & estimated.any(axis=-1)
    return {
        metric: np.where(sounding, values, np.nan)
        for metric, values in _si_scores(true, estimated, mixed).items()
    }


def best_order(references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """Permutation of the estimates with the highest mean SI-SDR.

    A silent reference or estimate, which has no SI-SDR, leaves the choice to the others.

    Parameters
    ----------
    references, estimates : float[b, n, n_samples]
        Finite.

    Returns
    -------
    int[b, n]
        `estimates[b, order[b, i]]` is the estimate of source i.
    """
    return _best_order(*_coordinates(references, estimates))


def n_windows(n_samples: int, window: int, hop: int) -> int:
    """How many windows BSS Eval v4 cuts a signal into; all in samples."""
    return 1 if window >= n_samples else (n_samples - window) // hop + 1


def failed_scores(n_sources: int, windows: int, reason: str) -> list[Score]:
    """The scores of a segment without estimates: every metric of every source, `failed` with the reason."""
    return [
        Score(source, metric, window, np.nan, "failed", reason)
        for source in range(n_sources)
        for metric in METRICS
        for window in (range(windows) if metric in WINDOWED else [None])
    ]


def _coordinates(*signals: np.ndarray) -> list[np.ndarray]:
    """Signals, scaled to norm 1, in coordinates of the space that all of them span.

    The SI family depends on angles alone, and these few numbers have the same angles as the audio: one
    pass over it serves every score of a whole batch.

    Parameters
    ----------
    signals : float64[b, k, n_samples]

    Returns
    -------
    list[float64[b, k, d]]
        With d the number of signals in all; silence is all zeros.
    """
    audio = np.concatenate(signals, axis=1, dtype=np.float64)
    products = np.stack([each @ each.T for each in audio])
    norms = np.sqrt(np.diagonal(products, axis1=1, axis2=2))
    scale = np.divide(1, norms, where=norms > 0, out=np.zeros_like(norms))
    values, vectors = np.linalg.eigh(products * scale[:, :, None] * scale[:, None, :])
    coordinates = vectors * np.sqrt(np.maximum(values, 0))[:, None, :]
    coordinates[norms == 0] = 0
    return np.split(coordinates, np.cumsum([x.shape[1] for x in signals])[:-1], axis=1)


def _best_order(references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    pairs = references[:, :, None], estimates[:, None]
    sounding = pairs[0].any(axis=-1) & pairs[1].any(axis=-1)
    scores = np.where(sounding, _si_sdr(*pairs), 0)
    return np.stack([linear_sum_assignment(score, maximize=True)[1] for score in scores])


def _si_scores(references: np.ndarray, estimates: np.ndarray, mixtures: np.ndarray) -> dict[str, np.ndarray]:
    """The SI family of a batch, of signals of norm 1: float64[b, n] a metric."""
    gram = references @ references.swapaxes(1, 2) + DIAGONAL * np.eye(references.shape[1])
    weights = np.linalg.solve(gram, references @ estimates.swapaxes(1, 2))
    projections = weights.swapaxes(1, 2) @ references
    targets = _onto(references, estimates)
    sdr = _si_sdr(references, estimates)
    return {
        "si_sdr": sdr,
        "si_sir": _decibels(targets, projections - targets),
        "si_sar": _decibels(projections, estimates - projections),
        "si_sdr_improvement": sdr - _si_sdr(references, mixtures),
    }


def _onto(references: np.ndarray, signals: np.ndarray) -> np.ndarray:
    """Projections onto references of norm 1."""
    return np.sum(references * signals, axis=-1, keepdims=True) * references


def _si_sdr(references: np.ndarray, signals: np.ndarray) -> np.ndarray:
    targets = _onto(references, signals)
    return _decibels(targets, signals - targets)


def _decibels(wanted: np.ndarray, unwanted: np.ndarray) -> np.ndarray:
    """Ratio of the energies of float64[..., d], within the limit; NaN where both are silent."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sum(wanted**2, axis=-1) / np.sum(unwanted**2, axis=-1)
        return np.clip(10 * np.log10(ratio), -LIMIT_DB, LIMIT_DB)


def _trouble(reference: np.ndarray, estimate: np.ndarray, finite: bool) -> tuple[float, str, str] | None:
    """Why a source has no score, as (value, status, reason), or None."""
    if not finite:
        return np.nan, "failed", "the estimate holds samples that are not finite"
    if not reference.any():
        return np.nan, "silent", "the source is silent"
    if not estimate.any():
        return np.nan, "silent", "the estimate is silent"
    return None


def _ok(value: float) -> tuple[float, str, str]:
    return (float(value), "ok", "") if np.isfinite(value) else (np.nan, "failed", "the score is not a number")


def _v4_scores(
    references: np.ndarray, estimates: np.ndarray, troubles: list[tuple | None], window: int, hop: int
) -> list[Score]:
    """BSS Eval v4 of one segment. Where one source is silent it scores none, and their rows say so."""
    n, n_samples = references.shape
    count = n_windows(n_samples, window, hop)
    values = np.full((len(WINDOWED), n, count), np.nan)
    blame = [[trouble] * count for trouble in troubles]
    if any(troubles):
        _, status, reason = next(filter(None, troubles))
        others = (np.nan, status, f"of another source here: {reason}")
        blame = [[trouble or others] * count for trouble in troubles]
    else:
        values = np.clip(bss_eval(references, estimates, window, hop), -LIMIT_DB, LIMIT_DB)
        mute = (np.nan, "silent", "a source or estimate is silent in this window")
        blame = [[mute if np.isnan(each).all() else None for each in values[0].T]] * n
    return [
        Score(i, metric, w, *(blame[i][w] or _ok(values[m, i, w])))
        for i in range(n)
        for m, metric in enumerate(WINDOWED)
        for w in range(count)
    ]

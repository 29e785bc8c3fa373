"""Separation scores: what each metric and status means, and the SI family of arrays; `eval.songs` has all of a song.

What each metric is
-------------------
si_sdr, si_sir, si_sar
    In dB, over the whole signal: SI-SDR of Le Roux et al., "SDR: half-baked or well done?", ICASSP 2019, with
    interference and artifacts split as in Vincent et al., IEEE TASLP 14(4), 2006, the allowed distortion being a
    gain. The values are those of `fast_bss_eval.si_bss_eval_sources` in float64.
si_sdr_improvement
    SI-SDR of the estimate less SI-SDR of the mixture, in dB.
v4_sdr, v4_sir, v4_sar
    In dB, a value per window, as BSS Eval v4 defines it (`eval.bss_eval`): one distortion filter of 512 taps for the
    whole signal, references as they are (the "images" version), no permutation of its own. The values are those of
    `museval.metrics.bss_eval`. This SDR counts every filtering, delay or gain as error; the SDR of v3's
    `bss_eval_sources` forgives them, and is another quantity.
mstft
    Multi-scale STFT distance (`eval.distances`), no unit, lower is better.

Values in dB are limited to ±100 (`CAP_DB`): beyond that they measure rounding.

What has no score, and what a failure scores
--------------------------------------------
A source is `silent`, without values, if it is digital silence, one bit of dither (no sample over one step of its
file's, or of 16 bits at 60 dB under the loudest source), or if its channels cancel in the mono average that is scored
(60 dB under the channels). An estimate that is silent or not finite where its source sounds has `failed`: its ratios
are those of the mixture or 0 dB (what silence has as SDR), whichever is lower, its spectral distance that of silence.
The same holds for BSS Eval v4 in a window in which the estimate is silent; museval leaves such windows out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

PROTOCOL_VERSION = (
    2  # a change of any score's definition counts it up, and old rows no longer mix with new ones
)
CAP_DB = 100.0
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
    """One value. `window` is None for a score of the whole signal.

    `value` is NaN where `status` is `silent`, or `failed` without any estimate.
    """

    source: int
    metric: str
    window: int | None
    value: float
    status: str
    reason: str


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
        By metric, in dB; NaN where a source is silent. A silent estimate scores as a failure does.
    """
    true, estimated, mixed = _coordinates(references, estimates, mixtures[:, None])
    if not ordered:
        estimated = np.take_along_axis(estimated, order_of(true, estimated)[..., None], axis=1)
    fallback, silent = si_of_failure(true, mixed), ~true.any(axis=-1)
    return {
        metric: np.where(silent, np.nan, np.where(estimated.any(axis=-1), values, fallback[metric]))
        for metric, values in si_family(true, estimated, mixed).items()
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
    return order_of(*_coordinates(references, estimates))


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
    return split(coordinates_of(products), [x.shape[1] for x in signals])


def coordinates_of(products: np.ndarray) -> np.ndarray:
    """Such coordinates from the signals' products with each other, float64[..., k, k] -> float64[b, k, k]."""
    products = products.reshape(-1, *products.shape[-2:])
    norms = np.sqrt(np.diagonal(products, axis1=1, axis2=2))
    scale = np.divide(1, norms, where=norms > 0, out=np.zeros_like(norms))
    values, vectors = np.linalg.eigh(products * scale[:, :, None] * scale[:, None, :])
    coordinates = vectors * np.sqrt(np.maximum(values, 0))[:, None, :]
    coordinates[norms == 0] = 0
    return coordinates


def split(coordinates: np.ndarray, counts: Sequence[int]) -> list[np.ndarray]:
    """The coordinates of so many signals each."""
    return np.split(coordinates, np.cumsum(counts)[:-1], axis=1)


def order_of(references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """`best_order` of signals of norm 1, or 0 if silent."""
    pairs = references[:, :, None], estimates[:, None]
    sounding = pairs[0].any(axis=-1) & pairs[1].any(axis=-1)
    scores = np.where(sounding, _si_sdr(*pairs), 0)
    return np.stack([linear_sum_assignment(score, maximize=True)[1] for score in scores])


def si_family(references: np.ndarray, estimates: np.ndarray, mixtures: np.ndarray) -> dict[str, np.ndarray]:
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


def si_of_failure(references: np.ndarray, mixtures: np.ndarray) -> dict[str, np.ndarray]:
    """The SI family of an estimate that has failed: the mixture's or 0 dB, whichever is lower."""
    of_mixture = si_family(references, np.broadcast_to(mixtures, references.shape), mixtures)
    scores = {metric: np.fmin(values, 0) for metric, values in of_mixture.items()}
    return scores | {"si_sdr_improvement": scores["si_sdr"] - of_mixture["si_sdr"]}


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
        return np.clip(10 * np.log10(ratio), -CAP_DB, CAP_DB)

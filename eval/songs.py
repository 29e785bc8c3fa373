"""All scores of a song, from sums over its stretches: order, silence, failures, delays, then every metric."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from eval.bss_eval import Sums, Windows, bss_eval
from eval.delay import find_delays
from eval.distances import distances
from eval.scores import CAP_DB, WINDOWED, Score, coordinates_of, order_of, si_family, si_of_failure, split
from eval.stretches import Piece, Survey, measure_stretch, stretches, survey_stretch, total

STEP_16_BITS = 2.0**-15
STEPS_OF_DITHER = 1.5  # a sample of one step, however files scale it, and no sample of two
INAUDIBLE = 1e-3  # amplitude beside what sounds: -60 dB


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
        For each segment, every metric of every source, whatever its status.

    Raises
    ------
    ValueError
        If the shapes disagree.
    """
    if references.shape != estimates.shape or mixtures.shape != references[:, 0].shape:
        raise ValueError(f"shapes disagree: {references.shape}, {estimates.shape}, {mixtures.shape}")
    windows = Windows(mixtures.shape[1], round(window * sample_rate), round(hop * sample_rate))
    scores = []
    for signals in zip(references, estimates, mixtures, strict=True):
        read = _reader(*signals)
        parts = stretches(windows.n_samples)
        survey = functools.reduce(operator.add, (survey_stretch(read, *part, sample_rate) for part in parts))
        outlook = look_over(survey, sample_rate, ordered=ordered)
        measured = (measure_stretch(read, *part, outlook.order, outlook.failed, windows) for part in parts)
        scores.append(score_song(outlook, *total(measured, windows)))
    return scores


@dataclass(frozen=True)
class Outlook:
    """What a song's survey says before its windows are measured.

    Attributes
    ----------
    order : int[n]
        `order[i]` is the estimate of source i.
    silent : list of str
        Why each source has no score, or empty.
    failed : list of str
        Why each source's estimate has failed, or empty.
    delays : int[n]
        Of each source's estimate in samples, positive if it is late.
    whole : dict of float64[2, n]
        The SI family of each source's estimate, and what it is if that has failed.
    """

    order: np.ndarray
    silent: list[str]
    failed: list[str]
    delays: np.ndarray
    whole: dict[str, np.ndarray]


def look_over(survey: Survey, sample_rate: int, *, ordered: bool, steps: Sequence[float] = ()) -> Outlook:
    """Order the estimates, and find what is silent, has failed or is late.

    Parameters
    ----------
    survey
        Of the whole song.
    sample_rate
        In Hz.
    ordered
        As for `score_segments`.
    steps
        The references' `eval.stems.Info.step`; none of signals that are no files.
    """
    n = len(survey.finite)
    silent = _silent_sources(survey, np.array([*steps] or [0.0] * n))
    products = survey.products.copy()
    for i in (*np.flatnonzero(silent), *(n + np.flatnonzero(~survey.finite))):
        products[i], products[:, i] = 0, 0
    true, estimated, mixed = split(coordinates_of(products), (n, n, 1))
    order = np.arange(n) if ordered else order_of(true, estimated)[0]
    scores, fallback = si_family(true, estimated[:, order], mixed), si_of_failure(true, mixed)
    failed = []
    for i in order:
        if not survey.finite[i]:
            failed.append("the estimate holds samples that are not finite")
        elif survey.highs[n + i] > survey.lows[n + i]:
            failed.append("")
        else:
            cancels = survey.channels[n + i] > 0
            failed.append("the estimate's channels cancel in mono" if cancels else "the estimate is silent")
    return Outlook(
        order,
        silent,
        failed,
        find_delays(survey.spectra, sample_rate)[order],
        {metric: np.concatenate([values, fallback[metric]]) for metric, values in scores.items()},
    )


def score_song(outlook: Outlook, sums: Sums, spectral: np.ndarray) -> list[Score]:
    """Every score of one song.

    Parameters
    ----------
    outlook
    sums, spectral
        `eval.stretches.measure_stretch`, of the whole song.
    """
    n = len(outlook.order)
    whole = outlook.whole | {"mstft": np.stack([distances(spectral)] * 2)}
    v4 = np.full((3, 2, n, len(sums.windows)), np.nan)
    if not any(outlook.silent):
        v4 = np.clip(bss_eval(sums), -CAP_DB, CAP_DB)
    v4[:, 1] = np.fmin(v4[:, 1], 0)
    mute = np.einsum("wiil->wil", sums.windows[:, :, :n])[..., 0].min(axis=1) <= 0
    scores = []
    for i, (silent, failed) in enumerate(zip(outlook.silent, outlook.failed, strict=True)):
        for metric, values in whole.items():
            scores.append(Score(i, metric, None, *_judged(values[:, i], silent, failed)))
        missing = sums.energies[:, i] <= 0
        other = next((f"of another source here: {reason}" for reason in outlook.silent if reason), "")
        for metric, found in zip(WINDOWED, v4[:, :, i], strict=True):
            for w in range(len(mute)):
                why = silent or other or ("a source is silent in this window" if mute[w] else "")
                gone = failed or ("the estimate is silent in this window" if missing[w] else "")
                scores.append(Score(i, metric, w, *_judged(found[:, w], why, gone)))
    return scores


def _reader(
    references: np.ndarray, estimates: np.ndarray, mixture: np.ndarray
) -> Callable[[int, int], Piece]:
    """Arrays as files are read."""
    n_samples = references.shape[1]
    finite = np.isfinite(estimates).all(axis=1)
    audio = np.concatenate(
        [references, np.where(finite[:, None], estimates, 0), mixture[None]], dtype=np.float64
    )

    def read(start: int, stop: int) -> Piece:
        piece = np.pad(
            audio[:, max(start, 0) : min(stop, n_samples)],
            [(0, 0), (max(0, -start), max(0, stop - n_samples))],
        )
        energies = np.sum(piece**2, axis=1)
        return Piece(piece, energies, energies, finite)

    return read


def _silent_sources(survey: Survey, steps: np.ndarray) -> list[str]:
    """Why each source has no score, or empty."""
    n = len(survey.finite)
    peaks = (survey.highs - survey.lows)[:n] / 2  # a constant offset is no sound
    inaudible = np.where(peaks.max() * INAUDIBLE > STEP_16_BITS, STEP_16_BITS, 0)
    dither = peaks <= STEPS_OF_DITHER * np.maximum(steps, inaudible)
    cancel = survey.mono[:n] < INAUDIBLE**2 * survey.channels[:n]
    loud = survey.channels[:n] > 0
    return [
        "the source's channels cancel in mono"
        if cancel[i] or (dither[i] and loud[i] and survey.mono[i] < survey.channels[i] / 100)
        else "the source is silent"
        if dither[i]
        else ""
        for i in range(n)
    ]


def _judged(found: np.ndarray, silent: str, failed: str) -> tuple[float, str, str]:
    """Value, status and reason, from the score of an estimate and what it scores if it has failed."""
    if silent:
        return np.nan, "silent", silent
    value, fallback = map(float, found)
    if failed:
        return fallback, "failed", failed
    return (value, "ok", "") if np.isfinite(value) else (np.nan, "failed", "the score is not a number")

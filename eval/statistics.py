"""Intervals and tests over tracks: segments of one song are no independent observations."""

from __future__ import annotations

import warnings

import numpy as np

CONFIDENCE = 0.95
ALPHA = 0.05


def resampled_counts(n_tracks: int, resamples: int, seed: int) -> np.ndarray:
    """Bootstrap draws: how often each track is drawn, int[resamples, n_tracks]. One set serves every row of a table."""
    draws = np.random.default_rng(seed).integers(n_tracks, size=(resamples, n_tracks))
    counts = np.zeros((resamples, n_tracks), int)
    np.add.at(counts, (np.arange(resamples)[:, None], draws), 1)
    return counts


def mean_interval(sums: np.ndarray, counts: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % percentile interval of a mean over values that belong to tracks, whole tracks resampled.

    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13, on clusters.

    Parameters
    ----------
    sums, counts : float[k, n_tracks]
        Sum and number of the values of each track; a track without any counts 0.
    draws : int[resamples, n_tracks]
        From `resampled_counts`.

    Returns
    -------
    low, high : float64[k]
        NaN where fewer than two tracks have values.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (np.nan_to_num(sums) @ draws.T) / (counts @ draws.T)
    return _percentiles(means, (counts > 0).sum(1))


def median_interval(values: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % percentile interval of a median over tracks.

    Parameters
    ----------
    values : float[k, n_tracks]
        One value a track, or NaN.
    draws : int[resamples, n_tracks]
        From `resampled_counts`.

    Returns
    -------
    low, high : float64[k]
        NaN where fewer than two tracks have values.
    """
    tracks = np.stack([np.repeat(np.arange(values.shape[1]), drawn) for drawn in draws])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a resample may hold no value at all
        medians = np.array([np.nanmedian(row[tracks], axis=1) for row in values]).reshape(len(values), -1)
    return _percentiles(medians, np.isfinite(values).sum(1))


def wilcoxon_p(differences: np.ndarray) -> np.ndarray:
    """Two-sided p of Wilcoxon's signed-rank test (Biometrics Bulletin 1(6), 1945) that paired differences centre on 0.

    Parameters
    ----------
    differences : float[k, n_tracks]
        NaN where a pair is incomplete. Zeros are left out, as Wilcoxon did.

    Returns
    -------
    float64[k]
        1 where no difference is left.
    """
    from scipy.stats import wilcoxon

    differences = np.round(differences, 9)  # what is equal but for rounding is a tie
    p = np.ones(len(differences))
    for i, row in enumerate(differences):
        kept = row[np.isfinite(row) & (row != 0)]
        if len(kept):
            p[i] = wilcoxon(kept).pvalue
    return p


def holm(p: np.ndarray) -> np.ndarray:
    """p values corrected for being several: Holm, Scandinavian Journal of Statistics 6(2), 1979."""
    order = np.argsort(p)
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(raised, 1)
    return corrected


def _percentiles(estimates: np.ndarray, n_tracks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tail = (1 - CONFIDENCE) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a row without values has none
        low, high = (
            np.nanquantile(estimates, [tail, 1 - tail], axis=1) if len(estimates) else np.empty((2, 0))
        )
    enough = n_tracks > 1
    return np.where(enough, low, np.nan), np.where(enough, high, np.nan)

"""Intervals and tests over tracks: segments of one song are no independent observations."""

from __future__ import annotations

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
ALPHA = 0.05


def resampled_counts(n_tracks: int, resamples: int, seed: int) -> np.ndarray:
    """Bootstrap draws: how often each track is drawn, int[resamples, n_tracks]. One set serves every row of a table."""
    draws = np.random.default_rng(seed).integers(n_tracks, size=(resamples, n_tracks))
    counts = np.zeros((resamples, n_tracks), int)
    np.add.at(counts, (np.arange(resamples)[:, None], draws), 1)
    return counts


def mean_interval(sums: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of a mean over values that belong to tracks: Student's t with the jackknife's standard error.

    Whole tracks are left out in turn (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 11). With as
    many values in every track this is the t interval of the tracks' means. How often it covers the truth:
    `benchmarks/coverage.csv`.

    Parameters
    ----------
    sums, counts : float[k, n_tracks]
        Sum and number of the values of each track; a track without any counts 0.

    Returns
    -------
    low, high : float64[k]
        NaN where fewer than two tracks have values.
    """
    n_tracks, total = (counts > 0).sum(1), counts.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums.sum(1) / total
        shifts = (means[:, None] * counts - sums) / (
            total[:, None] - counts
        )  # of the mean without each track
        error = np.sqrt((n_tracks - 1) / n_tracks * (shifts**2).sum(1))
    margin = stats.t.ppf((1 + CONFIDENCE) / 2, n_tracks - 1) * error
    enough = n_tracks > 1
    return np.where(enough, means - margin, np.nan), np.where(enough, means + margin, np.nan)


def median_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of a median over tracks, between interpolated order statistics.

    Hettmansperger and Sheather, Confidence intervals based on interpolated order statistics, Statistics and
    Probability Letters 4(2), 1986.

    Parameters
    ----------
    values : float[k, n_tracks]
        One value per track, or NaN.

    Returns
    -------
    low, high : float64[k]
        NaN where fewer than six tracks have values: the range of five covers the median 94 % of the time.
    """
    bounds = np.full((2, len(values)), np.nan)
    n_tracks = np.isfinite(values).sum(1)
    for n in np.unique(n_tracks[n_tracks > 5]):
        mine = n_tracks == n
        ordered = np.sort(values[mine], axis=1)[:, :n]  # NaN comes last
        depth = int(stats.binom.ppf((1 - CONFIDENCE) / 2, n, 0.5))
        outer, inner = (1 - 2 * stats.binom.cdf(d - 1, n, 0.5) for d in (depth, depth + 1))
        share = (outer - CONFIDENCE) / (outer - inner)
        weight = (n - depth) * share / (depth + (n - 2 * depth) * share)
        for bound, ends in zip(bounds, (ordered, ordered[:, ::-1]), strict=True):
            bound[mine] = (1 - weight) * ends[:, depth - 1] + weight * ends[:, depth]
    return bounds[0], bounds[1]


def wilcoxon_p(differences: np.ndarray) -> np.ndarray:
    """Two-sided p of Wilcoxon's signed-rank test (Biometrics Bulletin 1(6), 1945) that paired differences centre on 0.

    Exact unless differences are tied: then exact up to 13 of them, from there on by the normal approximation.

    Parameters
    ----------
    differences : float[k, n_tracks]
        NaN where a pair is incomplete. Zeros are left out, as Wilcoxon did.

    Returns
    -------
    float64[k]
        1 where every difference is zero, NaN where there is none.
    """
    differences = np.round(differences, 9)  # what is equal but for rounding is a tie
    p = np.full(len(differences), np.nan)
    for i, row in enumerate(differences):
        found = row[np.isfinite(row)]
        kept = found[found != 0]
        if len(kept):
            tied = len(np.unique(np.abs(kept))) < len(kept)
            # Either sign has the same p, but SciPy takes the upper tail from 1, which leaves 0 of a small one.
            if (stats.rankdata(np.abs(kept)) * np.sign(kept)).sum() > 0:
                kept = -kept
            p[i] = stats.wilcoxon(kept, method="auto" if tied else "exact").pvalue
        elif len(found):
            p[i] = 1
    return p


def holm(p: np.ndarray) -> np.ndarray:
    """p values corrected for being several: Holm, Scandinavian Journal of Statistics 6(2), 1979. NaN is no test."""
    order = np.argsort(p)[: np.isfinite(p).sum()]  # NaN comes last
    corrected = np.full(len(p), np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return corrected

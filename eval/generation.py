"""How near a set of generated clips is to real ones, and into a table with intervals.

Sets are compared by the Fréchet distance of their embeddings (Heusel et al., NeurIPS 2017), precision and recall
(Kynkäänniemi et al., NeurIPS 2019), density and coverage (Naeem et al., ICML 2020). All of these depend on how many
clips there are: sets of fewer than `LEAST_CLIPS` have none, and all others should be of one size. No clip is compared
with its own song: the real songs are cut into two halves by track, and clips of the one half's songs, or half of the
clips that belong to none of them, are compared with the other half, and the reverse. The real songs by themselves, one
half against the other, show what no set can be expected to pass.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from eval.statistics import mean_interval, resampled_counts

NEIGHBOURS = 5  # Naeem et al.
LEAST_CLIPS = 256
REFERENCE = "real"  # the clips of training songs with which every set is compared, themselves too
NEIGHBOURHOOD_METRICS = ("precision", "density", "recall", "coverage")
EMBEDDING_COLUMNS = ["set", "space", "clip", "track", "half"]  # and e0, e1, ...
ROW_COLUMNS = ["set", "space", "metric", "clip", "track", "value"]
TABLE_COLUMNS = ["set", "space", "metric", "value", "ci_low", "ci_high", "n", "n_real", "note"]


def frechet(real: np.ndarray, made: np.ndarray) -> float:
    """Squared Fréchet distance of the Gaussians fitted to two sets of embeddings, float64[n, d] each.

    ||m1 - m2||^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), Heusel et al. 2017 after Dowson & Landau 1982; NaN for sets of one.
    """
    return float(_weighted_frechet(real, np.ones((1, len(real))), made, np.ones((1, len(made))))[0])


def _weighted_frechet(
    real: np.ndarray, real_weights: np.ndarray, made: np.ndarray, made_weights: np.ndarray
) -> np.ndarray:
    """`frechet` of sets in which each item is there as often as weights [resamples, n] say: float64[resamples]."""
    (mean1, cov1), (mean2, cov2) = _moments(real, real_weights), _moments(made, made_weights)
    result = np.full(len(mean1), np.nan)
    good = np.isfinite(cov1).all((1, 2)) & np.isfinite(cov2).all((1, 2))
    root = _root(cov1[good])
    cross = np.linalg.eigvalsh(root @ cov2[good] @ root)
    trace = np.trace(cov1[good] + cov2[good], axis1=1, axis2=2) - 2 * np.sqrt(np.maximum(cross, 0)).sum(1)
    result[good] = np.maximum(((mean1 - mean2)[good] ** 2).sum(1) + trace, 0)
    return result


def _moments(items: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means [resamples, d] and covariances [resamples, d, d], the latter NaN for fewer than two items."""
    count = weights.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = weights @ items / count[:, None]
        square = np.einsum("rn,ni,nj->rij", weights, items, items, optimize=True)
        outer = count[:, None, None] * mean[:, :, None] * mean[:, None, :]
        covariance = (square - outer) / (count - 1)[:, None, None]
    covariance[count < 2] = np.nan
    return mean, covariance


def _root(matrices: np.ndarray) -> np.ndarray:
    """Square roots of symmetric positive semidefinite matrices [..., d, d]."""
    values, vectors = np.linalg.eigh(matrices)
    return (vectors * np.sqrt(np.maximum(values, 0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)


def neighbourhoods(real: np.ndarray, made: np.ndarray, k: int = NEIGHBOURS) -> dict[str, np.ndarray]:
    """Precision, recall, density and coverage, clip by clip; each score is the mean of its array.

    An item's ball reaches to its k-th nearest neighbour in its own set (to its farthest in a smaller set).

    Parameters
    ----------
    real : float64[n, d]
    made : float64[m, d]
    k

    Returns
    -------
    precision : float64[m]
        1 where a made clip lies in the ball of any real one.
    density : float64[m]
        In how many balls of real clips it lies, over k.
    recall : float64[n]
        1 where a real clip lies in the ball of any made one.
    coverage : float64[n]
        1 where any made clip lies in the real clip's ball.
        All NaN where a set whose balls are needed has fewer than two items.
    """
    between = cdist(real, made)
    in_real, in_made = between <= _radii(real, k)[:, None], between <= _radii(made, k)[None]
    scores = {
        "precision": in_real.any(0).astype(float),
        "density": in_real.sum(0) / min(k, max(len(real) - 1, 1)),
        "recall": in_made.any(1).astype(float),
        "coverage": in_real.any(1).astype(float),
    }
    for name, score in scores.items():
        if len(made if name == "recall" else real) < 2:
            score[:] = np.nan
    return scores


def _radii(items: np.ndarray, k: int) -> np.ndarray:
    if len(items) < 2:
        return np.zeros(len(items))
    distances = np.sort(cdist(items, items), axis=1)  # the first is the item's own, 0
    return distances[:, min(k, len(items) - 1)]


def generation_table(
    embeddings: pd.DataFrame, rows: pd.DataFrame, resamples: int, seed: int, task: str
) -> pd.DataFrame:
    """Scores of each set, with 95 % intervals over tracks; a clip of no song is its own track.

    Parameters
    ----------
    embeddings
        Of the real clips (set `REFERENCE`) and of every set to compare with them: `EMBEDDING_COLUMNS`, and e0, e1, ...
    rows
        Values of single clips, whose mean is the score: `ROW_COLUMNS`.
    resamples, seed
        Of the bootstrap of Fréchet distances.
    task
        Name for the rows.

    Returns
    -------
    DataFrame
        `TABLE_COLUMNS`. `n` counts the clips of the set, `n_real` the real ones that it was compared with; `note` says
        why there is no value. A Fréchet distance's interval is 1.96 bootstrap standard errors to each side, since a
        resample repeats clips, which by itself raises the distance; the others are Student's t intervals
        (`eval.statistics.mean_interval`).
    """
    table, clips, sizes = [], [rows], {}
    axes = [name for name in map(str, embeddings) if name[0] == "e" and name[1:].isdigit()]
    for space, of_space in embeddings.groupby("space", sort=False):
        used = [name for name in axes if of_space[name].notna().all()]
        real = of_space[of_space["set"] == REFERENCE]
        for name in of_space["set"].unique():
            made = of_space[of_space["set"] == name]
            if note := _obstacle(real, made):
                for metric in ("frechet", *NEIGHBOURHOOD_METRICS):
                    table.append([name, space, metric, *[np.nan] * 3, len(made), len(real), note])
                continue
            folds = [(real[real["half"] == half], made[made["half"] == 1 - half]) for half in (0, 1)]
            distances = [
                _frechet_resamples(fold[0], fold[1], used, resamples, seed + i)
                for i, fold in enumerate(folds)
            ]
            value = np.mean([frechet(a[used].to_numpy(), b[used].to_numpy()) for a, b in folds])
            error = np.nanstd(np.mean(distances, axis=0)) if np.isfinite(value) else np.nan
            enough = min(side["track"].nunique() for fold in folds for side in fold) > 1
            margin = 1.96 * error if enough else np.nan
            counts = [sum(len(fold[side]) for fold in folds) for side in (1, 0)]
            table.append(
                [name, space, "frechet", value, max(value - margin, 0.0), value + margin, *counts, ""]
            )
            sizes.update({(name, space, metric): counts for metric in NEIGHBOURHOOD_METRICS})
            for a, b in folds:
                scores = neighbourhoods(a[used].to_numpy(), b[used].to_numpy())
                for metric, values in scores.items():
                    of = a if metric in ("recall", "coverage") else b
                    same = {"set": name, "space": space, "metric": metric}
                    clips.append(of[["clip", "track"]].assign(**same, value=values))
    table += _means(pd.concat(clips, ignore_index=True), sizes)
    result = pd.DataFrame(table, columns=TABLE_COLUMNS)
    order = {name: i for i, name in enumerate(dict.fromkeys([*embeddings["set"], *rows["set"]]))}
    spaces = {name: i for i, name in enumerate(dict.fromkeys([*embeddings["space"], *rows["space"]]))}
    place = result["set"].map(order) * 1000 + result["space"].map(spaces)
    result = result.iloc[np.argsort(place.to_numpy(), kind="stable")].reset_index(drop=True)
    result = result.round({"value": 4, "ci_low": 4, "ci_high": 4}).astype({"n_real": "Int64"})
    result.insert(0, "task", task)
    return result


def _obstacle(real: pd.DataFrame, made: pd.DataFrame) -> str:
    """Why a set is not compared with the real clips; empty if it is."""
    if len(made) < LEAST_CLIPS:
        return f"{len(made)} clips are fewer than {LEAST_CLIPS}"
    if len(real) < LEAST_CLIPS:
        return f"{len(real)} real clips are fewer than {LEAST_CLIPS}"
    return "" if real["half"].nunique() == 2 else "all real clips are of one song"


def _frechet_resamples(
    real: pd.DataFrame, made: pd.DataFrame, axes: list[str], resamples: int, seed: int
) -> np.ndarray:
    """The distance after drawing both sides' tracks with replacement: float64[resamples]."""
    weights = []
    for i, side in enumerate((real, made)):
        numbers, tracks = pd.factorize(side["track"])
        weights.append(resampled_counts(len(tracks), resamples, 2 * seed + i)[:, numbers].astype(float))
    return _weighted_frechet(real[axes].to_numpy(), weights[0], made[axes].to_numpy(), weights[1])


def _means(rows: pd.DataFrame, sizes: dict[tuple, list[int]]) -> list[list]:
    """Means of values of clips with their intervals, a line of the table each; `sizes` of what compares sets."""
    result = []
    for (name, space, metric), group in rows.groupby(["set", "space", "metric"], sort=False):
        group = group[group["value"].notna()]
        by_track = group.groupby("track")["value"].agg(["sum", "count"])
        counts = sizes.get((name, space, metric), [len(group), None])
        note = "" if len(group) else "no clip has a value"
        line: list = [name, space, metric, np.nan, np.nan, np.nan, *counts, note]
        if len(group):
            low, high = mean_interval(by_track["sum"].to_numpy()[None], by_track["count"].to_numpy()[None])
            line[3:6] = group["value"].mean(), low[0], high[0]
        result.append(line)
    return result

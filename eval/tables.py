"""Raw score rows into the tables of a paper: means with intervals, tests between methods, counts."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from eval.scores import METRICS, WINDOWED, Metric
from eval.statistics import ALPHA, holm, mean_interval, median_interval, resampled_counts, wilcoxon_p

GROUP = ["method", "reference", "source", "metric"]
# BSS Eval v4 gives a value a window. `_mean_windows` is its mean in a segment, then over segments, as UCR's
# authors aggregate; `_median_windows` is its median in a track, then over tracks, as the field does (SiSEC 2018).
MEAN_WINDOWS, MEDIAN_WINDOWS = "_mean_windows", "_median_windows"
TABLE_METRICS = {
    name: metric for name, metric in METRICS.items() if name not in WINDOWED
} | {
    name + how: Metric(f"{METRICS[name].label}, {words}")
    for name in WINDOWED
    for how, words in [(MEAN_WINDOWS, "mean over windows"), (MEDIAN_WINDOWS, "median over windows, then tracks")]
}  # fmt: skip
DECIMALS = 4
LIMITS = ("oracle", "bound")  # kinds that say what can be had and what must be beaten, and compete with none


@dataclass(frozen=True)
class Method:
    """What a table says of a method: its kind, and `best permutation` or `fixed order`."""

    kind: str
    assignment: str


@dataclass(frozen=True)
class Tables:
    """Aggregated scores.

    Attributes
    ----------
    separation
        One row a method, reference, source and metric of `TABLE_METRICS`. `mean`, `median` and
        `share_below_0` are over segments, or over tracks for `_median_windows`; `ci_low` to `ci_high` is
        the 95 % bootstrap interval, tracks resampled, of the column that `ci_of` names. `n`, `n_silent`
        and `n_failed` count what `unit` names. `best` marks the best mean among the methods that are neither
        oracle nor bound and failed nowhere; for the others of these, `p_value` is the corrected p of the
        difference from it, and `significant` whether that is under 0.05.
    comparisons
        One row a pair of methods, reference, source and metric, of the segments that both have a value for (of
        tracks for `_median_windows`): the mean over tracks of each track's mean of A less B, with its interval,
        and Wilcoxon's signed-rank test on the tracks; `p_holm` is corrected over all pairs of one reference,
        source and metric.
    tracks
        Each track's mean (its median for `_median_windows`): one row a method, reference, source and track,
        one column a metric.
    """

    separation: pd.DataFrame
    comparisons: pd.DataFrame
    tracks: pd.DataFrame


def make_tables(rows: pd.DataFrame, methods: dict[str, Method], resamples: int, seed: int) -> Tables:
    """Aggregate score rows.

    Parameters
    ----------
    rows
        Raw rows of one task (`eval.folders.COLUMNS`), all of one provenance.
    methods
        Methods of the rows, in the order of the tables.
    resamples, seed
        Of the bootstrap.
    """
    units = _units(rows[rows["status"] == "ok"])
    keys = [
        list(methods),
        list(rows["reference"].unique()),
        list(rows["source"].unique()),
        list(TABLE_METRICS),
    ]
    index = pd.MultiIndex.from_product(keys, names=GROUP)
    tracks = pd.Index(sorted(rows["track"].unique()), name="track")
    by_track = units.groupby([*GROUP, "track"])["value"].agg(["sum", "count"])
    sums, counts = (
        by_track[part].unstack("track").reindex(index=index, columns=tracks).fillna(0).to_numpy()
        for part in ("sum", "count")
    )
    with np.errstate(invalid="ignore"):
        values = sums / counts
    draws = resampled_counts(len(tracks), resamples, seed)

    comparisons = _comparisons(units, index, tracks, draws)
    separation = (
        _averages(units, index)
        .join(_counts(rows, index))
        .join(_intervals(index, sums, counts, values, draws))
    )
    separation["assignment"] = [methods[method].assignment for method in index.get_level_values("method")]
    separation.insert(0, "kind", [methods[method].kind for method in index.get_level_values("method")])
    separation = separation.join(_against_best(separation, comparisons)).reset_index()
    separation = separation[["method", "kind", *GROUP[1:], *separation.columns[5:]]]
    wide = pd.DataFrame(values, index, tracks).stack().unstack("metric")[keys[3]]
    wide = wide.reindex(
        pd.MultiIndex.from_product([*keys[:3], tracks], names=[*GROUP[:3], "track"])
    ).reset_index()
    return Tables(*(_tidy(table, rows["task"].iloc[0]) for table in (separation, comparisons, wide)))


def headline(separation: pd.DataFrame) -> dict[str, dict[str, dict[str, float | None]]]:
    """Mean SI-SDR and SI-SIR against the waveforms: method -> metric -> source, for `dvc metrics`."""
    chosen = separation[
        (separation["reference"] == "waveform") & separation["metric"].isin(["si_sdr", "si_sir"])
    ]
    result: dict = {}
    for method, metric, source, mean in chosen[["method", "metric", "source", "mean"]].itertuples(
        index=False
    ):
        result.setdefault(method, {}).setdefault(metric, {})[source] = None if np.isnan(mean) else mean
    return result


def data_table(index: pd.DataFrame, skipped: pd.DataFrame) -> pd.DataFrame:
    """What became of the tracks and segments of each split, counted by reason.

    Parameters
    ----------
    index, skipped
        The segment store's `index.csv` and `skipped.csv`; a skipped row without a segment is a track.
    """
    kept = pd.concat(
        [
            index.groupby("split")["track"].nunique().rename("count").reset_index().assign(item="track"),
            index.groupby("split").size().rename("count").reset_index().assign(item="segment"),
        ]
    ).assign(reason="used")
    whole = skipped["segment"].isna() | (skipped["segment"].astype(str) == "")
    left = skipped.assign(item=np.where(whole, "track", "segment"))
    left = left.groupby(["split", "item", "reason"]).size().rename("count").reset_index()
    table = pd.concat([kept, left])[["split", "item", "reason", "count"]]
    orders = {
        "split": ["train", "validation", "test"],
        "item": ["track", "segment"],
        "reason": ["used", *sorted(left["reason"].unique())],
    }
    for name, order in orders.items():
        table[name] = pd.Categorical(table[name], order)
    return table.sort_values(list(orders)).astype(dict.fromkeys(orders, "str")).reset_index(drop=True)


def _units(ok: pd.DataFrame) -> pd.DataFrame:
    """The values that averages are over: one a segment, or one a track for `_median_windows`."""
    windowed = ok["window"].notna()
    windows = ok[windowed].groupby([*GROUP, "track", "segment"])["value"].mean().reset_index()
    medians = ok[windowed].groupby([*GROUP, "track"])["value"].median().reset_index()
    windows["metric"] += MEAN_WINDOWS
    medians["metric"] += MEDIAN_WINDOWS
    medians["segment"] = ""
    columns = [*GROUP, "track", "segment", "value"]
    return pd.concat([table[columns] for table in (ok[~windowed], windows, medians)])


def _averages(units: pd.DataFrame, index: pd.MultiIndex) -> pd.DataFrame:
    table = units.groupby(GROUP)["value"].agg(["mean", "median"]).reindex(index)
    below = units["value"].lt(0).groupby([units[key] for key in GROUP]).mean().reindex(index)
    in_db = np.array([TABLE_METRICS[metric].unit == "dB" for metric in index.get_level_values("metric")])
    return table.assign(share_below_0=below.where(in_db))


def _counts(rows: pd.DataFrame, index: pd.MultiIndex) -> pd.DataFrame:
    """Raw rows by status; windows count for both aggregations of a windowed metric."""
    counts = rows.groupby([*GROUP, "status"]).size().unstack("status")
    raw = [(*key[:3], key[3].removesuffix(MEAN_WINDOWS).removesuffix(MEDIAN_WINDOWS)) for key in index]
    counts = counts.reindex(index=pd.MultiIndex.from_tuples(raw), columns=["ok", "silent", "failed"]).fillna(
        0
    )
    table = pd.DataFrame(counts.to_numpy(int), index, ["n", "n_silent", "n_failed"])
    return table.assign(unit=["window" if key[3] in WINDOWED else "segment" for key in raw])


def _intervals(
    index: pd.MultiIndex, sums: np.ndarray, counts: np.ndarray, values: np.ndarray, draws: np.ndarray
) -> pd.DataFrame:
    of_median = index.get_level_values("metric").str.endswith(MEDIAN_WINDOWS)
    bounds = np.stack(mean_interval(sums, counts, draws))
    bounds[:, of_median] = median_interval(values[of_median], draws)
    return pd.DataFrame(
        {"ci_low": bounds[0], "ci_high": bounds[1], "ci_of": np.where(of_median, "median", "mean")}, index
    )


def _comparisons(
    units: pd.DataFrame, index: pd.MultiIndex, tracks: pd.Index, draws: np.ndarray
) -> pd.DataFrame:
    """Paired tests between all methods, corrected within a reference, source and metric."""
    methods, *others = (list(index.unique(level)) for level in GROUP)
    families, pairs = list(itertools.product(*others)), list(itertools.combinations(range(len(methods)), 2))
    wide = units.set_index([*GROUP, "track", "segment"])["value"].unstack(["track", "segment"]).reindex(index)
    by_family = wide.to_numpy().reshape(len(methods), len(families), -1).swapaxes(0, 1)
    owners = wide.columns.get_level_values("track").to_numpy()
    of_track = (owners[:, None] == tracks.to_numpy()).astype(float)
    first, second = np.array(pairs, int).reshape(-1, 2).T
    by_track = np.empty((len(families), len(pairs), len(tracks)))
    for found, values in zip(by_track, by_family, strict=True):
        differences = values[first] - values[second]
        both = np.isfinite(differences)
        with np.errstate(invalid="ignore"):
            found[:] = np.where(both, differences, 0) @ of_track / (both @ of_track)
    flat = by_track.reshape(-1, len(tracks))
    present = np.isfinite(flat)
    low, high = mean_interval(np.nan_to_num(flat), present.astype(float), draws)
    p = wilcoxon_p(flat)
    table = pd.DataFrame(
        [(*family, methods[i], methods[j]) for family in families for i, j in pairs],
        columns=[*GROUP[1:], "method_a", "method_b"],
    )
    corrected = np.concatenate([holm(each) for each in p.reshape(len(families), len(pairs))])
    with np.errstate(invalid="ignore"):
        mean = np.nan_to_num(flat).sum(1) / present.sum(1)
    return table.assign(
        n_tracks=present.sum(1),
        difference=mean,
        ci_low=low,
        ci_high=high,
        p_value=p,
        p_holm=corrected,
        significant=corrected < ALPHA,
    )


def _against_best(separation: pd.DataFrame, comparisons: pd.DataFrame) -> pd.DataFrame:
    """For each row of no limit: whether it is the best mean, else its tested difference from that.

    Who failed on a segment, which may be a hard one, has no mean that competes.
    """
    p_holm = {}
    for row in comparisons.to_dict("records"):
        family = row["reference"], row["source"], row["metric"]
        p_holm[(*family, frozenset([row["method_a"], row["method_b"]]))] = row["p_holm"]
    rows = separation.reset_index().to_dict("records")
    best: dict[tuple, dict] = {}
    for row in rows:
        family = row["reference"], row["source"], row["metric"]
        if row["kind"] not in LIMITS and not row["n_failed"] and not np.isnan(row["mean"]):
            sign = 1 if TABLE_METRICS[row["metric"]].higher_is_better else -1
            if family not in best or sign * row["mean"] > sign * best[family]["mean"]:
                best[family] = row
    table = []
    for row in rows:
        family = row["reference"], row["source"], row["metric"]
        other = best.get(family, row)
        tested = row["kind"] not in LIMITS and row is not other and not np.isnan(row["mean"])
        p = p_holm[(*family, frozenset([row["method"], other["method"]]))] if tested else np.nan
        table.append((other is row and family in best, p, p < ALPHA))
    return pd.DataFrame(table, separation.index, ["best", "p_value", "significant"])


def _tidy(table: pd.DataFrame, task: str) -> pd.DataFrame:
    """Task first; digits that mean something, so that machines agree on the bytes."""
    digits = {name: 6 if str(name).startswith("p_") else DECIMALS for name in table.select_dtypes("float")}
    table = table.round(digits)
    table.insert(0, "task", task)
    return table

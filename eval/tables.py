"""Raw score rows into the tables of a paper: means with intervals, tests between methods, counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from eval.scores import CAP_DB, METRICS, WINDOWED, Metric
from eval.statistics import ALPHA, holm, mean_interval, median_interval, wilcoxon_p

GROUP = ["method", "reference", "source", "metric"]
# BSS Eval v4 gives a value per window. `_mean_windows` is its mean in a segment, then over segments, as UCR's
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
UNSUPERVISED = "unsupervised"  # the kind that is compared with each of its rivals
STATUSES = ("ok", "silent", "capped", "failed")  # of the seeds of one value the last counts


@dataclass(frozen=True)
class MethodInfo:
    """What a table says of a method.

    Attributes
    ----------
    kind
        Of `ucr.methods.contract.Kind`.
    assignment
        `best permutation` or `fixed order`.
    trained
        `run`: in the run, at its budget; `long`: longer or on more songs, before it; `none`.
    """

    kind: str
    assignment: str
    trained: str = "none"


@dataclass(frozen=True)
class Tables:
    """Aggregated scores.

    Attributes
    ----------
    separation
        One row per method, reference, source and metric of `TABLE_METRICS`. `mean`, `median` and
        `share_below_0` are over segments, or over tracks for `_median_windows`; `ci_low` to `ci_high` is
        the 95 % interval, over tracks, of the column that `ci_of` names. `n` counts the values that they rest on,
        `n_silent`, `n_capped` and `n_failed` those that are silent, at the cap of 100 dB (and in no mean) or failed,
        of what `unit` names. `n_seeds` is over how many seeds a method's values are means, `seed_sd` the standard
        deviation of the seeds' own means (medians). `best` marks the best of its kind and training by the column
        that `ci_of` names, among those with the most values; for the others, `p_value` is the corrected p of the
        difference from it, and `significant` whether that is under 0.05.
    comparisons
        One row per comparison, reference, source and metric: every method against the best of its kind and training,
        and every unsupervised one against each blind and supervised one. `difference` is the mean of A less B over
        the segments that both have a value for (tracks for `_median_windows`), with its interval; `p_value` is of
        Wilcoxon's signed-rank test on tracks, `p_holm` corrected over the `family`: what one question is asked of.
    tracks
        Each track's mean (its median for `_median_windows`): one row per method, reference, source and track,
        one column a metric.
    """

    separation: pd.DataFrame
    comparisons: pd.DataFrame
    tracks: pd.DataFrame


def make_tables(rows: pd.DataFrame, methods: dict[str, MethodInfo]) -> Tables:
    """Aggregate score rows.

    Parameters
    ----------
    rows
        Raw rows of one task (`eval.folders.COLUMNS`), all of one provenance. A method may have rows of several
        seeds, which a column `seed` tells apart: its values are then means over them.
    methods
        Methods of the rows, in the order of the tables.
    """
    keys = [
        list(methods),
        list(rows["reference"].unique()),
        list(rows["source"].unique()),
        list(TABLE_METRICS),
    ]
    index = pd.MultiIndex.from_product(keys, names=GROUP)
    tracks = pd.Index(sorted(rows["track"].unique()), name="track")
    rows = _without_capped(rows)
    seeds = _over_seeds(rows, index)
    rows = _pooled(rows)
    units = _units(rows)
    by_track = units.groupby([*GROUP, "track"])["value"].agg(["sum", "count"])
    sums, counts = (
        by_track[part].unstack("track").reindex(index=index, columns=tracks).fillna(0).to_numpy()
        for part in ("sum", "count")
    )
    with np.errstate(invalid="ignore"):
        values = sums / counts

    separation = (
        _averages(units, index).join(_counts(rows, index)).join(_intervals(index, sums, counts, values))
    ).join(seeds)
    about = [methods[method] for method in index.get_level_values("method")]
    separation["assignment"] = [method.assignment for method in about]
    separation["trained"] = [method.trained for method in about]
    separation.insert(0, "kind", [method.kind for method in about])
    separation = separation.join(_best(separation)).reset_index()
    comparisons = _comparisons(_pairs(separation), units, tracks)
    separation = separation.merge(_against_best(comparisons), how="left", on=GROUP)
    separation["significant"] = separation["p_value"] < ALPHA
    separation = separation[["method", "kind", *GROUP[1:], *separation.columns[5:]]]
    wide = pd.DataFrame(values, index, tracks).stack().unstack("metric")[keys[3]]
    wide = wide.reindex(
        pd.MultiIndex.from_product([*keys[:3], tracks], names=[*GROUP[:3], "track"])
    ).reset_index()
    return Tables(*(_tidy(table, rows["task"].iloc[0]) for table in (separation, comparisons, wide)))


def tables_of_sets(
    rows: pd.DataFrame, methods: dict[str, MethodInfo], sets: Iterable[str] | None = None
) -> Tables:
    """Aggregate the rows of each test set by itself; the tables have a column `set`.

    `sets` is the order of the sets, of which some may have no rows. By default it is that of the rows.
    """
    of_sets = dict(list(rows.groupby("set", sort=False)))
    made = {name: make_tables(of_sets[name], methods) for name in sets or of_sets if name in of_sets}

    def joined(part: str) -> pd.DataFrame:
        tables = {name: getattr(tables, part) for name, tables in made.items()}
        for name, table in tables.items():
            table.insert(1, "set", name)
        return pd.concat(tables.values(), ignore_index=True)

    return Tables(joined("separation"), joined("comparisons"), joined("tracks"))


def of_first_set(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table that are of its first test set; all of them where it has no column `set`."""
    return table[table["set"] == table["set"].iloc[0]] if "set" in table else table


def headline(separation: pd.DataFrame) -> dict[str, dict[str, dict[str, dict[str, float | None]]]]:
    """Mean SI-SDR and SI-SIR against the waveforms: set -> method -> metric -> source, for `dvc metrics`."""
    chosen = separation[
        (separation["reference"] == "waveform") & separation["metric"].isin(["si_sdr", "si_sir"])
    ]
    result: dict = {}
    for name, method, metric, source, mean in chosen[
        ["set", "method", "metric", "source", "mean"]
    ].itertuples(index=False):
        scores = result.setdefault(name, {}).setdefault(method, {}).setdefault(metric, {})
        scores[source] = None if np.isnan(mean) else mean
    return result


def data_table(index: pd.DataFrame, skipped: pd.DataFrame, notes: pd.DataFrame | None = None) -> pd.DataFrame:
    """What became of the tracks and segments of each split, counted by reason.

    Parameters
    ----------
    index, skipped
        The segment store's `index.csv` and `skipped.csv`; a skipped row without a segment is a track.
    notes
        Its `notes.csv`, if there is one: what is odd about tracks.
    """
    kept = pd.concat(
        [
            index.groupby("split")["track"].nunique().rename("count").reset_index().assign(item="track"),
            index.groupby("split").size().rename("count").reset_index().assign(item="segment"),
        ]
    ).assign(reason="used")
    whole = skipped["segment"].isna() | (skipped["segment"].astype(str) == "")
    left = skipped.assign(item=np.where(whole, "track", "segment"))
    if notes is not None:
        left = pd.concat(
            [left, notes.drop_duplicates(["split", "track", "reason"]).assign(item="track with a note")]
        )
    left = left.groupby(["split", "item", "reason"]).size().rename("count").reset_index()
    table = pd.concat([kept, left])[["split", "item", "reason", "count"]]
    orders = {
        "split": ["train", "validation", "test"],
        "item": ["track", "segment", "track with a note"],
        "reason": ["used", *sorted(left["reason"].unique())],
    }
    for name, order in orders.items():
        table[name] = pd.Categorical(table[name], order)
    return table.sort_values(list(orders)).astype(dict.fromkeys(orders, "str")).reset_index(drop=True)


def _without_capped(rows: pd.DataFrame) -> pd.DataFrame:
    """What is at the cap, which stands for any value beyond it, has no value but the status `capped`."""
    in_db = rows["metric"].isin([name for name, metric in METRICS.items() if metric.unit == "dB"])
    capped = in_db & rows["value"].ge(CAP_DB)
    return rows.assign(value=rows["value"].mask(capped), status=rows["status"].mask(capped, "capped"))


def _over_seeds(rows: pd.DataFrame, index: pd.MultiIndex) -> pd.DataFrame:
    """How many seeds each row of the table is over, and the standard deviation of what they give each by itself."""
    of_median = index.get_level_values("metric").str.endswith(MEDIAN_WINDOWS)
    seeds = rows["seed"].fillna(0) if "seed" in rows else pd.Series(0, rows.index)
    shown = []
    for _, mine in rows.groupby(seeds):
        averages = _averages(_units(mine), index)
        shown.append(averages["median"].where(of_median, averages["mean"]))
    table = pd.concat(shown, axis=1)
    return pd.DataFrame({"n_seeds": table.notna().sum(axis=1), "seed_sd": table.std(axis=1)})


def _pooled(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per value: the mean over seeds, or none where a seed has none."""
    if "seed" not in rows:
        return rows
    keys = ["task", *GROUP, "track", "segment", "window"]
    worst = rows["status"].map(STATUSES.index)
    groups = rows.assign(worst=worst).groupby(keys, dropna=False, sort=False)
    table = groups.agg(
        value=("value", "mean"), count=("value", "count"), size=("value", "size"), worst=("worst", "max")
    )
    table["value"] = table["value"].where(table["count"] == table["size"])
    table["status"] = table["worst"].map(dict(enumerate(STATUSES)))
    return table.reset_index()


def _units(rows: pd.DataFrame) -> pd.DataFrame:
    """The values that averages are over: one per segment, or one per track for `_median_windows`."""
    rows = rows[rows["value"].notna()]
    windowed = rows["window"].notna()
    windows = rows[windowed].groupby([*GROUP, "track", "segment"])["value"].mean().reset_index()
    medians = rows[windowed].groupby([*GROUP, "track"])["value"].median().reset_index()
    windows["metric"] += MEAN_WINDOWS
    medians["metric"] += MEDIAN_WINDOWS
    medians["segment"] = ""
    columns = [*GROUP, "track", "segment", "value"]
    return pd.concat([table[columns] for table in (rows[~windowed], windows, medians)])


def _averages(units: pd.DataFrame, index: pd.MultiIndex) -> pd.DataFrame:
    table = units.groupby(GROUP)["value"].agg(["mean", "median"]).reindex(index)
    below = units["value"].lt(0).groupby([units[key] for key in GROUP]).mean().reindex(index)
    in_db = np.array([TABLE_METRICS[metric].unit == "dB" for metric in index.get_level_values("metric")])
    return table.assign(share_below_0=below.where(in_db))


def _counts(rows: pd.DataFrame, index: pd.MultiIndex) -> pd.DataFrame:
    """Values used and those of each trouble; windows count for both aggregations of a windowed metric."""
    counts = pd.DataFrame(
        {"n": rows["value"].notna()} | {f"n_{status}": rows["status"] == status for status in STATUSES[1:]}
    )
    counts = counts.groupby([rows[key] for key in GROUP]).sum()
    raw = [(*key[:3], key[3].removesuffix(MEAN_WINDOWS).removesuffix(MEDIAN_WINDOWS)) for key in index]
    counts = counts.reindex(pd.MultiIndex.from_tuples(raw)).fillna(0).astype(int)
    return counts.set_axis(index).assign(unit=["window" if key[3] in WINDOWED else "segment" for key in raw])


def _intervals(
    index: pd.MultiIndex, sums: np.ndarray, counts: np.ndarray, values: np.ndarray
) -> pd.DataFrame:
    of_median = index.get_level_values("metric").str.endswith(MEDIAN_WINDOWS)
    bounds = np.stack(mean_interval(sums, counts))
    bounds[:, of_median] = median_interval(values[of_median])
    return pd.DataFrame(
        {"ci_low": bounds[0], "ci_high": bounds[1], "ci_of": np.where(of_median, "median", "mean")}, index
    )


def _best(separation: pd.DataFrame) -> pd.Series:
    """Whether a row is the best of its kind and training; of unequal numbers of values the larger comes first."""
    shown = separation["mean"].where(separation["ci_of"] == "mean", separation["median"])
    metrics = separation.index.get_level_values("metric")
    signs = np.array([1 if TABLE_METRICS[metric].higher_is_better else -1 for metric in metrics])
    table = separation.assign(score=shown * signs)
    table = table[~table["kind"].isin(LIMITS) & shown.notna()].sort_values(["n", "score"], ascending=False)
    first = table.groupby([*GROUP[1:], "kind", "trained"]).head(1).index
    return pd.Series(separation.index.isin(first), separation.index, name="best")


def _pairs(separation: pd.DataFrame) -> pd.DataFrame:
    """The comparisons that are made; in families `best ...` method A is the best."""
    pairs = []
    competing = separation[~separation["kind"].isin(LIMITS) & (separation["n"] > 0)]
    for key, table in competing.groupby(GROUP[1:], sort=False):
        for (kind, trained), mine in table.groupby(["kind", "trained"], sort=False):
            family = f"best {kind}" + (f", trained {trained}" if trained != "none" else "")
            best = mine.loc[mine["best"], "method"].item()
            pairs += [(*key, family, best, other) for other in mine["method"] if other != best]
        unsupervised = table["kind"] == UNSUPERVISED
        rivals = table.loc[~unsupervised, "method"]
        pairs += [(*key, f"{a} and rivals", a, b) for a in table.loc[unsupervised, "method"] for b in rivals]
    return pd.DataFrame(pairs, columns=[*GROUP[1:], "family", "method_a", "method_b"])


def _comparisons(pairs: pd.DataFrame, units: pd.DataFrame, tracks: pd.Index) -> pd.DataFrame:
    """Differences, intervals and tests of pairs, corrected within their families."""
    wide = units.set_index([*GROUP, "track", "segment"])["value"].unstack(["track", "segment"])
    owners = wide.columns.get_level_values("track").to_numpy()
    of_track = (owners[:, None] == tracks.to_numpy()).astype(float)
    first, second = (
        wide.reindex(pd.MultiIndex.from_frame(pairs[[side, *GROUP[1:]]])).to_numpy()
        for side in ("method_a", "method_b")
    )
    differences = first - second
    both = np.isfinite(differences)
    sums, counts = np.where(both, differences, 0) @ of_track, both @ of_track
    low, high = mean_interval(sums, counts)
    with np.errstate(invalid="ignore"):
        mean, by_track = sums.sum(1) / counts.sum(1), sums / counts
    table = pairs.assign(
        n_tracks=(counts > 0).sum(1), difference=mean, ci_low=low, ci_high=high, p_value=wilcoxon_p(by_track)
    )
    families = table.groupby([*GROUP[1:], "family"])["p_value"]
    table["p_holm"] = families.transform(lambda p: holm(p.to_numpy()))
    return table.assign(significant=table["p_holm"] < ALPHA)


def _against_best(comparisons: pd.DataFrame) -> pd.DataFrame:
    """The corrected p of each method that is tested against the best of its kind."""
    tested = comparisons[comparisons["family"].str.startswith("best ")]
    columns = {"method_b": "method", "p_holm": "p_value"}
    return tested.rename(columns={"p_value": "uncorrected"} | columns)[[*GROUP, "p_value"]]


def _tidy(table: pd.DataFrame, task: str) -> pd.DataFrame:
    """Task first; digits that mean something, so that machines agree on the bytes."""
    numbers = table.select_dtypes("float")
    small = [str(name) for name in numbers if str(name).startswith("p_")]
    table = table.round({name: DECIMALS for name in numbers if name not in small})
    table[small] = table[small].map(lambda p: float(f"{p:.{DECIMALS}g}"))  # an exact p is never 0
    table.insert(0, "task", task)
    return table

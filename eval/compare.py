"""Two sets of tables side by side: what changed, and whether the tracks agree that it did."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from eval.comparable import DATA, check_comparable
from eval.statistics import ALPHA, holm, mean_interval, wilcoxon_p
from ucr.foundation.errors import UserError
from ucr.foundation.files import parse_table, read_table
from ucr.foundation.provenance import git

TABLES = "reports/tables"
KEYS = ["set", "method", "reference", "source"]
# The references themselves may differ, by a codec; the data that they come from may not.
MUST_AGREE = ["sources", "sample_rate", "protocol"]


@dataclass(frozen=True)
class Side:
    """One side: its name, each track's scores (`eval.tables.Tables.tracks`), what they were measured on."""

    name: str
    tracks: pd.DataFrame
    provenance: dict

    @property
    def sets(self) -> list[str]:
        """Names of the test sets."""
        return list(self.tracks["set"].unique())

    @property
    def methods(self) -> list[str]:
        """Names of the methods scored."""
        return list(self.tracks["method"].unique())


def read_side(place: str) -> Side:
    """Read a folder of results or a git revision.

    Parameters
    ----------
    place
        A folder with `reports/tables`, or with the tables themselves, or a revision of the repository
        around the current folder that keeps them in `reports/tables`.

    Raises
    ------
    UserError
        If it is neither, or has no tables.
    """
    tracks = _read(place, "tracks.csv", [*KEYS, "track"])
    provenance = _read(
        place, "provenance.csv", ["method", "sources", "sample_rate", "protocol_version"], numbers=[]
    )
    if provenance.empty:
        raise UserError(f"provenance.csv of {place} lacks rows: run `dvc repro tables`")
    rules = [name for name in provenance if str(name).startswith("protocol_")]
    provenance["protocol"] = provenance[rules].agg(", ".join, axis=1)
    methods = {row["method"]: row for row in provenance.to_dict("records")}
    check_comparable({f"{method} of {place}": row for method, row in methods.items()}, MUST_AGREE)
    return Side(place, tracks, next(iter(methods.values())))


def compare(first: Side, second: Side, metrics: list[str], reference: str) -> pd.DataFrame:
    """Differences of the methods that both sides have, over the tracks that both scored, by test set.

    Parameters
    ----------
    first, second
        Sides A and B.
    metrics
        Of `eval.tables.TABLE_METRICS`.
    reference
        `waveform` or `codec`.

    Returns
    -------
    DataFrame
        One row per set, method, source and metric: the means over tracks of `A` and `B`, `difference` (B less A)
        with its 95 % interval, and p of Wilcoxon's signed-rank test, Holm corrected over all rows.

    Raises
    ------
    UserError
        If data, sources, rates or protocols differ, or no method is on both sides, or a metric is not.
    """
    shared = [f"{DATA}{name}" for name in first.sets if name in second.sets]
    check_comparable(
        {f"A ({first.name})": first.provenance, f"B ({second.name})": second.provenance},
        [*MUST_AGREE, *shared],
    )
    for side in (first, second):
        known = [str(name) for name in side.tracks if name not in ("task", *KEYS, "track")]
        for metric in metrics:
            if metric not in known:
                raise UserError(f"{side.name} has no metric {metric!r}: choose from {', '.join(known)}")
    both = first.tracks.merge(second.tracks, on=[*KEYS, "track"], suffixes=("_A", "_B"))
    both = both[both["reference"] == reference]
    if both.empty:
        raise UserError(
            f"{first.name} and {second.name} share no method scored on one set against {reference} references"
        )
    tracks = sorted(both["track"].unique())
    keys, differences = [], []
    for (set_name, method, _, source), group in both.groupby(KEYS, sort=False):
        for metric in metrics:
            pair = group.set_index("track")[[f"{metric}_A", f"{metric}_B"]].dropna()
            a, b = pair.mean()
            keys.append((set_name, method, source, metric, len(pair), a, b, b - a))
            differences.append((pair[f"{metric}_B"] - pair[f"{metric}_A"]).reindex(tracks))
    paired = np.stack(differences)
    low, high = mean_interval(np.nan_to_num(paired), np.isfinite(paired).astype(float))
    p = holm(wilcoxon_p(paired))
    table = pd.DataFrame(
        keys, columns=["set", "method", "source", "metric", "tracks", "A", "B", "difference"]
    )
    return table.assign(ci_low=low, ci_high=high, p_holm=p, significant=p < ALPHA)


def _read(place: str, name: str, columns: list[str], numbers: list[str] | None = None) -> pd.DataFrame:
    """A table, from a folder or from what git keeps."""
    folder = Path(place)
    if folder.is_dir():
        for path in (folder / TABLES / name, folder / name):
            if path.is_file():
                return read_table(path, columns, numbers, "run `dvc repro tables`")
        raise UserError(
            f"{folder} has neither {TABLES}/{name} nor {name}: run the `tables` stage there (`dvc repro`)"
        )
    if not git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{place}^{{commit}}", folder="."):
        raise UserError(f"{place!r} is no folder and no git revision here: give one or the other")
    text = git("show", f"{place}:./{TABLES}/{name}", folder=".")
    if not text:
        raise UserError(f"revision {place} keeps no {TABLES}/{name}: choose one whose tables were committed")
    return parse_table(text.encode(), f"{name} of {place}", columns, numbers, "choose another revision")

"""Every result that the report shows, read from the files that the stages wrote."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from eval.comparable import DATA
from eval.report.published import PATH, Published, read_published
from eval.tables import TABLE_METRICS
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_json, read_table

KINDS = ("unsupervised", "supervised", "blind", "bound", "oracle")

SEPARATION_COLUMNS = [
    "task", "set", "method", "kind", "trained", "reference", "source", "metric", "mean", "median", "ci_low", "ci_high",
    "n", "n_silent", "n_capped", "n_failed", "n_seeds", "seed_sd", "best", "p_value", "significant",
]  # fmt: skip
ROW_COLUMNS = [
    "task",
    "set",
    "method",
    "track",
    "segment",
    "source",
    "reference",
    "metric",
    "window",
    "value",
    "status",
    "reason",
]

# A figure is drawn of these tables where they have these columns; otherwise they are shown as tables alone.
STEPS_COLUMNS = ["steps", "source", "si_sdr", "si_sir", "real_time_factor"]
COMPARISON_COLUMNS = [
    "task", "set", "reference", "source", "metric", "family", "method_a", "method_b", "difference", "ci_low", "ci_high",
    "p_value", "p_holm", "significant",
]  # fmt: skip
ABLATION_COLUMNS = ["variant", "seed", "task", "remix_consistency_db"]

COST_NAMES = {
    "rtf_1": "real-time factor, 1 segment",
    "rtf_8": "real-time factor, 8 segments at once",
    "parameters": "parameters",
    "macs_per_second": "multiply-accumulates per second of audio",
    "train_seconds": "training time (s)",
    "preparation_seconds": "time for pseudo-labels before training (s)",
    "train_seconds_elsewhere": "training time on another machine (s)",
    "train_steps": "training steps",
    "train_energy_wh_estimate": "training energy (Wh, estimate)",
    "peak_memory_mb": "peak memory (MB)",
    "size_on_disk_mb": "size on disk (MB)",
}

# What the page can do without: the file or pattern, and what is then not shown.
OPTIONAL_TABLES = {
    "comparisons": ("reports/tables/comparisons.csv", "tests between methods"),
    "sets": ("reports/tables/sets.csv", "what the data sets are"),
    "data": ("reports/tables/data.csv", "what was skipped"),
    "cost": ("reports/tables/cost.csv", "compute cost"),
    "generation": ("reports/tables/generation.csv", "generation scores"),
    "generated": ("generated/manifest.csv", "generations to hear"),
    "provenance": ("reports/tables/provenance.csv", "provenance of the tables"),
    "steps": ("reports/steps.csv", "score against sampling steps"),
    "ablation": ("reports/ablation.csv", "ablations"),
}


@dataclass(frozen=True)
class Results:
    """The results under one project folder.

    Attributes
    ----------
    root
        The project folder.
    separation
        Aggregated scores, one row per task, method, reference, source and metric.
    rows
        Raw scores of whole segments (no windows), one row per value, of every method in `separation`.
    tables
        The optional tables by name (`OPTIONAL_TABLES`); a missing one is not in it.
    training
        Training curves by the model's name.
    models
        Cards of the trained models by name.
    methods
        `method.json` of each method by name; empty where it is missing.
    published
        Figures of others.
    missing
        One phrase for each optional input that is not there.
    """

    root: Path
    separation: pd.DataFrame
    rows: pd.DataFrame
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    training: dict[str, pd.DataFrame] = field(default_factory=dict)
    models: dict[str, dict] = field(default_factory=dict)
    methods: dict[str, dict] = field(default_factory=dict)
    published: list[Published] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def sets(self) -> list[str]:
        """Names of the test sets; the first is the run's own."""
        return list(self.separation["set"].unique())

    def of_set(self, name: str) -> Results:
        """The results on one test set."""
        separation, rows = (table[table["set"] == name] for table in (self.separation, self.rows))
        comparisons = self.tables.get("comparisons")
        if comparisons is None or "set" not in comparisons:
            return replace(self, separation=separation, rows=rows)
        tables = self.tables | {"comparisons": comparisons[comparisons["set"] == name]}
        return replace(self, separation=separation, rows=rows, tables=tables)

    @property
    def kinds(self) -> dict[str, str]:
        """Each method's kind, methods in the order the report lists them: by kind, then best SI-SDR first."""
        return order_methods(self.separation)


def read_results(root: Path, trained: list[str]) -> Results:
    """Read what is under `root`, and of its folder `models` what this run `trained`.

    Raises
    ------
    UserError
        If `reports/tables/separation.csv` is missing, or a table that is there can't be read or lacks
        a column, the published figures are not what they should be, or the scores are of another run than the tables.
    """
    separation = read_table(root / "reports/tables/separation.csv", SEPARATION_COLUMNS)
    if separation.empty:
        raise UserError(f"{root / 'reports/tables/separation.csv'} holds no score: run `dvc repro tables`")
    missing: list[str] = []
    tables = {}
    for name, (path, what) in OPTIONAL_TABLES.items():
        if (root / path).is_file():
            tables[name] = read_table(root / path)
        else:
            missing.append(f"{what} ({path})")

    for line in tables.get("provenance", pd.DataFrame()).to_dict("records"):
        data = {str(key).removeprefix(DATA): line[key] for key in line if str(key).startswith(DATA)}
        path = root / "scores" / line["method"] / "provenance.json"
        if path.is_file() and read_json(path).get("data") != data:
            raise UserError(
                f"{path.parent} are scores on other data than reports/tables: run `dvc repro tables`"
            )
    methods, rows = {}, []
    for method in separation["method"].unique():
        path = root / "scores" / method / "rows.csv"
        if path.is_file():
            table = read_table(path, ROW_COLUMNS)
            rows.append(table[table["window"].isna()])
        else:
            missing.append(f"scores by segment of {method} (scores/{method}/rows.csv)")
        card = root / "estimates" / method / "method.json"
        methods[method] = read_json(card) if card.is_file() else {}

    folders = [
        root / "models" / name for name in trained if (root / "models" / name / "training.csv").is_file()
    ]
    training = {folder.name: read_table(folder / "training.csv", ["step", "loss"]) for folder in folders}
    models = {
        folder.name: read_json(folder / "card.json") for folder in folders if (folder / "card.json").is_file()
    }
    if not training:
        missing.append("training curves (models/*/training.csv)")
    published = read_published(root / PATH) if (root / PATH).is_file() else []
    if not published:
        missing.append(f"published figures ({PATH})")
    return Results(
        root=root,
        separation=separation,
        rows=pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=ROW_COLUMNS),
        tables=tables,
        training=training,
        models=models,
        methods=methods,
        published=published,
        missing=missing,
    )


def order_methods(separation: pd.DataFrame) -> dict[str, str]:
    """Methods with their kind, in the order of `KINDS`; within a kind the best mean SI-SDR first.

    Who has fewer values than others comes after those of its kind that have all.
    """
    scores = separation[separation["metric"] == "si_sdr"]
    if "waveform" in set(scores["reference"]):
        scores = scores[scores["reference"] == "waveform"]
    means = scores.groupby("method")["mean"].mean()
    counts = scores.groupby("method")["n"].sum()
    first = separation.drop_duplicates("method").set_index("method")["kind"]
    rank = {kind: i for i, kind in enumerate(KINDS)}

    def place(method: str) -> tuple:
        mean = means.get(method, np.nan)
        few = counts.get(method, 0) < counts.max()
        return rank.get(first[method], len(KINDS)), few, -mean if np.isfinite(mean) else np.inf, method

    return {method: first[method] for method in sorted(first.index, key=place)}


def metric_name(metric: str) -> str:
    """A metric's name as the field writes it."""
    return TABLE_METRICS[metric].label if metric in TABLE_METRICS else metric


def is_true(value: object) -> bool:
    """Whether a cell of a table says yes."""
    return str(value) == "True"


def has(table: pd.DataFrame | None, columns: list[str]) -> bool:
    """Whether a table is there, with rows and these columns."""
    return table is not None and len(table) > 0 and set(columns) <= set(table)


def loss_columns(curve: pd.DataFrame) -> list[str]:
    """The columns of a training curve that are losses."""
    return [name for name in map(str, curve) if "loss" in name and pd.api.types.is_numeric_dtype(curve[name])]


def cost_columns(cost: pd.DataFrame | None) -> list[str]:
    """The columns of the cost table that scores can be drawn against, in the order of `COST_NAMES`."""
    if cost is None or not has(cost, ["method"]):
        return []
    numeric = [str(name) for name in cost if pd.api.types.is_numeric_dtype(cost[name])]
    return [name for name in COST_NAMES if name in numeric and (cost[name] > 0).any()]


def ablation_runs(ablation: pd.DataFrame | None) -> pd.DataFrame:
    """Trainings of the ablation that have scores, one per row, the best variant of a task first: task, variant, seed
    and what was measured.

    Returns
    -------
    pd.DataFrame
        `si_sdr` and, where it is there, `si_sir`: mean over sources, in dB; `consistency`: of remixes, in dB.
    """
    if ablation is None or not has(ablation, ABLATION_COLUMNS):
        return pd.DataFrame()
    runs = ablation[["task", "variant", "seed"]].assign(consistency=ablation["remix_consistency_db"])
    sources = {source for task in ablation["task"].astype(str) for source in task.split("+")}
    for metric in ("si_sdr", "si_sir"):
        columns = [name for name in map(str, ablation) if name.removeprefix(f"{metric}_") in sources]
        if columns:
            runs[metric] = ablation[columns].apply(pd.to_numeric, errors="coerce").mean(axis=1)
    if "si_sdr" not in runs:
        return pd.DataFrame()
    runs = runs.dropna(subset="si_sdr")
    mean = runs.groupby(["task", "variant"])["si_sdr"].transform("mean")
    return (
        runs.assign(mean=mean)
        .sort_values(["task", "mean", "seed"], ascending=[True, False, True])
        .drop(columns="mean")
    )


def rank_correlation(runs: pd.DataFrame) -> float:
    """Spearman's correlation of the consistency of remixes with SI-SDR over trainings; NaN for fewer than three.

    The mean over seeds, weighted by their trainings: those of one seed alone are measured on the same remixes.
    """
    found, weights = [], []
    for _, mine in runs[["seed", "consistency", "si_sdr"]].dropna().groupby("seed"):
        if len(mine) > 2 and (mine[["consistency", "si_sdr"]].nunique() > 1).all():
            found.append(mine["consistency"].corr(mine["si_sdr"], method="spearman"))
            weights.append(len(mine))
    return float(np.average(found, weights=weights)) if found else np.nan

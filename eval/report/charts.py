"""What the interactive figures are drawn from: plain lists and numbers, NaN as None."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from eval.report.results import (
    COMPARISON_COLUMNS,
    COST_NAMES,
    STEPS_COLUMNS,
    Results,
    ablation_runs,
    cost_columns,
    has,
    is_true,
    loss_columns,
    metric_name,
    rank_correlation,
)
from eval.tables import TABLE_METRICS

POINTS = 150  # of one method, source and metric in the chart of distributions
SERIES_METRICS = ("si_sdr", "si_sir", "si_sar", "si_sdr_improvement", "mstft")


def chart_data(results: Results) -> dict[str, Any]:
    """Everything that the page's charts show."""
    columns = [
        "task",
        "method",
        "reference",
        "source",
        "metric",
        "mean",
        "median",
        "ci_low",
        "ci_high",
        "ci_of",
        "n",
    ]
    present = [column for column in columns if column in results.separation]
    metrics = list(dict.fromkeys([*results.separation["metric"], *SERIES_METRICS]))
    names = sorted(results.rows["segment"].unique())
    return {
        "kinds": results.kinds,
        "metrics": {metric: {"label": metric_name(metric), "unit": _unit(metric)} for metric in metrics},
        "scores": records(results.separation[present].round(3)),
        "names": names,
        "segments": _series(results.rows, names),
        "training": {name: _training(table) for name, table in results.training.items()},
        "cost": _cost(results),
        "comparisons": _comparisons(results),
        "steps": _steps(results),
        "ablation": _ablation(results),
    }


def _unit(metric: str) -> str:
    return TABLE_METRICS[metric].unit if metric in TABLE_METRICS else "dB"


def _steps(results: Results) -> list[dict[Hashable, Any]]:
    table = results.tables.get("steps")
    return records(table[STEPS_COLUMNS]) if table is not None and has(table, STEPS_COLUMNS) else []


def _ablation(results: Results) -> dict[str, Any]:
    """The trainings, and by task how the consistency of remixes ranks them."""
    runs = ablation_runs(results.tables.get("ablation"))
    if runs.empty:
        return {"runs": [], "correlation": {}}
    correlation = {str(task): _plain(rank_correlation(mine)) for task, mine in runs.groupby("task")}
    return {"runs": records(runs.round(3)), "correlation": correlation}


def records(table: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """Rows as dicts, in which no number is NaN or infinite."""
    return [{key: _plain(value) for key, value in row.items()} for row in table.to_dict("records")]


def _plain(value: object) -> object:
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def _comparisons(results: Results) -> list[list[Any]]:
    """Pairs against the waveforms: task, source, metric, A, B, difference, its interval, corrected p, significant."""
    table = results.tables.get("comparisons")
    if table is None or not has(table, COMPARISON_COLUMNS):
        return []
    table = table[(table["reference"] == "waveform") & table["metric"].isin(SERIES_METRICS)]
    numbers = ["difference", "ci_low", "ci_high", "p_holm"]
    table = table.round({name: 2 for name in numbers[:3]}).assign(
        significant=table["significant"].map(is_true)
    )
    columns = ["task", "source", "metric", "method_a", "method_b", *numbers, "significant"]
    return [[_plain(value) for value in row] for row in table[columns].itertuples(index=False)]


def _series(rows: pd.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    """Scores by segment: those of each task, method, reference, source and metric, sorted.

    A segment is given by its place among `names`. Of more than `POINTS` scores, those at even ranks are kept, the
    lowest and the highest among them.
    """
    chosen = rows[rows["metric"].isin(SERIES_METRICS) & rows["value"].notna()]
    places = {name: place for place, name in enumerate(names)}
    series = []
    for key, group in chosen.groupby(["task", "method", "reference", "source", "metric"], sort=False):
        group = group.sort_values(["value", "segment"])
        kept = np.unique(np.linspace(0, len(group) - 1, min(POINTS, len(group))).round().astype(int))
        quartiles = group["value"].quantile([0.05, 0.25, 0.5, 0.75, 0.95])
        series.append(
            dict(zip(("task", "method", "reference", "source", "metric"), key, strict=True))
            | {
                "values": group["value"].iloc[kept].round(2).tolist(),
                "places": group["segment"].iloc[kept].map(places).tolist(),
                "quartiles": quartiles.round(3).tolist(),
                "n": len(group),
            }
        )
    return series


def _training(table: pd.DataFrame) -> dict[str, list]:
    return {name: [_plain(value) for value in table[name]] for name in ["step", *loss_columns(table)]}


def _cost(results: Results) -> dict[str, Any]:
    cost = results.tables.get("cost")
    names = cost_columns(cost)
    if cost is None or not names:
        return {}
    return {
        "columns": [[name, COST_NAMES[name]] for name in names],
        "rows": records(cost[["method", *names]]),
    }

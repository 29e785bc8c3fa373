"""Tables of the report, ready for the template: text to show beside the value to sort by."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from eval.report.published import Published
from eval.report.results import COST_NAMES, Results, is_true, metric_name

HEADLINE_METRICS = ("si_sdr", "si_sir", "si_sar")
DASH = "–"
TRAINED = {"run": "in the run", "long": "before it, longer"}
INTERVALS = {"ci_low": "ci_high", "low": "high"}
LABELS = {
    "n": "used",
    "n_silent": "silent",
    "n_capped": "at the cap",
    "n_failed": "failed",
    "n_seeds": "seeds",
    "seed_sd": "spread over seeds (SD)",
    "ci_low": "95 % interval",
    "share_below_0": "share under 0 dB",
    "p_value": "p against the best of its kind",
    "p_uncorrected": "p, uncorrected",
    "n_tracks": "tracks",
    "p_holm": "p (Holm)",
    "ci_of": "interval of",
    "low": "95 % interval",
    "remix_consistency_db": "remix consistency (dB)",
    "assignment": "order",
    "method_a": "method A",
    "method_b": "method B",
    "data": "data, SHA-256",
    "references": "references, SHA-256",
    "estimates": "estimates, SHA-256",
    "weights": "weights, SHA-256",
    "params_hash": "parameters, SHA-256",
    "sample_rate": "sample rate (Hz)",
    "code_commit": "commit",
    "code_uncommitted_changes": "changes not in the commit",
    "machine_cpu": "processor",
    "machine_cores": "cores",
    "machine_memory_gb": "memory (GB)",
    "machine_system": "system",
    "protocol_version": "version of the scores",
    "protocol_window": "BSS Eval window (s)",
    "protocol_hop": "BSS Eval hop (s)",
    **COST_NAMES,
}


@dataclass(frozen=True)
class Cell:
    """Text, the value that sorting uses where it is another than the text, and what stands small beneath."""

    text: str
    sort: str | float | None = None
    numeric: bool = False
    beneath: str = ""


@dataclass(frozen=True)
class Table:
    """A table with one header row; `filters` are the columns that may be filtered by a value, `note` stands beneath."""

    name: str
    caption: str
    columns: list[Cell]
    rows: list[list[Cell]]
    filters: list[tuple[int, str, list[str]]] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True)
class HeadlineScore:
    """A mean with its interval in dB; `best` of its kind, `mark` its significance, `notes` on how it came about."""

    mean: float
    low: float
    high: float
    best: bool
    mark: str
    notes: list[str]

    @property
    def text(self) -> str:
        """The mean, or a dash."""
        return number(self.mean, 2)

    @property
    def interval(self) -> str:
        """The interval, or nothing where there is none."""
        if not (np.isfinite(self.low) and np.isfinite(self.high)):
            return ""
        return f"{number(self.low, 1)} to {number(self.high, 1)}"


@dataclass(frozen=True)
class HeadlineRow:
    """One method: a score for each source and metric, and how many segments they rest on."""

    method: str
    kind: str
    trained: str
    scores: list[HeadlineScore]
    counts: str
    used: int
    fault: str


@dataclass(frozen=True)
class Headline:
    """The main table of one task against one kind of reference."""

    task: str
    reference: str
    sources: list[str]
    metrics: list[str]
    rows: list[HeadlineRow]


def number(value: float, digits: int) -> str:
    """A number with a true minus sign; a dash where there is none."""
    if value is None or not np.isfinite(value):
        return DASH
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.removeprefix("-")


def make_headlines(results: Results) -> list[Headline]:
    """One table a task and reference; the waveforms, which flatter no method, come first."""
    groups = results.separation.groupby(["task", "reference"], sort=False)
    return sorted(
        (_headline(results, str(task), str(reference), table) for (task, reference), table in groups),
        key=lambda headline: headline.reference != "waveform",
    )


def _headline(results: Results, task: str, reference: str, table: pd.DataFrame) -> Headline:
    sources = list(table["source"].unique())
    metrics = [metric for metric in HEADLINE_METRICS if metric in set(table["metric"])]
    cells = {(row["method"], row["source"], row["metric"]): row for row in table.to_dict("records")}
    methods = {method: kind for method, kind in results.kinds.items() if method in set(table["method"])}
    trained = dict(zip(table["method"], table["trained"], strict=True))
    keys = [(source, metric) for source in sources for metric in metrics]
    rows = []
    for method, kind in methods.items():
        mine = [cells.get((method, *key), {}) for key in keys]
        scores = [
            HeadlineScore(
                cell.get("mean", np.nan),
                cell.get("ci_low", np.nan),
                cell.get("ci_high", np.nan),
                best=is_true(cell.get("best")),
                mark="*" if is_true(cell.get("significant")) else "",
                notes=_notes(cell),
            )
            for cell in mine
        ]
        counted = (
            {source: cells.get((method, source, metrics[0]), {}) for source in sources} if metrics else {}
        )
        when = TRAINED.get(trained[method], DASH)
        fault = _fault(results, method, task, mine)
        rows.append(HeadlineRow(method, kind, when, scores, *_counts(counted), fault))
    return Headline(task, reference, sources, [metric_name(metric) for metric in metrics], rows)


def _notes(cell: dict) -> list[str]:
    """The spread over seeds, where there are several, and how many values are at the cap."""
    notes = []
    if cell.get("n_seeds", 1) > 1:
        notes.append(f"SD {number(cell['seed_sd'], 2)} over {cell['n_seeds']:.0f} seeds")
    if cell.get("n_capped", 0):
        notes.append(f"{cell['n_capped']:.0f} at the cap")
    return notes


def _counts(cells: dict[str, dict]) -> tuple[str, int]:
    """Segments used, silent and failed: once if they are the same for each source."""
    texts = {
        source: " / ".join(str(int(cell.get(key, 0) or 0)) for key in ("n", "n_silent", "n_failed"))
        for source, cell in cells.items()
    }
    used = min((int(cell.get("n", 0) or 0) for cell in cells.values()), default=0)
    if len(set(texts.values())) == 1:
        return next(iter(texts.values())), used
    return ", ".join(f"{source} {text}" for source, text in texts.items()), used


def _fault(results: Results, method: str, task: str, cells: list[dict]) -> str:
    """What went wrong with a method that has no score at all."""
    if any(np.isfinite(cell.get("mean", np.nan)) for cell in cells):
        return ""
    rows = results.rows[(results.rows["method"] == method) & (results.rows["task"] == task)]
    reasons = rows.loc[rows["status"] != "ok", ["status", "reason"]].value_counts()
    if reasons.empty:
        return "no score"
    status, reason = reasons.index[0]
    if reason.startswith(("not applicable: ", "not available: ")):
        return reason
    return f"{status} on every segment: {reason}"


def make_scores(separation: pd.DataFrame) -> Table:
    """Every aggregated score, with filters."""
    keys = ["task", "set", "method", "kind", "reference", "source", "metric"]
    first = [
        column for column in ("mean", "ci_low", "ci_high", "significant", "median") if column in separation
    ]
    rest = first + [column for column in separation if column not in [*keys, *first, "best"]]
    table = separation.assign(metric=separation["metric"].map(metric_name))[keys + rest]
    filters = ("task", "set", "metric", "reference", "source", "kind", "trained", "method")
    return make_table("scores", "Every score, aggregated over the test segments", table, filters)


def in_order(table: pd.DataFrame, methods: Iterable[str]) -> pd.DataFrame:
    """Rows in the order that the report lists the methods."""
    place = {method: i for i, method in enumerate(methods)}
    return table.sort_values("method", key=lambda names: names.map(place), kind="stable")


def make_comparisons(comparisons: pd.DataFrame) -> Table:
    """The paired tests on the headline's scores against the waveforms; the file has those on the others too."""
    chosen = (
        comparisons[
            (comparisons["reference"] == "waveform") & comparisons["metric"].isin(HEADLINE_METRICS[:2])
        ]
        .drop(columns="reference")
        .rename(columns={"p_value": "p_uncorrected"})
    )
    table = chosen.assign(metric=chosen["metric"].map(metric_name))
    filters = ("task", "set", "metric", "source", "family", "method_a", "method_b", "significant")
    caption = "Paired tests between methods, A less B (the other metrics: reports/tables/comparisons.csv)"
    note = (
        "Holm's correction is over the family of a source and metric. Intervals are of each comparison by itself. "
        "A difference that is not significant is not shown to be zero: its interval says how large it may be."
    )
    return replace(make_table("comparisons", caption, table, filters), note=note)


def make_published(entry: Published) -> Table:
    """Means of one published source: a row per task and source, a column a metric."""
    rows: dict[tuple, dict] = {}
    for figure in entry.figures:
        key = (figure.task, figure.source, figure.n)
        row = dict(zip(("mixture of", "source", "examples"), key, strict=True))
        rows.setdefault(key, row)[metric_name(figure.metric)] = figure.mean
    table = pd.DataFrame(list(rows.values())).astype({"examples": float})
    return make_table(entry.name, f"{entry.name}; mean in dB", table)


def make_faults(rows: pd.DataFrame) -> Table | None:
    """Which methods have no score on how many segments, and why; None where all have scores."""
    faults = rows[rows["status"] != "ok"]
    if faults.empty:
        return None
    counts = faults.groupby(["method", "status", "reason"])["segment"].nunique().rename("segments")
    return make_table("faults", "Segments without a score, by method and reason", counts.reset_index())


def make_cost(cost: pd.DataFrame) -> Table:
    """The cost table: of times the spread beneath the median, and in a note what is the same for every method."""
    cost = cost.loc[:, [name for name in cost if not cost[name].isin(["", np.nan]).all()]]
    same = [
        name
        for name in ("device", "threads", "machine", "libraries")
        if name in cost and cost[name].nunique() == 1
    ]
    spread = {name: [f"{name}_min", f"{name}_max"] for name in COST_NAMES if f"{name}_min" in cost}
    shown = cost.drop(columns=[*same, *itertools.chain.from_iterable(spread.values())])
    table = make_table(
        "cost",
        "Compute cost of each method; of times the median, beneath it the least and the greatest",
        shown,
        digits=True,
    )
    for name, ends in spread.items():
        place = list(shown).index(name)
        lows, highs = (make_cells(cost[end], digits=True) for end in ends)
        for row, low, high in zip(table.rows, lows, highs, strict=True):
            if DASH not in (low.text, high.text):
                row[place] = replace(row[place], beneath=f"{low.text} to {high.text}")
    return replace(table, note="; ".join(f"{title(name)}: {make_cells(cost[name])[0].text}" for name in same))


def make_table(
    name: str, caption: str, table: pd.DataFrame, filters: Iterable[str] = (), digits: bool = False
) -> Table:
    """Any table; the task and the set are left out where there is one only, and so is a filter without a choice."""
    table = table.drop(columns=[key for key in ("task", "set") if key in table and table[key].nunique() == 1])
    ends = {low: high for low, high in INTERVALS.items() if {low, high} <= set(table)}
    shown = table.drop(columns=list(ends.values()))
    columns = [Cell(title(column), numeric=is_numeric_dtype(shown[column])) for column in shown]
    cells = [
        _intervals(table[column], table[ends[str(column)]], digits)
        if column in ends
        else make_cells(shown[column], digits)
        for column in shown
    ]
    places = [
        (list(shown).index(key), title(key), [cell.text for cell in make_cells(table[key].drop_duplicates())])
        for key in filters
        if key in table and table[key].nunique() > 1
    ]
    return Table(name, caption, columns, [list(row) for row in zip(*cells, strict=True)], places)


def title(column: Hashable) -> str:
    """A column's name as a heading."""
    name = str(column)
    if name.startswith("libraries_"):
        return name.removeprefix("libraries_")
    for metric in ("si_sdr", "si_sir", "si_sar"):  # of a source, as in si_sdr_drums
        if name.startswith(f"{metric}_"):
            return f"{metric_name(metric)} {name.removeprefix(f'{metric}_')}"
    text = LABELS.get(name, name.replace("_", " "))
    return text[:1].upper() + text[1:]


def make_cells(column: pd.Series, digits: bool = False) -> list[Cell]:
    """A column's cells: whole numbers as such, others with two decimals, or three digits if asked or all below 1."""
    if not is_numeric_dtype(column):
        return [Cell({"True": "yes", "False": "no"}.get(str(value), str(value))) for value in column]
    values = column.to_numpy(float)
    finite = values[np.isfinite(values)]
    whole = bool((finite == finite.round()).all())
    digits = digits or not (np.abs(finite) >= 1).any()

    def text(value: float) -> str:
        if whole or abs(value) >= 1000:
            return f"{value:,.0f}".replace(",", " ")
        return f"{value:.3g}" if digits else number(value, 2)

    return [
        Cell(text(value).replace("-", "−"), value, numeric=True)
        if np.isfinite(value)
        else Cell(DASH, "", numeric=True)
        for value in values.tolist()
    ]


def _intervals(low: pd.Series, high: pd.Series, digits: bool) -> list[Cell]:
    """Cells of an interval, sorted by its lower end."""
    cells = make_cells(pd.concat([low, high]), digits)
    pairs = zip(cells[: len(low)], cells[len(low) :], strict=True)
    return [
        below if DASH in (below.text, above.text) else replace(below, text=f"{below.text} to {above.text}")
        for below, above in pairs
    ]


def best_of_each_kind(results: Results, task: str) -> dict[str, tuple[str, dict[str, float]]]:
    """For each kind its method with the best mean SI-SDR against the waveforms, and that score by source."""
    scores = results.separation.query("metric == 'si_sdr' and reference == 'waveform' and task == @task")
    best: dict[str, tuple[str, dict[str, float]]] = {}
    for method, kind in results.kinds.items():  # best first within a kind
        mine = scores[scores["method"] == method].set_index("source")["mean"].dropna()
        if kind not in best and len(mine):
            best[kind] = (method, {str(source): float(mean) for source, mean in mine.items()})
    return best

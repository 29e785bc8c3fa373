"""Figures of the report as SVG and PNG, drawn with seaborn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

mpl.use("Agg")

import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from eval.report.composition import Heard
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
)

KIND_COLOURS = {
    "unsupervised": "#0b6a75",
    "supervised": "#3d4650",
    "blind": "#7b858f",
    "bound": "#7b858f",
    "oracle": "#a9b1b8",
}
KIND_MARKERS = {"unsupervised": "o", "supervised": "s", "blind": "^", "bound": "v", "oracle": "D"}
FIGURES = (
    *("scores", "distributions", "comparisons", "cost", "steps", "ablation", "criterion", "training"),
    "latents",
)
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8b949c",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e9eb",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "text.parse_math": False,  # a track or method may be called $x
    "svg.hashsalt": "figures",  # the same results give the same bytes
    "svg.fonttype": "none",
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class Drawing:
    """A figure that was written: its files' stem, and what it shows in one sentence."""

    name: str
    alt: str


@contextmanager
def _saving(folder: Path, name: str) -> Iterator[Callable[[Figure], None]]:
    with mpl.rc_context(STYLE):
        figures: list[Figure] = []
        yield figures.append
        for figure in figures:
            _settle(figure)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            figure.savefig(folder / f"{name}.png", dpi=160, metadata={"Software": None})
            plt.close(figure)


def _settle(figure: Figure) -> None:
    """Lay a figure out once, with rounded positions: the solver's last digit differs between processes."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axis in figure.axes:
        left, bottom, width, height = (round(each, 6) for each in axis.get_position(original=True).bounds)
        axis.set_position((left, bottom, width, height))


def draw_scores(separation: pd.DataFrame, kinds: dict[str, str], folder: Path) -> Drawing:
    """SI-SDR and SI-SIR by method and source, with their intervals.

    Parameters
    ----------
    separation
        Rows of one task and one reference.
    kinds
        Kind of each method, in the order to draw them.
    """
    metrics = [metric for metric in ("si_sdr", "si_sir") if metric in set(separation["metric"])]
    sources = list(separation["source"].unique())
    with _saving(folder, "scores") as save:
        figure, axes = plt.subplots(
            len(metrics), len(sources), sharey=True, sharex="row", squeeze=False,
            figsize=(3.4 * len(sources) + 1.2, (0.26 * len(kinds) + 0.9) * len(metrics)),
        )  # fmt: skip
        for metric, line in zip(metrics, axes, strict=True):
            for source, axis in zip(sources, line, strict=True):
                chosen = separation[(separation["metric"] == metric) & (separation["source"] == source)]
                _dots(axis, chosen.set_index("method").reindex(list(kinds)), kinds)
                axis.set(xlabel=f"{metric_name(metric)} (dB)", title=source)
        save(figure)
    reference = separation["reference"].iloc[0] if len(separation) else ""
    return Drawing(
        "scores", f"SI-SDR and SI-SIR of each method and source, mean and interval, {reference} references"
    )


def _dots(axis: plt.Axes, table: pd.DataFrame, kinds: dict[str, str]) -> None:
    for place, (method, row) in enumerate(table.iterrows()):
        colour, marker = _look(kinds[str(method)])
        if {"ci_low", "ci_high"} <= set(table.columns):
            axis.plot(
                [row["ci_low"], row["ci_high"]], [place, place], color=colour, lw=1.6, solid_capstyle="round"
            )
        axis.plot(row["mean"], place, marker, color=colour, ms=5.5, mec="white", mew=0.6)
    axis.axvline(0, color="#8b949c", lw=0.8)
    axis.set_yticks(range(len(table)), list(table.index))
    axis.set_ylim(len(table) - 0.5, -0.5)
    axis.grid(axis="y", visible=False)


def _look(kind: str) -> tuple[str, str]:
    return KIND_COLOURS.get(kind, "#7b858f"), KIND_MARKERS.get(kind, "o")


def draw_distributions(rows: pd.DataFrame, kinds: dict[str, str], folder: Path) -> Drawing:
    """SI-SDR of every segment, by method and source: boxes at the quartiles, whiskers at 5 and 95 %."""
    scores = rows[(rows["metric"] == "si_sdr") & rows["value"].notna()]
    sources = list(scores["source"].unique())
    palette = {method: _look(kind)[0] for method, kind in kinds.items()}
    with _saving(folder, "distributions") as save:
        figure, axes = plt.subplots(
            1, max(1, len(sources)), sharey=True, sharex=True, squeeze=False,
            figsize=(3.4 * max(1, len(sources)) + 1.2, 0.34 * len(kinds) + 0.9),
        )  # fmt: skip
        for source, axis in zip(sources, axes[0], strict=False):
            common = {
                "data": scores[scores["source"] == source], "x": "value", "y": "method", "order": list(kinds),
                "hue": "method", "palette": palette, "legend": False, "ax": axis,
            }  # fmt: skip
            sns.stripplot(
                **common, marker="|", size=7, linewidth=0.8, alpha=0.35, jitter=False, rasterized=True
            )
            sns.boxplot(**common, whis=(5, 95), fliersize=0, width=0.55, fill=False, linewidth=1)
            axis.axvline(0, color="#8b949c", lw=0.8)
            axis.set(xlabel="SI-SDR (dB)", ylabel="", title=source)
            axis.grid(axis="y", visible=False)
            if len(common["data"]):  # far outliers would flatten everything else
                low, high = common["data"]["value"].quantile([0.005, 1.0])
                axis.set_xlim(max(low, -40) - 1, high + 1)
        save(figure)
    return Drawing("distributions", "SI-SDR of every segment by method and source, with quartiles")


def draw_training(training: dict[str, pd.DataFrame], folder: Path) -> Drawing:
    """Training and validation loss over steps, one panel per model."""
    columns = min(3, len(training))
    lines = -(-len(training) // columns)
    with _saving(folder, "training") as save:
        figure, axes = plt.subplots(lines, columns, squeeze=False, figsize=(3.4 * columns, 2.5 * lines))
        for axis in axes.flat[len(training) :]:
            axis.set_visible(False)
        for axis, (name, table) in zip(axes.flat, training.items(), strict=False):
            for curve in loss_columns(table):
                validation = curve != "loss"
                axis.plot(
                    table["step"], table[curve], color=KIND_COLOURS["unsupervised" if validation else "blind"],
                    lw=1.6, ls="-" if validation else "--", label=curve.replace("_", " "),
                )  # fmt: skip
            axis.set(title=name, xlabel="step", ylabel="loss")
            axis.legend(frameon=False)
        save(figure)
    return Drawing("training", "Training and validation loss over steps, one panel per model")


def draw_comparisons(comparisons: pd.DataFrame, kinds: dict[str, str], folder: Path) -> Drawing:
    """Differences in SI-SDR of the comparisons made, one panel per source; the significant ones are coloured."""
    chosen = comparisons[comparisons["metric"] == "si_sdr"]
    sources = list(chosen["source"].unique())
    compared = set(chosen["method_a"]) | set(chosen["method_b"])
    methods = [method for method in kinds if method in compared]
    size = 0.42 * len(methods) + 1.4
    with _saving(folder, "comparisons") as save:
        figure, axes = plt.subplots(1, len(sources), squeeze=False, figsize=(size * len(sources), size))
        for source, axis in zip(sources, axes[0], strict=True):
            mine = chosen[chosen["source"] == source]
            differences = pd.DataFrame(np.nan, index=methods, columns=methods)
            shown = pd.DataFrame(0.0, index=methods, columns=methods)
            for row in mine.to_dict("records"):
                for a, b, sign in [("method_a", "method_b", 1), ("method_b", "method_a", -1)]:
                    differences.loc[row[a], row[b]] = sign * row["difference"]
                    shown.loc[row[a], row[b]] = sign * row["difference"] * is_true(row["significant"])
            largest = max(1.0, float(np.nanmax(np.abs(differences), initial=0)))
            sns.heatmap(
                shown, ax=axis, cmap=sns.diverging_palette(30, 195, as_cmap=True), vmin=-largest, vmax=largest,
                annot=differences.map(lambda value: "" if np.isnan(value) else f"{value:.1f}"), fmt="",
                annot_kws={"fontsize": 7}, cbar=False, square=True, linewidths=0.5,
            )  # fmt: skip
            axis.set(title=source)
            axis.grid(visible=False)
        save(figure)
    return Drawing(
        "comparisons",
        "Differences in SI-SDR between methods, row less column, by source; coloured if significant",
    )


def draw_cost(
    cost: pd.DataFrame, separation: pd.DataFrame, kinds: dict[str, str], column: str, folder: Path
) -> Drawing:
    """Mean SI-SDR over sources against one column of the cost table, on a logarithmic axis."""
    scores = separation[separation["metric"] == "si_sdr"].groupby("method")["mean"].mean()
    points = (
        cost.drop_duplicates("method").set_index("method")[column].to_frame("cost").join(scores, how="inner")
    )
    points = points[(points["cost"] > 0) & points["mean"].notna()]
    with _saving(folder, "cost") as save:
        figure, axis = plt.subplots(figsize=(6.2, 3.8))
        for number, (method, point) in enumerate(points.sort_values("cost").iterrows()):
            colour, marker = _look(kinds.get(str(method), ""))
            axis.plot(point["cost"], point["mean"], marker, color=colour, ms=6, mec="white", mew=0.6)
            above = (5, 4) if number % 2 else (5, -10)  # names of neighbours go to both sides
            place = (point["cost"], point["mean"])
            axis.annotate(str(method), place, above, textcoords="offset points", color=colour)
        axis.set(xscale="log", xlabel=COST_NAMES[column], ylabel="SI-SDR, mean over sources (dB)")
        axis.xaxis.set_major_formatter("{x:g}")
        save(figure)
    return Drawing("cost", f"Mean SI-SDR over sources against {COST_NAMES[column]}, one point per method")


def draw_steps(steps: pd.DataFrame, folder: Path) -> Drawing:
    """Scores of each source and the real-time factor against sampling steps."""
    sources = list(steps["source"].unique())
    colours = dict(zip(sources, [KIND_COLOURS["unsupervised"], *sns.color_palette("deep")[1:]], strict=False))
    ticks = np.unique(steps["steps"])
    with _saving(folder, "steps") as save:
        figure, (score, time) = plt.subplots(1, 2, figsize=(7.6, 3.1))
        for source in sources:
            line = steps[steps["source"] == source].sort_values("steps")
            for metric, style in [("si_sdr", "-"), ("si_sir", "--")]:
                score.plot(
                    line["steps"], line[metric], style, marker="o", ms=3.5, lw=1.5, color=colours[source],
                    label=f"{metric_name(metric)}, {source}",
                )  # fmt: skip
        cost = steps.groupby("steps")["real_time_factor"].mean()
        time.plot(cost.index, cost, marker="o", ms=3.5, lw=1.5, color=KIND_COLOURS["supervised"])
        score.set(ylabel="dB")
        score.legend(frameon=False, fontsize=8)
        time.set(ylabel="real-time factor", ylim=(0, None))
        for axis in (score, time):
            axis.set(xscale="log", xlabel="sampling steps")
            axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axis.minorticks_off()
        save(figure)
    return Drawing(
        "steps",
        "SI-SDR and SI-SIR of each source, and the real-time factor, against the number of sampling steps",
    )


def draw_ablation(runs: pd.DataFrame, folder: Path) -> Drawing:
    """SI-SDR of each variant, mean over sources: a dot per training, a line at their mean, one panel per task."""
    tasks = list(runs["task"].unique())
    counts = [runs.loc[runs["task"] == task, "variant"].nunique() for task in tasks]
    with _saving(folder, "ablation") as save:
        figure, axes = plt.subplots(
            len(tasks), 1, squeeze=False, height_ratios=counts,
            figsize=(6.2, 0.3 * sum(counts) + 0.55 * len(tasks) + 0.5),
        )  # fmt: skip
        for task, axis in zip(tasks, axes[:, 0], strict=True):
            mine = runs[runs["task"] == task]
            common = {
                "data": mine,
                "x": "si_sdr",
                "y": "variant",
                "ax": axis,
                "color": KIND_COLOURS["unsupervised"],
            }
            sns.stripplot(**common, size=4.5, alpha=0.6, jitter=False)
            sns.pointplot(**common, errorbar=None, linestyle="none", marker="|", markersize=14)
            axis.set(title=task, ylabel="", xlabel="SI-SDR, mean over sources (dB)")
        save(figure)
    return Drawing(
        "ablation", "SI-SDR of each variant of the ablation, mean over sources, a dot per training"
    )


def draw_criterion(runs: pd.DataFrame, folder: Path) -> Drawing:
    """SI-SDR of each training against the consistency of remixes, which needs no true source; one panel per task."""
    tasks = list(runs["task"].unique())
    heights = [max(3.0, 0.2 * runs.loc[runs["task"] == task, "variant"].nunique()) for task in tasks]
    with _saving(folder, "criterion") as save:
        figure, axes = plt.subplots(
            len(tasks), 1, squeeze=False, height_ratios=heights, figsize=(8, sum(heights))
        )
        for task, axis in zip(tasks, axes[:, 0], strict=True):
            mine = runs[runs["task"] == task]
            palette = sns.color_palette("husl", mine["variant"].nunique())
            sns.scatterplot(
                data=mine, x="consistency", y="si_sdr", hue="variant", palette=palette, style="variant",
                ax=axis, s=36, legend="full",
            )  # fmt: skip
            axis.set(title=task, xlabel="remix consistency (dB)", ylabel="SI-SDR, mean over sources (dB)")
            sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1), frameon=False, title=None, fontsize=7)
            if legend := axis.get_legend():
                legend.set_in_layout(True)
        save(figure)
    return Drawing(
        "criterion", "SI-SDR of each training against the consistency of its remixes, a dot per training"
    )


def draw_latents(heard: Heard, folder: Path) -> Drawing:
    """Every component's latent over time in each training, a line for each of its values."""
    panels = [
        (f"{each.title}: {size}", latent)
        for each in heard.trainings
        for size, latent in zip(each.sizes, each.latents, strict=True)
    ]
    heights = [max(2, len(latent)) for _, latent in panels]
    seconds = heard.signals.shape[1] / heard.rate
    with _saving(folder, "latents") as save:
        figure, axes = plt.subplots(
            len(panels), 1, sharex=True, squeeze=False, height_ratios=heights,
            figsize=(7.6, 0.1 * sum(heights) + 0.5 * len(panels)),
        )  # fmt: skip
        for axis, (title, latent) in zip(axes[:, 0], panels, strict=True):
            largest = max(1e-6, float(np.abs(latent).max()))
            axis.imshow(
                latent, cmap=sns.color_palette("vlag", as_cmap=True), vmin=-largest, vmax=largest, aspect="auto",
                interpolation="nearest", extent=(0, seconds, len(latent), 0),
            )  # fmt: skip
            axis.set(yticks=[])
            axis.set_title(title, loc="left", fontsize=9, fontweight="normal")
            axis.grid(visible=False)
        axes[-1, 0].set(xlabel="seconds")
        save(figure)
    return Drawing("latents", "Each component's latent over time in both trainings, a line for each value")


def draw_all(results: Results, task: str, folder: Path, heard: Heard | None = None) -> list[Drawing]:
    """Draw every figure whose results are there into `folder`, as NAME.svg and NAME.png.

    Parameters
    ----------
    task
        The task that figures of scores show; the first one in the table if it has no rows.
    heard
        What both trainings of a variant make of a segment.
    """
    tables, kinds = results.tables, results.kinds
    tasks = list(results.separation["task"].unique())
    task = task if task in tasks else tasks[0]
    separation = _waveform(results.separation, task)
    rows = _waveform(results.rows, task)
    drawings = [draw_scores(separation, kinds, folder)]
    if rows["value"].notna().any():
        drawings.append(draw_distributions(rows, kinds, folder))
    if results.training:
        drawings.append(draw_training(results.training, folder))
    if has(tables.get("comparisons"), COMPARISON_COLUMNS):
        comparisons = _waveform(tables["comparisons"], task)
        if "si_sdr" in set(comparisons["metric"]):
            drawings.append(draw_comparisons(comparisons, kinds, folder))
    if cost_columns(tables.get("cost")):
        drawings.append(draw_cost(tables["cost"], separation, kinds, cost_columns(tables["cost"])[0], folder))
    if has(tables.get("steps"), STEPS_COLUMNS):
        drawings.append(draw_steps(tables["steps"], folder))
    runs = ablation_runs(tables.get("ablation"))
    if len(runs):
        drawings.append(draw_ablation(runs, folder))
        if runs["consistency"].notna().any():
            drawings.append(draw_criterion(runs, folder))
    if heard:
        drawings.append(draw_latents(heard, folder))
    return drawings


def _waveform(table: pd.DataFrame, task: str) -> pd.DataFrame:
    """Rows of one task against the waveforms, or against what there is."""
    table = table[table["task"] == task]
    waveform = table[table["reference"] == "waveform"]
    return waveform if len(waveform) else table

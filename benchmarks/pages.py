"""The tables of the README and of pages in docs/, from those of the run and of benchmarks.

    python -m benchmarks.pages

Each stands between two comments, as in `<!-- headline -->` and `<!-- /headline -->`; what is between them is replaced.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from benchmarks import tune
from benchmarks.seeds import spread
from eval.tables import of_first_set
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_table, replacing

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT / "reports" / "tables"
PAGES = {
    "README.md": ["headline"],
    "docs/results.md": ["separation", "cost"],
    "docs/tuning.md": ["tuning"],
    "docs/speed.md": ["build"],
}
HEADLINE = [
    "conv_tasnet_pretrained", "ucr_consensus", "ucr_adapted", "conv_tasnet", "bootstrap", "ucr", "ucr_composed",
    "grouping", "grouping_adapted",
]  # fmt: skip
PIECES = ROOT / "benchmarks" / "pieces.csv"  # scores of real recordings, by benchmarks.clips
TRAINED = {
    "long": "Trained before the run, for longer, on more songs",
    "run": "Trained in the run, on its songs",
    "none": "Nothing trained",
}
KINDS = ["oracle", "supervised", "unsupervised", "blind", "bound"]


def pages(folder: Path = ROOT, tables: Path = TABLES) -> dict[Path, str]:
    """The pages of `folder` with the tables of the run, each by its path.

    Raises
    ------
    UserError
        If a page lacks the comments, or the headline's methods are not all in the run's tables.
    """
    separation = of_first_set(read_table(tables / "separation.csv"))
    scores = separation[(separation["reference"] == "waveform") & (separation["unit"] == "segment")]
    if missing := sorted(set(HEADLINE) - set(scores["method"])):
        raise UserError(
            f"{tables / 'separation.csv'} lacks {', '.join(missing)}: run the default setting first"
        )
    order = _order(scores)
    costs = read_table(tables / "cost.csv").set_index("method")
    found = {
        "headline": _headline(scores, [name for name in order if name in HEADLINE], read_table(PIECES)),
        "separation": _separation(scores, order, _over_seeds(tables.parent / "seeds.csv"), costs),
        "cost": _cost(costs, order),
        "tuning": _tuning(read_table(ROOT / tune.TABLE)),
        "build": _build(read_table(ROOT / "benchmarks" / "build.csv")),
    }
    return {
        folder / page: _filled(folder / page, {name: found[name] for name in PAGES[page]}) for page in PAGES
    }


def _order(scores: pd.DataFrame) -> list[str]:
    """Methods by when they were trained, by kind, then by their mean SI-SDR, the best first."""
    by = ["method", "kind", "trained"]
    means = scores[scores["metric"] == "si_sdr"].groupby(by)["mean"].mean().reset_index()
    means["kind"] = means["kind"].map(KINDS.index)
    means["trained"] = means["trained"].map(list(TRAINED).index)
    return means.sort_values(["trained", "kind", "mean"], ascending=[True, True, False])["method"].tolist()


def _headline(scores: pd.DataFrame, methods: list[str], pieces: pd.DataFrame) -> str:
    real = pieces.groupby("method")["si_sdr"].mean()
    cells = scores.set_index(["method", "source", "metric"]).sort_index()
    rows = [
        [
            f"`{name}`",
            cells.loc[name, "kind"].iloc[0],
            {"long": "longer", "run": "in the run", "none": ""}[cells.loc[name, "trained"].iloc[0]],
            f"{real[name]:.1f}",
            *(f"{cells.loc[(name, source, 'si_sdr'), 'mean']:.1f}" for source in ("drums", "bass")),
            *(f"{cells.loc[(name, source, 'si_sir'), 'mean']:.1f}" for source in ("drums", "bass")),
        ]
        for name in methods
    ]
    head = [
        "method",
        "kind",
        "trained",
        "real pieces",
        "SI-SDR drums",
        "SI-SDR bass",
        "SI-SIR drums",
        "SI-SIR bass",
    ]
    return _markdown(head, rows)


def _over_seeds(path: Path) -> dict[str, str]:
    """Of each method that `benchmarks.seeds` trained: its scores' means and deviations over how many seeds."""
    if not path.is_file():
        return {}
    found = spread(read_table(path, ["method", "share"]))
    return {
        str(name): " / ".join(
            f"{row[f'si_sdr_{s}']:.1f} ± {row[f'si_sdr_{s}_sd']:.1f}" for s in ("drums", "bass")
        )
        + f" ({row['seeds']:.0f})"
        for name, row in found[found["seeds"] > 1].iterrows()
    }


def _separation(
    scores: pd.DataFrame, methods: list[str], over_seeds: dict[str, str], costs: pd.DataFrame
) -> str:
    absent = {str(name) for name, why in costs["failed"].items() if str(why).startswith("not available")}
    cells = scores.set_index(["method", "source", "metric"]).sort_index()

    def interval(name: str, source: str) -> str:
        cell = cells.loc[(name, source, "si_sdr")]
        if pd.isna(cell["mean"]):
            return "not available" if name in absent else ""
        return f"{cell['mean']:.1f} ({cell['ci_low']:.1f} to {cell['ci_high']:.1f})"

    def both(name: str, metric: str) -> str:
        means = [cells.loc[(name, source, metric), "mean"] for source in ("drums", "bass")]
        return "" if pd.isna(means).any() else " / ".join(f"{mean:.1f}" for mean in means)

    rows = {
        name: [
            f"`{name}`",
            cells.loc[name, "kind"].iloc[0],
            interval(name, "drums"),
            interval(name, "bass"),
            both(name, "si_sir"),
            both(name, "si_sar"),
            over_seeds.get(name, ""),
            str(cells.loc[name].xs("si_sdr", level="metric")["n"].min()),
        ]
        for name in methods
    }
    head = [
        "method",
        "kind",
        "SI-SDR drums",
        "SI-SDR bass",
        "SI-SIR drums / bass",
        "SI-SAR drums / bass",
        "SI-SDR over seeds, mean ± SD",
        "n",
    ]
    blocks = {
        title: [row for name, row in rows.items() if cells.loc[name, "trained"].iloc[0] == trained]
        for trained, title in TRAINED.items()
    }
    return "\n\n".join(f"**{title}**\n\n{_markdown(head, block)}" for title, block in blocks.items() if block)


def _cost(costs: pd.DataFrame, methods: list[str]) -> str:
    def millions(number: float, digits: int) -> str:
        return f"{number / 1e6:.{digits}f} M" if number > 0 else "0" if number == 0 else ""

    def trained(row: pd.Series) -> str:
        """With what the training learns from, where the card says how long that took."""
        before = row["preparation_seconds"] if row["preparation_seconds"] > 0 else 0
        if row["train_seconds"] > 0:
            return f"{before + row['train_seconds']:,.0f}"
        elsewhere = row["train_seconds_elsewhere"]
        return f"{before + elsewhere:,.0f}, elsewhere" if elsewhere > 0 else ""

    rows = [
        [
            f"`{name}`",
            millions(row["parameters"], 2),
            millions(row["macs_per_second"], 0),
            trained(row),
            " / ".join(f"{value:.3f}" for value in (row["rtf_1"], row["rtf_8"]) if pd.notna(value)),
            "" if pd.isna(row["peak_memory_mb"]) else f"{row['peak_memory_mb']:.0f}",
        ]
        for name, row in costs.loc[methods].iterrows()
    ]
    head = [
        "method",
        "parameters",
        "MACs per second of audio",
        "trained, with what that needs, s",
        "real-time factor, 1 / 8 segments",
        "peak memory, MB",
    ]
    return _markdown(head, rows)


def _tuning(table: pd.DataFrame) -> str:
    """The first and the chosen setting of every method that was searched."""
    searched = table[table["from"] != "run"]
    first = searched[searched["from"] == tune.PAPER].set_index("method")["si_sdr"]
    chosen = searched[searched["chosen_by"] == tune.TRUE_SOURCES]
    rows = [
        [f"`{row.method}`", f"{first[row.method]:.2f}", f"{row.si_sdr:.2f}", f"`{row.settings}`"]
        for row in chosen.itertuples()
    ]
    return _markdown(["method", "first setting", "chosen", "setting"], rows)


def _build(table: pd.DataFrame) -> str:
    """Seconds, memory and disk of two builds; of a method its real-time factor."""
    units = {"wall": ".1f s", "cpu": ".1f s", "memory": ".0f MB", "disk": ".0f MB"}
    rows = []
    for _, row in table.iterrows():
        line = [row["row"]]
        for what, form in units.items():
            digits, unit = form.split()
            ratio = row[f"{what}_ratio"]
            before, after = row[f"before_{what}"], row[f"after_{what}"]
            line.append("" if pd.isna(ratio) else f"{before:{digits}} / {after:{digits}} {unit}: {ratio:.2g}")
        factors = row["before_rtf"], row["after_rtf"], row["rtf_ratio"]
        line.append("" if pd.isna(factors[2]) else "{:.3f} / {:.3f}: {:.2g}".format(*factors))
        rows.append(line)
    return _markdown(["", "wall", "CPU", "memory", "disk", "real-time factor"], rows)


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _filled(page: Path, tables: dict[str, str]) -> str:
    text = page.read_text()
    for name, table in tables.items():
        text, n = re.subn(
            f"(?s)(<!-- {name} -->\n).*?(<!-- /{name} -->)",
            lambda at, new=table: f"{at[1]}\n{new}\n\n{at[2]}",
            text,
        )
        if n != 1:
            raise UserError(
                f"{page} needs <!-- {name} --> and <!-- /{name} -->, once: put them around the table"
            )
    return text


@command
def main() -> None:
    """Write the pages."""
    for path, text in pages().items():
        with replacing(path) as temporary:
            temporary.write_text(text)
        print(path)


if __name__ == "__main__":
    main()

"""The report page: one HTML file that holds its tables, figures, sounds and scripts."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from os import cpu_count
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import soundfile
import yaml
from markupsafe import Markup

from eval.report.charts import chart_data
from eval.report.composition import Heard, make_composition
from eval.report.examples import find_examples, make_example
from eval.report.figures import FIGURES, Drawing
from eval.report.generated import count_sounds, make_generated
from eval.report.listening import (
    Choice,
    Group,
    audible_segments,
    choose_bitrate,
    choose_segments,
    leading_method,
    make_group,
)
from eval.report.results import COMPARISON_COLUMNS, Results, has
from eval.report.table_views import (
    DASH,
    Table,
    best_of_each_kind,
    in_order,
    make_cells,
    make_comparisons,
    make_cost,
    make_faults,
    make_headlines,
    make_published,
    make_scores,
    make_table,
    number,
    title,
)
from ucr.data.segments import set_of
from ucr.foundation.errors import UserError
from ucr.foundation.params import Params

TEMPLATE = Path(__file__).parent / "template"
LIMIT = 15 * 2**20
SCRIPTS = ("vendor/d3.min.js", "vendor/plot.umd.min.js", "tables.js", "charts.js", "players.js")
KIND_TEXTS = {
    "unsupervised": "separation trained on mixtures only",
    "supervised": "trained on true sources",
    "blind": "learns nothing",
    "bound": "separates nothing",
    "oracle": "sees the true sources",
}


@dataclass(frozen=True)
class Listening:
    """Groups to hear, of further test sets by their names; `note` says where segments are fewer than asked for."""

    segments: list[Group]
    composition: list[Group]
    further: dict[str, list[Group]]
    generated: list[Group]
    published: list[Group]
    method: str
    note: str = ""


def make_page(
    results: Results, params: Params, drawings: list[Drawing], figures: Path, heard: Heard | None = None
) -> str:
    """Put the page together.

    Parameters
    ----------
    drawings, figures
        The figures that were drawn, and the folder where they are.
    heard
        What both trainings of a variant make of a segment.

    Raises
    ------
    UserError
        If the page would be larger than 15 MB.
    """
    listening = make_listening(results, params, heard)
    own, *further = map(results.of_set, results.sets)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "embed": embed}
    environment.globals |= {"kind_texts": KIND_TEXTS, "ranks": ranks}
    scripts = [_script(name) for name in SCRIPTS]
    html = environment.get_template("page.html.j2").render(
        params=params,
        results=results,
        count=own.rows["segment"].nunique(),
        seconds=(own.sets[0] in params.tests and params.tests[own.sets[0]].seconds)
        or params.segments.seconds,
        headlines=make_headlines(own),
        further={each.sets[0]: make_headlines(each) for each in further},
        best=best_of_each_kind(own, params.task),
        scores=make_scores(in_order(results.separation, results.kinds)),
        tables=_tables(results),
        faults=make_faults(results.rows),
        published=[(entry, make_published(entry)) for entry in results.published],
        provenance=provenance(results.tables.get("provenance")),
        models=models(results),
        all_params=yaml.safe_dump(params.model_dump(exclude_none=True)),
        listening=listening,
        heard=heard,
        figures=dict.fromkeys(FIGURES) | {drawing.name: _figure(drawing, figures) for drawing in drawings},
        charts=chart_data(own),
        audio=_audio(listening),
        style=Markup((TEMPLATE / "style.css").read_text()),
        scripts=scripts,
        script_hashes=[_hash(script) for script in scripts],
        version=_version(results),
    )
    if len(html.encode()) > LIMIT:
        raise UserError(f"reports/index.html would hold {len(html) / 2**20:.1f} MB: lower report.segments")
    return html


def embed(value: Any) -> Markup:
    """JSON for a script element: nothing in it can end the element or start a comment."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


# --- sounds ---------------------------------------------------------------------------------------


def make_listening(results: Results, params: Params, heard: Heard | None) -> Listening:
    """Choose segments, and the bitrate at which all fits in the page; where none does, fewer segments."""
    folder = results.root / "references" / "waveform"
    available = audible_segments(results)
    method, count = leading_method(results.kinds), params.report.segments
    generated = count_sounds(results.tables.get("generated", pd.DataFrame()))
    examples = find_examples(Path(params.report.published), params.task) if params.report.published else []
    published = sum(example.seconds * (1 + 2 * len(example.sources)) for example in examples)
    composition = heard.seconds if heard else 0.0
    each = 1 + len(params.sources) * (1 + len(results.kinds))
    for wanted in range(count, -1, -1):
        sets = {
            name: choose_segments(results.of_set(name).rows, method, wanted, available)
            for name in results.sets
        }
        choices, *others = sets.values()
        seconds = sum(_seconds(folder, chosen) * each * len(chosen) for chosen in others)
        seconds += _seconds(folder, choices) * (each * len(choices) + generated) + published + composition
        bitrate = choose_bitrate(seconds)
        if bitrate:
            break
    note = ""
    own = [name for name in available if set_of(name, results.sets[0]) == results.sets[0]]
    if len(choices) < count and own:
        note = f"{len(choices)} of the {count} segments asked for: " + (
            "more would make the page larger than 15 MB." if len(own) > len(choices) else "there are no more."
        )
    if bitrate is None:
        return Listening([], [], {}, [], [], method, note)
    with ThreadPoolExecutor(cpu_count()) as pool:
        groups = {
            name: [make_group(results, choice, params.sources, bitrate, pool) for choice in chosen]
            for name, chosen in sets.items()
        }
        return Listening(
            groups.pop(results.sets[0]),
            [make_composition(heard, bitrate, pool)] if heard else [],
            groups,
            make_generated(results, params.sources, bitrate, pool) if generated else [],
            [make_example(example, bitrate, pool) for example in examples],
            method,
            note,
        )


def _seconds(folder: Path, choices: list[Choice]) -> float:
    return soundfile.info(str(folder / choices[0].segment / "mixture.wav")).duration if choices else 7.0


def _audio(listening: Listening) -> dict[str, str]:
    """Every clip's MP3 by the name that its button has."""
    return {
        f"{set_name}-{g}-{r}-{c}": clip.audio
        for set_name, groups in (
            ("segments", listening.segments),
            ("composition", listening.composition),
            ("generated", listening.generated),
            ("published", listening.published),
            *((f"set-{name}", groups) for name, groups in listening.further.items()),
        )
        for g, group in enumerate(groups)
        for r, row in enumerate(group.rows)
        for c, clip in enumerate(row.clips)
    }


# --- what the results are of ----------------------------------------------------------------------

CAPTIONS = {
    "sets": "The data sets, and how much of each is used, training and test songs together",
    "data": "What the data stage kept and skipped, by split and reason",
    "generation": "Scores of generated audio. Distances are from clips of training songs (real: one half of these "
    "songs against the other). Copies are looked for among training segments: codec is nothing but copies, the test "
    "split has none. mstft is between a song and what was made of it; codec has guessed phases",
    "steps": "Score against sampling steps",
    "ablation": "Ablations, one row per training; scores on the validation split, mean over segments",
}
FILTERS = ("split", "task", "set", "space", "reference", "source", "metric", "kind", "variant")


def _tables(results: Results) -> dict[str, Table | None]:
    """What the page shows beside the scores; None where there is no such table, or it is another."""
    tables: dict[str, Table | None] = dict.fromkeys([*CAPTIONS, "comparisons", "cost"])
    for name, caption in CAPTIONS.items():
        table = results.tables.get(name)
        if table is None or table.empty:
            continue
        table = table.drop(columns="run", errors="ignore")  # of an ablation: variant and seed say as much
        tables[name] = make_table(name, caption, table, FILTERS, digits=name == "generation")
    if has(results.tables.get("comparisons"), COMPARISON_COLUMNS):
        tables["comparisons"] = make_comparisons(results.tables["comparisons"])
    if has(results.tables.get("cost"), ["method"]):
        tables["cost"] = make_cost(in_order(results.tables["cost"], results.kinds))
    return tables


def provenance(table: pd.DataFrame | None) -> tuple[list[tuple[str, str]], Table | None]:
    """What is the same for every row, as pairs, and a table of what differs between them (or None)."""
    if table is None or table.empty:
        return [], None
    table = table.drop(columns=["kind", "assignment"], errors="ignore")  # the tables of scores have them
    same = [column for column in table if table[column].nunique(dropna=False) == 1 and column != "method"]
    pairs = [(title(column), make_cells(table[column])[0].text or DASH) for column in same]
    differing = table.drop(columns=same)
    if list(differing) == ["method"]:
        return pairs, None
    return pairs, make_table("provenance", "What differs between methods", differing)


def ranks(ablation: dict[str, Any]) -> str:
    """How the label-free figure ranks trainings: of each task the correlation, and over how many."""
    counts = Counter(run["task"] for run in ablation["runs"] if run["consistency"] is not None)
    return "; ".join(
        f"{task} {DASH if value is None else number(value, 2)} over {counts[task]} trainings"
        for task, value in ablation["correlation"].items()
    )


def models(results: Results) -> Table | None:
    """Size and training of each model, from its card and curve (or None)."""
    rows = []
    for name, curve in results.training.items():
        card = results.models.get(name, {})
        last = curve.iloc[-1]
        rows.append(
            {
                "model": name,
                "parameters": card.get("parameters"),
                "steps": last["step"],
                "loss": last["loss"],
                "training seconds": last.get("seconds"),
                "device": str(card.get("device", "")),
                "seed": card.get("seed"),
            }
        )
    if not rows:
        return None
    table = pd.DataFrame(rows).astype({"parameters": float, "training seconds": float, "seed": float})
    return make_table("models", "Trained models", table)


def _version(results: Results) -> dict[str, str]:
    table = results.tables.get("provenance")
    commit = str(table["code_commit"].iloc[0]) if table is not None and has(table, ["code_commit"]) else ""
    return {"number": metadata.version("ucr-benchmark"), "commit": commit}


# --- files into the page --------------------------------------------------------------------------


def _figure(drawing: Drawing, folder: Path) -> dict[str, str]:
    data = base64.b64encode((folder / f"{drawing.name}.svg").read_bytes()).decode("ascii")
    return {"name": drawing.name, "alt": drawing.alt, "src": f"data:image/svg+xml;base64,{data}"}


def _script(name: str) -> Markup:
    """A script of the template folder; it must not hold what ends or nests a script element."""
    text = (TEMPLATE / name).read_text(encoding="utf-8")
    if any(mark in text.lower() for mark in ("</script", "<script", "<!--")):
        raise ValueError(f"{name} holds a mark that HTML would read within a script")
    return Markup(text)


def _hash(script: str) -> str:
    """The script's hash as a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")

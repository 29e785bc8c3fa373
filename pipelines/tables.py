"""Stage `tables`: scores and costs of all methods, and of generation -> reports/tables and reports/metrics.json."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from eval.comparable import check_comparable, provenance_table
from eval.cost import cost_table
from eval.folders import COLUMNS
from eval.generation import EMBEDDING_COLUMNS, ROW_COLUMNS, generation_table
from eval.tables import MethodInfo, data_table, headline, tables_of_sets
from pipelines import run_stage
from ucr.data.sets import about
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_json, read_table, write_csv, write_json
from ucr.foundation.params import Params, load_params

SCORES = Path("scores")
COSTS = Path("costs")
GENERATION = Path("generation_scores")
SEGMENTS = Path("segments")
TEST_SETS = Path("test_sets")
OUT = Path("reports/tables")
METRICS = Path("reports/metrics.json")


def make(params: Params) -> list[Path]:
    """Write every table and the headline metrics.

    Raises
    ------
    UserError
        If a method has no scores, or methods were scored on different data or by different rules.
    """
    provenance = {
        method: read_json(_existing(SCORES / method / "provenance.json", f"score@{method}"))
        for method in params.methods
    }
    check_comparable(provenance)
    generation = read_json(_existing(GENERATION / "provenance.json", "score_generation"))
    for name, fingerprint in generation["data"].items():
        of_methods = next(iter(provenance.values()))["data"].get(name)
        check_comparable({"separation": {"data": of_methods}, "generation": {"data": fingerprint}}, ["data"])
    rows = pd.concat(
        [
            read_table(
                SCORES / method / "rows.csv", COLUMNS, ["window", "value"], f"run `dvc repro score@{method}`"
            )
            for method in params.methods
        ],
        ignore_index=True,
    )
    methods = {
        name: MethodInfo(
            each["kind"], each["assignment"], _trained(each["kind"], params.methods[name]["needs"])
        )
        for name, each in provenance.items()
    }
    remedy = "run `dvc repro score_generation`"
    embeddings = read_table(GENERATION / "embeddings.csv", EMBEDDING_COLUMNS, remedy=remedy)
    clips = read_table(GENERATION / "rows.csv", ROW_COLUMNS, remedy=remedy)
    places: dict[str, tuple[str, Path]] = {params.data.name: (params.data.name, SEGMENTS)}
    places |= {name: (options.name, TEST_SETS / name) for name, options in params.tests.items()}
    scores = tables_of_sets(rows, methods, places)
    tables = {
        "separation": scores.separation,
        "comparisons": scores.comparisons,
        "tracks": scores.tracks,
        "sets": pd.DataFrame([_card(name, *place) for name, place in places.items()]),
        "data": pd.concat([_data(name, folder) for name, (_, folder) in places.items()]),
        "cost": cost_table(
            {
                method: read_json(_existing(COSTS / f"{method}.json", f"cost@{method}"))
                for method in params.methods
            }
        ),
        "generation": generation_table(embeddings, clips, params.scores.bootstrap, params.seed, params.task),
        "provenance": provenance_table(provenance),
    }
    for name, table in tables.items():
        write_csv(OUT / f"{name}.csv", table)
    write_json(METRICS, headline(scores.separation))
    return [*(OUT / f"{name}.csv" for name in tables), METRICS]


def _card(name: str, kind: str, folder: Path) -> dict:
    """One line on the set `name`, of the data set `kind`: what it is and how much of it is used."""
    index = read_table(folder / "index.csv", ["track"], [], "run `dvc repro`")
    seconds = read_json(folder / "segments.json")["seconds"]
    sounds, licence = about(kind)
    return {
        "set": name,
        "data": kind,
        "sounds": sounds,
        "licence": licence,
        "tracks": len(index[["split", "track"]].drop_duplicates()),
        "segments": len(index),
        "segment_seconds": seconds,
        "hours": round(len(index) * seconds / 3600, 3),
    }


def _data(name: str, folder: Path) -> pd.DataFrame:
    """What became of the tracks and segments of the set `name`, whose segments are in `folder`."""
    remedy = "run `dvc repro`"
    index = read_table(folder / "index.csv", ["split", "track"], [], remedy)
    skipped = read_table(folder / "skipped.csv", ["split", "segment", "reason"], [], remedy)
    path = folder / "notes.csv"  # if there is anything to note
    notes = read_table(path, ["split", "track", "reason"], [], remedy) if path.is_file() else None
    table = data_table(index, skipped, notes)
    table.insert(0, "set", name)
    return table


def _trained(kind: str, needs: str) -> str:
    """When a method that needs this was trained, as `eval.tables.MethodInfo` says it."""
    if needs.startswith("models/"):
        return "run"
    return "none" if needs in ("segments", "latents") and kind != "supervised" else "long"


def _existing(path: Path, stage: str) -> Path:
    if not path.is_file():
        raise UserError(f"{path} does not exist: run `dvc repro {stage}`")
    return path


@command
def main() -> None:
    for path in make(load_params()):
        print(path)


if __name__ == "__main__":
    run_stage(main, __doc__)

"""Stage `score@METHOD`: references and estimates -> scores/METHOD, a row per value, with their provenance."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import pandas as pd

from eval.folders import find_songs, score_songs
from eval.scores import PROTOCOL_VERSION
from ucr.data.segments import set_of
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_json, read_table, replacing, write_csv, write_json
from ucr.foundation.hashes import files_hash, values_hash
from ucr.foundation.params import Params, load_params
from ucr.foundation.provenance import made_with
from ucr.weights import weights_of

REFERENCES = {"waveform": Path("references/waveform"), "codec": Path("references/codec")}
ESTIMATES = Path("estimates")
OUT = Path("scores")


def score(method: str, params: Params) -> pd.DataFrame:
    """Score a method's estimates of all test segments and write `scores/METHOD`; its rows are returned."""
    if method not in params.methods:
        raise UserError(f"params.yaml has no method {method!r}: it has {', '.join(params.methods)}")
    folder = ESTIMATES / method
    separation = read_separation(folder)
    if separation["sources"] != params.sources:
        raise UserError(
            f"{folder} holds {separation['sources']}, not {params.sources}: separate again (`dvc repro`)"
        )
    ordered = separation["card"]["labelled"]
    songs, sources = find_songs(
        REFERENCES, folder, sources=params.sources, ordered=ordered, failures=failures(folder / "timing.csv")
    )
    window, hop = params.scores.window, params.scores.hop
    set_name = partial(set_of, dataset=params.data.name)
    rows = score_songs(
        songs, sources, method=method, ordered=ordered, window=window, hop=hop, set_of=set_name
    )
    values = params.model_dump() | {"methods": {method: params.methods[method]}}
    needs = Path(params.methods[method]["needs"])
    weights = sorted((weights_of(params.task, needs) or needs).glob("*.safetensors"))
    provenance = {
        "kind": separation["card"]["kind"],
        "assignment": "fixed order" if ordered else "best permutation",
        "task": params.task,
        "sources": sources,
        "sample_rate": separation["sample_rate"],
        "protocol": {"version": PROTOCOL_VERSION, "window": window, "hop": hop},
        "dataset": params.data.name,
        "data": separation["segments"],
        "references": files_hash(*REFERENCES.values()),
        "weights": files_hash(*weights) if weights else None,
        "params": {"hash": values_hash(values), "values": values},
        **made_with(),
    }
    with replacing(OUT / method) as temporary:
        temporary.mkdir()
        write_csv(temporary / "rows.csv", rows)
        write_json(temporary / "provenance.json", provenance)
    return rows


def read_separation(folder: Path) -> dict:
    """What the `separate` stage says of its estimates."""
    path = folder / "method.json"
    if not path.is_file():
        raise UserError(f"{path} does not exist: run the `separate` stage of this method (`dvc repro`)")
    separation = read_json(path)
    for key in ("card", "sources", "sample_rate", "segments"):
        if key not in separation:
            raise UserError(f"{path} lacks {key!r}: delete {folder} and separate again (`dvc repro`)")
    return separation


def failures(path: Path) -> dict[str, str]:
    """Segments without estimates, and why: the method failed there, or is not applicable or available at all."""
    remedy = f"delete {path.parent} and separate again (`dvc repro`)"
    timing = read_table(path, ["segment", "status", "reason"], [], remedy)
    missing = timing[timing["status"] != "ok"]
    reasons = missing["reason"].where(
        missing["status"] == "failed", missing["status"] + ": " + missing["reason"]
    )
    return dict(zip(missing["segment"], reasons, strict=True))


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.score", description=__doc__)
    parser.add_argument("method", help="a key of `methods` in params.yaml")
    method = parser.parse_args().method
    rows = score(method, load_params())
    counts = ", ".join(f"{count} {status}" for status, count in rows["status"].value_counts().items())
    print(f"{OUT / method}: {len(rows)} scores of {rows['segment'].nunique()} segments ({counts})")


if __name__ == "__main__":
    main()

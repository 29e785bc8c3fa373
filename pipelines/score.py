"""Stage `score@METHOD`: references and estimates -> scores/METHOD, a row per value, with their provenance."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
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
CARD = Path("references/card.json")
ESTIMATES = Path("estimates")
OUT = Path("scores")


def score(method: str, params: Params) -> pd.DataFrame:
    """Score a method's estimates of all test segments and write `scores/METHOD`; its rows are returned."""
    if method not in params.methods:
        raise UserError(f"params.yaml has no method {method!r}: it has {', '.join(params.methods)}")
    folder = ESTIMATES / method
    separation = read_card(
        folder / "method.json", ("card", "sources", "sample_rate", "segments", "hash"), f"separate@{method}"
    )
    if separation["sources"] != params.sources:
        raise UserError(
            f"{folder} holds {separation['sources']}, not {params.sources}: separate again (`dvc repro`)"
        )
    ordered = separation["card"]["labelled"]
    songs, sources = find_songs(
        REFERENCES, folder, sources=params.sources, ordered=ordered, failures=failures(folder / "timing.csv")
    )
    references = read_card(CARD, ["hash"], "references")
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
        "references": references["hash"],
        "estimates": separation["hash"],
        "weights": files_hash(*weights) if weights else None,
        "params": {"hash": values_hash(values), "values": values},
        **made_with(),
    }
    with replacing(OUT / method) as temporary:
        temporary.mkdir()
        write_csv(temporary / "rows.csv", rows)
        write_json(temporary / "provenance.json", provenance)
    return rows


def read_card(path: Path, keys: Sequence[str], stage: str) -> dict:
    """What a stage says of the audio that it wrote beside the file at `path`."""
    if not path.is_file():
        raise UserError(f"{path} does not exist: run the stage {stage} (`dvc repro`)")
    card = read_json(path)
    for key in keys:
        if key not in card:
            raise UserError(
                f"{path} lacks {key!r}: delete {path.parent} and run the stage {stage} again (`dvc repro`)"
            )
    return card


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

"""Stage `segments`: cut every track's sources into equal segments and store them."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from pipelines import run_stage
from ucr.data.cutting import Cut, SegmentWriter, cut_track, cut_tracks
from ucr.data.sets import find, reader
from ucr.data.tracks import Track
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_json
from ucr.foundation.hashes import code_hash, short_hash
from ucr.foundation.params import load_params
from ucr.foundation.schema import Description, checked

FOLDER = Path("segments")
WORK = Path("runs")  # survives DVC's removal of outputs, so that a killed run can go on


class _Dataset(Description):
    name: str
    root: str
    fingerprint: str
    scan: str = ""
    stems: dict[str, list[str]] = Field(default={})


@command
def main() -> None:
    params = load_params()
    described = Path("data/dataset.json")
    if not described.is_file():
        raise UserError(f"{described} does not exist: run `python -m pipelines.data` first")
    dataset = checked(_Dataset, read_json(described), described, "run `python -m pipelines.data` again")
    meta = {
        "sources": params.sources,
        **params.segments.model_dump(),
        "dataset": dataset.name,
        "dataset_fingerprint": dataset.fingerprint,
    }
    if dataset.name == "songs":
        meta["mixtures_alone"] = True
    read, rate = reader(dataset.name, dataset.stems), params.segments.sample_rate

    def cut(track: Track) -> Cut:
        return cut_track(track, params.sources, rate, params.segment_samples, params.segments.min_rms, read)

    key = short_hash([meta, dataset.scan, dataset.stems, code_hash()])
    with SegmentWriter(WORK / f"segments-{key}") as writer:
        tracks = find(dataset.name, Path(dataset.root).resolve())
        cut_tracks(writer, tracks, cut, says_why=dataset.name not in ("slakh2100", "midi"))
        meta = writer.finish(FOLDER, meta, may_lack=["test"] if params.tests else [])
    print(
        f"{FOLDER}: {meta['counts']} segments of {params.task}; what was left out: {FOLDER / 'skipped.csv'}"
    )


if __name__ == "__main__":
    run_stage(main, __doc__)

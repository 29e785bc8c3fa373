"""Stage `segments`: cut every track's sources into equal segments and store them."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import Field
from tqdm import tqdm

from pipelines import run_stage
from ucr.data.segments import Cut, SegmentWriter, cut_track
from ucr.data.sets import find, reader
from ucr.data.tracks import Reader, Track
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_json
from ucr.foundation.hashes import code_hash, short_hash
from ucr.foundation.params import Params, load_params
from ucr.foundation.schema import Description, checked
from ucr.foundation.workers import in_workers

FOLDER = Path("segments")
WORK = Path("runs")  # survives DVC's removal of outputs, so that a killed run can go on


class _Dataset(Description):
    name: str
    root: str
    fingerprint: str
    scan: str = ""
    stems: dict[str, list[str]] = Field(default={})


def _cut(track: Track, params: Params, read: Reader) -> tuple[Track, Cut]:
    segments = params.segments
    return track, cut_track(
        track, params.sources, segments.sample_rate, params.segment_samples, segments.min_rms, read
    )


def said_of(track: Track, cut: Cut, dataset: str) -> list[str]:
    """Sentences on what is odd about a track, and on why it is left out, but for a set where that is common."""
    skipped = [row for row in cut.skipped if not row["segment"] and dataset not in ("slakh2100", "midi")]
    return [
        *(note.sentence for note in cut.notes),
        *(f"{track.folder} is left out: {row['reason']}: {row['detail']}" for row in skipped),
    ]


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
    key = short_hash([meta, dataset.scan, dataset.stems, code_hash()])
    tracks = find(dataset.name, Path(dataset.root).resolve())
    read = reader(dataset.name, dataset.stems)
    writer = SegmentWriter(WORK / f"segments-{key}")
    waiting = [track for track in tracks if (track.split, track.name) not in writer.done]
    try:
        with tqdm(
            total=len(tracks), initial=len(tracks) - len(waiting), desc="segments", unit="track"
        ) as bar:
            for track, cut in in_workers(_cut, [(track, params, read) for track in waiting], "threading"):
                for sentence in said_of(track, cut, dataset.name):
                    bar.write(f"warning: {sentence}", file=sys.stderr)
                writer.add(track, cut)
                bar.update()
        meta = writer.finish(FOLDER, meta)
    finally:
        writer.close()
    print(
        f"{FOLDER}: {meta['counts']} segments of {params.task}; what was left out: {FOLDER / 'skipped.csv'}"
    )


if __name__ == "__main__":
    run_stage(main, __doc__)

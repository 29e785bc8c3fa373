"""Stage `test_sets`: cut the further test sets, those of `tests`, into segments -> test_sets/SET."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipelines import run_stage
from ucr.data.cutting import Cut, SegmentWriter, cut_track, cut_tracks
from ucr.data.held_out import LIST
from ucr.data.sets import find, folder_of, reader
from ucr.data.tracks import Track
from ucr.foundation.errors import command
from ucr.foundation.files import replacing, write_json
from ucr.foundation.hashes import code_hash, scan_hash, short_hash
from ucr.foundation.params import Params, load_params

FOLDER = Path("test_sets")
WORK = Path("runs")  # survives DVC's removal of outputs, so that a killed run can go on


def cut_set(name: str, params: Params, folder: Path) -> dict:
    """Write the segments of the further test set `name`; returns what `segments.json` says of them."""
    options, segments = params.tests[name], params.segments
    root = folder_of(options.name, options.path)
    seconds = options.seconds or segments.seconds
    read = reader(options.name, options.stems)
    tracks = [
        replace(track, name=f"{name}.{track.name}") for track in find(options.name, root, tested_on=True)
    ]
    meta = {
        "sources": params.sources,
        **segments.model_dump(),
        "seconds": seconds,
        "dataset": name,
        "dataset_fingerprint": scan_hash(root, times=False),
    }

    def cut(track: Track) -> Cut:
        n_samples = round(seconds * segments.sample_rate)
        return cut_track(track, params.sources, segments.sample_rate, n_samples, segments.min_rms, read)

    key = short_hash([meta, scan_hash(root), options.stems, code_hash()])
    with SegmentWriter(WORK / f"test_sets-{key}", ["test"]) as writer:
        cut_tracks(writer, tracks, cut)
        return writer.finish(folder, meta)


@command
def main() -> None:
    params = load_params()
    with replacing(FOLDER) as temporary:
        temporary.mkdir()
        for name in params.tests:
            meta = cut_set(name, params, temporary / name)
            print(f"{FOLDER / name}: {meta['counts']['test']} segments of {params.task}")
        write_json(temporary / LIST, {"sets": list(params.tests)})


if __name__ == "__main__":
    run_stage(main, __doc__)

"""Throughput and memory of the stages `segments` and `latents` on a large set -> benchmarks/preprocessing.csv.

    python -m benchmarks.preprocessing [--hours 1 10] [--codec mel] [--songs DATA] [--work FOLDER]
    python -m benchmarks.preprocessing --codec encodec_24khz --hours 0.1 0.2

A set of N hours is a few rendered songs in Slakh2100's layout, hard-linked as often as it takes; the stages run on it
as a user runs them, each a process. Where memory is flat and time linear, `peak_private_mb` doesn't grow with the
hours and `audio_hours_per_hour` stays as it is.

Columns: `hours` of songs; `seconds` that the stage took; `audio_hours_per_hour` of songs, less the time and the hours
of a call on one song per split, which is mostly the start of the process (empty where
that took no less); `codec_alone` the same of the codec by itself on
such mixtures in memory; `share_of_codec` their ratio (stage `both`: one after the other);
`peak_private_mb` the most memory of its own that the process held, `peak_mapped_mb` the most of its files that the
system had mapped for it, which it drops when memory is short; `disk_mb_per_hour` of the stage's output, a song's hour.
EnCodec has random weights here, which are as fast.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import shutil
import tempfile
import time
from pathlib import Path

import pandas as pd
import soundfile
import torch
from tqdm import tqdm

from benchmarks.projects import ROOT, WITHOUT_MAGNITUDES, keep_rows, run_stage, write_params
from benchmarks.published_scheme import write_encodec
from ucr.codecs import make_codec
from ucr.data.segments import SegmentStore
from ucr.data.slakh.read import Track, find_tracks
from ucr.data.slakh.song import SPLITS
from ucr.foundation.checkpoints import default_device
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_json
from ucr.foundation.params import load_params
from ucr.training.latents import BATCH

TABLE = ROOT / "benchmarks" / "preprocessing.csv"
STAGES = ("segments", "latents")
CODEC_SECONDS = 20.0  # of timing the codec alone


def link_songs(songs: list[Track], hours: float, root: Path) -> float:
    """Hard-link songs to a set of at least `hours`; returns how many hours it has.

    The second is the validation split and the third the test split; the others are training songs, over and over.
    """
    if len(songs) < len(SPLITS):
        raise UserError(
            f"{len(songs)} songs are too few, one for each split is needed: name a folder with more"
        )
    again = itertools.cycle([songs[0], *songs[len(SPLITS) :]])
    order = itertools.chain(zip(songs, SPLITS, strict=False), ((song, "train") for song in again))
    total = 0.0
    number = 0
    while total < hours or number < len(SPLITS):
        song, split = next(order)
        number += 1
        length = soundfile.info(next((song.folder / "stems").iterdir())).duration / 3600
        target = root / split / f"Track{number:05d}"
        (target / "stems").mkdir(parents=True)
        for path in [song.folder / "metadata.yaml", *(song.folder / "stems").iterdir()]:
            os.link(path, target / path.relative_to(song.folder))
        total += length
    return total


def codec_alone(project: Path) -> float:
    """Seconds of the codec for a segment's mixture, in batches of the stage's size, from memory."""
    params, device = load_params(project / "params.yaml"), default_device()
    codec = make_codec(params.codec, params.segments.sample_rate, str(device))
    size = BATCH[device.type]
    mixtures = torch.stack(
        [torch.from_numpy(each.mixture) for each in SegmentStore(project / "segments", "train")]
    )
    audio = mixtures.repeat(-(-size // len(mixtures)), 1)[:size].to(device)
    found: list[float] = []
    with torch.no_grad():
        codec.encode(audio)
        while sum(found) < CODEC_SECONDS and len(found) < 50:
            began = time.perf_counter()
            codec.encode(audio).cpu()
            found.append(time.perf_counter() - began)
    return float(pd.Series(found).median()) / size


def make_project(folder: Path, songs: list[Track], hours: float, codec: dict) -> tuple[Path, float]:
    """A project whose `data` stage has run on a linked set, and the hours of that."""
    project = folder / f"{hours:g}h"
    root = project / "songs"
    exact = link_songs(songs, hours, root)
    changes: dict = {"data": {"name": "slakh2100", "path": str(root)}, "codec": codec}
    if codec["name"] != "mel":
        changes |= WITHOUT_MAGNITUDES
    write_params(project, changes)
    run_stage("data", project)
    return project, exact


def measure(songs: list[Track], hours: list[float], codec: dict, folder: Path) -> pd.DataFrame:
    """A row per size and stage, and one of both together."""
    small, least = make_project(folder, songs, 0, codec)
    start = {stage: run_stage(stage, small)["seconds"] for stage in STAGES}
    start["both"] = sum(start.values())
    a_segment = codec_alone(small)
    shutil.rmtree(small)
    rows = []
    for size in tqdm(hours, "sizes", unit="size"):
        project, exact = make_project(folder, songs, size, codec)
        found = {stage: run_stage(stage, project) for stage in STAGES}
        count = sum(read_json(project / "segments" / "segments.json")["counts"].values())
        limit = exact / (a_segment * count / 3600)
        for stage in STAGES:
            output = sum(path.stat().st_size for path in (project / stage).iterdir())
            found[stage]["disk_mb_per_hour"] = output / 1e6 / exact
        one, other = found.values()
        both = {key: (max if "peak" in key else sum)((one[key], other[key])) for key in one}
        for stage, values in {**found, "both": both}.items():
            taken = (values["seconds"] - start[stage]) / 3600
            speed = (exact - least) / taken if taken > 0 else math.nan
            rows.append(
                {"codec": codec["name"], "hours": round(exact, 3), "segments": count, "stage": stage}
                | {key: round(value, 1) for key, value in values.items()}
                | {"audio_hours_per_hour": round(speed, 1), "codec_alone": round(limit, 1)}
                | {"share_of_codec": round(speed / limit, 3), "cores": os.cpu_count()}
            )
        shutil.rmtree(project)
    return pd.DataFrame(rows)


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.preprocessing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--hours", nargs="+", type=float, default=[1, 10])
    parser.add_argument("--codec", choices=["mel", "encodec_24khz"], default="mel")
    parser.add_argument("--songs", type=Path, default=Path("data/slakh_mini"), help="rendered songs to link")
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()), help="a disk for 1 GB per hour"
    )
    arguments = parser.parse_args()
    songs = find_tracks(arguments.songs)
    with tempfile.TemporaryDirectory(dir=arguments.work) as name:
        folder, codec = Path(name), {"name": arguments.codec}
        linked = folder / "songs"
        shutil.copytree(arguments.songs, linked)  # hard links don't cross disks
        if arguments.codec != "mel":
            codec["weights"] = str(write_encodec(folder / "encodec.safetensors"))
        rows = measure(find_tracks(linked), arguments.hours, codec, folder)
    keep_rows(rows, TABLE, "codec", "hours")
    print(rows.to_string(index=False))
    print(f"{len(songs)} songs linked; also in {TABLE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

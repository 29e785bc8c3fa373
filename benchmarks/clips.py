"""SI-SDR and SI-SIR of methods on folders of real stems -> benchmarks/clips.csv.

    python -m benchmarks.clips FOLDER METHOD...

FOLDER holds one folder per clip, with an audio file of each source in it, such as drums.wav; the mixture is the mean
of the sources. Where every clip has a SOURCE_estimate file too, as the paper's authors publish them, these are scored
as they are and as ratio masks on the mixture. Methods are those of `params.yaml`, with their options and, for trained
ones, the weights that they need.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from eval.scores import si_scores
from ucr.foundation.audio import one_channel
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_audio, write_csv
from ucr.foundation.params import Params, load_params
from ucr.methods.contract import Baseline, Oracle
from ucr.methods.registry import load_method
from ucr.signal.masks import masked

TABLE = Path("benchmarks/clips.csv")
METRICS = ("si_sdr", "si_sir")
ESTIMATE = "_estimate"


def audio_file(folder: Path, name: str) -> Path | None:
    """The file NAME.wav, NAME.flac or of another format in a clip's folder; None if there is none."""
    return next(iter(sorted(path for path in folder.iterdir() if path.stem == name)), None)


def read_clip(folder: Path, params: Params, ending: str = "") -> np.ndarray:
    """The sources of a clip, or its estimates, mono at the segments' rate: float32[n_sources, n_samples]."""
    rate = params.segments.sample_rate
    files = [audio_file(folder, name + ending) or folder / f"{name}{ending}.wav" for name in params.sources]
    sources = []
    for path in files:
        audio, cancels = one_channel(read_audio(path, rate)[0])
        if cancels:
            print(
                f"warning: {path}: the channels cancel in their mean: the louder one is taken",
                file=sys.stderr,
            )
        sources.append(audio)
    length = min(len(source) for source in sources)
    return np.stack([source[:length] for source in sources])


def read_clips(folder: Path, params: Params) -> dict[str, np.ndarray]:
    """The sources of every clip of a folder, by the clips' names.

    Raises
    ------
    UserError
        If it holds no folder, or a source's file is missing or can't be read.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: name one that holds a folder per clip")
    clips = {
        each.name: read_clip(each, params)
        for each in sorted(folder.iterdir())
        if each.is_dir() and not each.name.startswith(".")
    }
    if not clips:
        raise UserError(f"{folder} holds no folder: name one that holds a folder per clip")
    return clips


def scored(
    name: str, clip: str, sources: np.ndarray, estimates: np.ndarray, params: Params, ordered: bool = False
) -> list[dict[str, object]]:
    """One row per source."""
    mixture = sources.mean(axis=0)
    scores = si_scores(sources[None], estimates[None], mixture[None], ordered=ordered)
    return [
        {"method": name, "clip": clip, "source": source}
        | {metric: round(float(scores[metric][0, i]), 3) for metric in METRICS}
        for i, source in enumerate(params.sources)
    ]


def measure(
    name: str, method: Baseline | Oracle, clips: dict[str, np.ndarray], params: Params, ordered: bool = False
) -> list[dict[str, object]]:
    """One row per clip and source."""
    rate, rows = params.segments.sample_rate, []
    for clip, sources in clips.items():
        mixture = sources.mean(axis=0)
        if isinstance(method, Oracle):
            estimates = method.separate(mixture, rate, sources)
        else:
            estimates = method.separate(mixture, rate, len(sources))
        rows += scored(name, clip, sources, estimates, params, ordered)
    return rows


def measure_given(folder: Path, clips: dict[str, np.ndarray], params: Params) -> list[dict[str, object]]:
    """The same of the estimates that lie beside the sources, if they do."""
    if not all(audio_file(folder / clip, name + ESTIMATE) for clip in clips for name in params.sources):
        return []
    rows = []
    for clip, sources in clips.items():
        estimates = read_clip(folder / clip, params, ESTIMATE)
        length = min(estimates.shape[1], sources.shape[1])
        sources, estimates = sources[:, :length], estimates[:, :length]
        rows += scored("estimates there", clip, sources, estimates, params)
        rows += scored(
            "estimates there, as masks", clip, sources, masked(sources.mean(axis=0), estimates), params
        )
    return rows


def ranked(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A row per method, best mean first, but a mean over fewer scores (`n`) after those over more."""
    wide = table.pivot(index="method", columns=["clip", "source"], values=metric)
    summary = {("mean", ""): wide.mean(axis=1), ("n", ""): wide.notna().sum(axis=1)}
    return wide.join(pd.DataFrame(summary)).sort_values([("n", ""), ("mean", "")], ascending=False)


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clips", description=__doc__)
    parser.add_argument("folder", type=Path, help="one folder per clip")
    parser.add_argument("methods", nargs="+", metavar="METHOD", help="keys of `methods` in params.yaml")
    parser.add_argument("--csv", type=Path, metavar="OUT", help=f"write every score as a row, as in {TABLE}")
    arguments = parser.parse_args()
    params = load_params()
    clips = read_clips(arguments.folder, params)
    rows = []
    for name in arguments.methods:
        meta, method = load_method(name, params)
        rows += measure(name, method, clips, params, meta.labelled)
    table = pd.DataFrame(rows + measure_given(arguments.folder, clips, params))
    if arguments.csv:
        write_csv(arguments.csv, table)
    for metric in METRICS:
        print(metric, ranked(table, metric).round(1).to_string(), sep="\n")


if __name__ == "__main__":
    main()

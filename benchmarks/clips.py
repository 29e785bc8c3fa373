"""SI-SDR of methods on folders of real stems: `python -m benchmarks.clips FOLDER METHOD...`.

FOLDER holds one folder a clip, with a WAV of each source in it; the mixture is the mean of the sources.
Methods are those of `params.yaml`, with their options and, for trained ones, the weights that they need.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from baselines.base import load_method
from eval.scores import si_scores
from ucr.errors import UserError, command
from ucr.files import read_audio
from ucr.params import Params, load_params


def read_clip(folder: Path, params: Params) -> np.ndarray:
    """The true sources of a clip: float32[n_sources, n_samples] at the segments' rate, mono."""
    rate = params.segments.sample_rate
    sources = [read_audio(folder / f"{name}.wav", rate)[0].mean(axis=0) for name in params.sources]
    length = min(len(source) for source in sources)
    return np.stack([source[:length] for source in sources])


def measure(name: str, clips: dict[str, np.ndarray], params: Params) -> list[dict[str, object]]:
    """One row a clip and source."""
    meta, method = load_method(name, params)
    rate, rows = params.segments.sample_rate, []
    for clip, sources in clips.items():
        mixture = sources.mean(axis=0)
        oracle = sources if meta.kind == "oracle" else None
        estimates = method.separate(mixture, rate, len(sources), oracle)
        values = si_scores(sources[None], estimates[None], mixture[None], ordered=meta.labelled)["si_sdr"][0]
        rows += [
            {"method": name, "clip": clip, "source": source, "si_sdr": value}
            for source, value in zip(params.sources, values, strict=True)
        ]
    return rows


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clips", description=__doc__)
    parser.add_argument("folder", type=Path, help="one folder a clip")
    parser.add_argument("methods", nargs="+", metavar="METHOD", help="keys of `methods` in params.yaml")
    arguments = parser.parse_args()
    params = load_params()
    if not arguments.folder.is_dir():
        raise UserError(f"{arguments.folder} is no folder: name one that holds a folder a clip")
    clips = {
        each.name: read_clip(each, params) for each in sorted(arguments.folder.iterdir()) if each.is_dir()
    }
    rows = [row for name in arguments.methods for row in measure(name, clips, params)]
    table = pd.DataFrame(rows).pivot(index="method", columns=["clip", "source"], values="si_sdr")
    table[("mean", "")] = table.mean(axis=1)
    print(table.sort_values(("mean", ""), ascending=False).round(1).to_string())


if __name__ == "__main__":
    main()

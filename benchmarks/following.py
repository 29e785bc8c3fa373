"""How well a generated component follows the kept one, and what bounds that.

    python -m benchmarks.following [--each 2]

In a run's folder, of every second test song. The kept component is one of the song's separation. Beside it are compared
the song's other component as separated, the same rebuilt from its own latents, so that the prior has no part in it, and
one that the prior generated, with and without guidance by the kept one. True sources are compared with each other too;
they choose nothing.
"""

from __future__ import annotations

import argparse
from copy import copy
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from torch import Tensor

from eval.following import agreement, describe
from ucr.data.segments import SegmentStore
from ucr.foundation.errors import UserError, command
from ucr.foundation.params import load_params
from ucr.foundation.workers import in_workers
from ucr.model.prior import PriorModel
from ucr.model.recomposition import Recomposer

Pairs = dict[str, tuple[np.ndarray, np.ndarray]]
"""Parts of as many songs and what they are to go with, float32[songs, n_samples] each."""


class Keeping:
    """In place of a prior: what is to be generated stays as it is."""

    def generate(self, latents: Tensor, *_: object, **__: object) -> Tensor:
        return latents


def pairs(recomposer: Recomposer, songs: np.ndarray, sources: np.ndarray, steps: int, seed: int) -> Pairs:
    """Everything that is compared, of songs with two components.

    Parameters
    ----------
    songs : float32[songs, n_samples]
    sources : float32[songs, 2, n_samples]
    steps
        Of the prior's sampling.
    seed
        Of its noise.
    """
    nothing = np.zeros((len(songs), 2), dtype=bool)
    separated = recomposer.fill_parts(songs, nothing, 1, seed)
    found = {
        "true sources": (sources[:, 0], sources[:, 1]),
        "separated": (separated[:, 0], separated[:, 1]),
    }
    rebuilding = copy(recomposer)
    rebuilding.prior = cast(PriorModel, Keeping())
    unguided = copy(recomposer)
    unguided.guidance = 0.0
    makers = {"rebuilt": rebuilding, "generated, no guidance": unguided, "generated": recomposer}
    for i in (0, 1):
        marked = nothing.copy()
        marked[:, i] = True
        for what, maker in makers.items():
            made = maker.fill_parts(songs, marked, steps, seed)[:, i]
            found[f"component_{i} {what}"] = (made, separated[:, 1 - i])
    return found


def compare(a: np.ndarray, b: np.ndarray, sample_rate: int) -> dict[str, float]:
    """`eval.following.agreement` of two sounds."""
    return agreement(describe(a, sample_rate), describe(b, sample_rate))


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.following", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--each", type=int, default=2, help="of so many songs one is taken")
    each = parser.parse_args().each
    params = load_params()
    recomposer = Recomposer.load(
        Path("models/decomposition"),
        Path("models/prior"),
        decode_steps=params.generation.steps,
        guidance=params.generation.guidance,
    )
    if recomposer.n_components != 2:
        raise UserError(f"params.yaml: {params.task} has more than two sources: name two")
    store = SegmentStore(Path("segments"), "test")
    songs = [store[i] for i in range(0, len(store), each)]
    found = pairs(
        recomposer,
        np.stack([song.mixture for song in songs]),
        np.stack([song.sources for song in songs]),
        params.generation.prior_steps,
        params.seed,
    )
    rows = []
    for name, (a, b) in found.items():
        table = pd.DataFrame(
            in_workers(compare, [(x, y, store.sample_rate) for x, y in zip(a, b, strict=True)])
        )
        rows.append(
            {
                "pair": name,
                "n": len(table),
                **table.mean(),
                "onset_standard_error": table.onset_agreement.sem(),
            }
        )
    print(pd.DataFrame(rows).round(3).to_string(index=False))


if __name__ == "__main__":
    from benchmarks import (
        following as module,  # worker processes find functions by a name other than __main__
    )

    module.main()

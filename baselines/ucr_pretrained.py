"""UCR with the weights that ship with the project."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from baselines._ucr import PAPER, Decomposition
from baselines.base import Meta
from ucr.params import Params
from ucr.weights import tasks

META = Meta(
    name="ucr_pretrained",
    kind="ours",
    paper=PAPER,
    summary="`ucr` from shipped weights, trained longer and on more songs (their card says how).",
)


class Method(Decomposition):
    """`ucr` with the weights of the run's task in the folder `needs`; takes the options of `ucr`."""

    missing = ""

    def load(self, needs: Path, params: Params) -> None:
        if params.task in tasks(needs):
            super().load(needs / params.task, params)
        else:
            self.missing = f"{needs} has no weights for {params.task}, only for {', '.join(tasks(needs))}"

    def separate_batch(self, mixtures: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        if self.missing:
            raise ValueError(self.missing)
        return super().separate_batch(mixtures, sample_rate, n_sources)

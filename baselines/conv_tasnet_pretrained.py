"""Conv-TasNet with the weights that ship with the project."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ucr.methods.contract import Meta

from ._shared.shipped import task_weights
from .conv_tasnet import META as TRAINED_IN_THE_RUN
from .conv_tasnet import Method as ConvTasNet

META = Meta(
    name="conv_tasnet_pretrained",
    kind="supervised",
    paper=TRAINED_IN_THE_RUN.paper,
    summary="`conv_tasnet` from shipped weights, trained on the songs of `ucr_pretrained` (their card says how).",
    weights="shipped",
    shipped="conv_tasnet",
)


class Method(ConvTasNet):
    """As `conv_tasnet`, whose options it takes."""

    def load(self, weights: Path, sources: list[str]) -> None:
        found = task_weights(weights, sources)
        trained = found.name.split("+")
        super().load(found, trained)
        self.order = [trained.index(source) for source in sources]

    def separate_batch(self, mixtures: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        return super().separate_batch(mixtures, sample_rate, n_sources)[:, self.order]

"""UCR with its estimates turned into ratio masks on the mixture."""

from __future__ import annotations

import numpy as np

from ucr.methods.contract import Meta
from ucr.signal.masks import masked

from ._shared.decomposition import PAPER, Decomposition

META = Meta(
    name="ucr_masked",
    kind="unsupervised",
    paper=PAPER,
    summary="The estimates of `ucr`, scaled by least squares, as ratio masks on the mixture.",
    weights="trained",
    steps=True,
)


class Method(Decomposition):
    """`ucr`, then `masked`; takes the options of `ucr`."""

    def separate_batch(self, mixtures: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        estimates = super().separate_batch(mixtures, sample_rate, n_sources)
        return np.stack(
            [masked(mixture, estimate) for mixture, estimate in zip(mixtures, estimates, strict=True)]
        )

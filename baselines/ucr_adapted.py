"""UCR from shipped weights, with what each component plays learnt from the song itself."""

from __future__ import annotations

import numpy as np

from ucr.methods.contract import Meta
from ucr.signal.adaptation import adapted

from ._shared.decomposition import PAPER, Shipped

META = Meta(
    name="ucr_adapted",
    kind="unsupervised",
    paper=PAPER,
    summary="The estimates of `ucr_pretrained`, averaged with what few spectra per component make of the song.",
    weights="shipped",
    steps=True,
)


class Method(Shipped):
    """`ucr_pretrained`, then `adapted`; takes the options of `ucr`."""

    def separate_batch(self, mixtures: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        return adapted(mixtures, super().separate_batch(mixtures, sample_rate, n_sources))

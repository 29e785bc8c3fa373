"""The blind grouping that teaches `ucr`, refined by what few spectra per component make of the segment."""

from __future__ import annotations

import numpy as np

from ucr.methods.contract import Meta
from ucr.signal.adaptation import adapted

from ._shared.grouping import PAPER, Grouping

META = Meta(
    name="grouping_adapted",
    kind="blind",
    paper=PAPER,
    summary="The estimates of `grouping`, averaged with what few spectra per component make of the segment.",
    licence="MIT, scikit-learn BSD-3-Clause",
)


class Method(Grouping):
    """`grouping`, then `adapted`; told what `grouping` is told, and takes its option.

    What it is told beside the mixture is the number of sources and, by the task's name, whether one is percussive.
    """

    def separate(self, mixture: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """See `Baseline.separate`."""
        return adapted(mixture[None], super().separate(mixture, sample_rate, n_sources)[None])[0]

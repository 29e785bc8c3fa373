"""The mixture itself as every estimate: what a method must beat."""

from __future__ import annotations

import numpy as np

from ucr.methods.contract import Baseline, Meta

META = Meta(
    name="mixture",
    kind="bound",
    paper="No paper: the usual lower bound, from which improvements are measured",
    summary="Every estimate is the mixture",
)


class Method(Baseline):
    """Return the mixture for each source."""

    def separate(self, mixture: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """See `Baseline.separate`."""
        return np.tile(mixture, (n_sources, 1))

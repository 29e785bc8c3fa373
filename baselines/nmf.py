"""Non-negative matrix factorisation with its components clustered into sources."""

from __future__ import annotations

import numpy as np
import torch

from ucr.methods.contract import Meta
from ucr.signal.nmf import factorise, random_factors

from ._shared.components import Subspaces

META = Meta(
    name="nmf",
    kind="blind",
    paper="Spiertz & Gnann, Source-filter based clustering for monaural blind source separation, DAFx 2009",
    summary="Spectra and their activations by NMF, clustered by timbre",
    licence="MIT, scikit-learn BSD-3-Clause",
)


class Method(Subspaces):
    """Factorise the magnitudes V into W H (`ucr.signal.nmf`), for the Kullback-Leibler divergence.

    The columns of W are clustered by timbre into any number of sources, and the mixture is shared in
    proportion to the clusters' parts of W H.

    Parameters
    ----------
    components
        Columns of W.
    iterations
        Updates of W and H.
    power, seed, n_fft, hop
        As for `Subspaces`.
    """

    def __init__(
        self,
        components: int = 32,
        iterations: int = 100,
        power: float = 1.0,
        seed: int = 0,
        n_fft: int = 2048,
        hop: int = 512,
    ):
        super().__init__(components, power, seed, n_fft, hop)
        self.iterations = iterations

    def split(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Subspaces.split`."""
        magnitudes = torch.from_numpy(np.ascontiguousarray(frames.T))[None]
        start = random_factors(magnitudes, self.components, torch.Generator().manual_seed(self.seed))
        spectra, activations = factorise(magnitudes, *start, self.iterations)
        return spectra[0].numpy(), activations[0].numpy()

"""Non-negative matrix factorisation with its components clustered into sources."""

from __future__ import annotations

import warnings

import numpy as np

from ucr.methods.contract import Baseline, Meta
from ucr.signal.masks import ratio_masks
from ucr.signal.spectrogram import apply_masks, stft

from ._shared.components import source_magnitudes

META = Meta(
    name="nmf",
    kind="blind",
    paper="Spiertz & Gnann, Source-filter based clustering for monaural blind source separation, DAFx 2009",
    summary="Spectra and their activations by NMF, clustered by timbre",
    licence="MIT, scikit-learn BSD-3-Clause",
)


class Method(Baseline):
    """Factorise the magnitudes V into W H by the multiplicative updates for the Kullback-Leibler divergence.

    The updates are theorem 2 of Lee & Seung (2000), "Algorithms for non-negative matrix factorization".
    The columns of W are clustered by timbre into any number of sources, and the mixture is shared in
    proportion to the clusters' parts of W H.

    Parameters
    ----------
    components
        Columns of W.
    iterations
        Updates of W and H.
    seed
        Of their random start and of the clustering.
    n_fft, hop
        Length of the Hann window and step between windows, in samples.
    """

    def __init__(
        self, components: int = 32, iterations: int = 100, seed: int = 0, n_fft: int = 2048, hop: int = 512
    ):
        self.components, self.iterations, self.seed = components, iterations, seed
        self.n_fft, self.hop = n_fft, hop

    def separate(self, mixture: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """See `Baseline.separate`."""
        from sklearn.decomposition import NMF
        from sklearn.exceptions import ConvergenceWarning

        spectrogram = stft(mixture, self.n_fft, self.hop)
        magnitude = np.abs(spectrogram)
        if not magnitude.any():  # Silence has no timbre to cluster.
            return np.zeros((n_sources, len(mixture)), dtype=np.float32)
        model = NMF(
            self.components,
            init="random",
            solver="mu",
            beta_loss="kullback-leibler",
            max_iter=self.iterations,
            random_state=self.seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # A fixed number of updates is meant.
            spectra = model.fit_transform(magnitude)
        sources = source_magnitudes(spectra, model.components_, sample_rate, n_sources, self.seed)
        return apply_masks(spectrogram, ratio_masks(sources), len(mixture), self.n_fft, self.hop)

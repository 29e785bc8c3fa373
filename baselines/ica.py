"""Independent subspace analysis: independent component analysis of the spectrogram."""

from __future__ import annotations

import warnings

import numpy as np

from ucr.methods.contract import Meta

from ._shared.components import Subspaces, in_one_thread

META = Meta(
    name="ica",
    kind="blind",
    paper="Casey & Westner, Separation of mixed audio sources by independent subspace analysis, ICMC 2000",
    summary="Spectra whose activations are statistically independent, clustered by timbre",
    licence="MIT, scikit-learn BSD-3-Clause",
)
MAX_ITERATIONS = 4000
ITERATIONS = 16  # that it takes: the median over every third segment of the validation split


class Method(Subspaces):
    """Reduce the magnitude frames to few dimensions and rotate these to independence.

    The frames x_t are observations of bins and become A s_t plus their mean, by FastICA (Hyvärinen &
    Oja, 2000) with whitening to `components` dimensions. A column of A with its row of activations s
    is a component. Where the paper clusters components by the divergence of their distributions, here
    they are clustered by timbre, as in `nmf`. The mean is left out.
    """

    @in_one_thread
    def split(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Subspaces.split`."""
        from sklearn.decomposition import FastICA
        from sklearn.exceptions import ConvergenceWarning

        model = FastICA(
            self.components, whiten="unit-variance", max_iter=MAX_ITERATIONS, random_state=self.seed
        )
        frames = frames.astype(np.float64)  # in single precision it seldom converges
        with warnings.catch_warnings():
            # Nearly independent is good enough to cluster.
            warnings.simplefilter("ignore", ConvergenceWarning)
            activations = model.fit_transform(frames).T
        return model.mixing_, activations

    def products(self, n_samples: int) -> int:
        """See `Baseline.products`: singular vectors of m x n frames, FLOPs 6 m n^2 + 20 n^3 (Golub & Van Loan, 8.6),
        whitening, and iterations of FastICA."""
        m, n = sorted((1 + self.n_fft // 2, 1 + n_samples // self.hop), reverse=True)
        iterations = 2 * ITERATIONS * self.components**2 * (1 + n_samples // self.hop)
        return super().products(n_samples) + 3 * m * n**2 + 10 * n**3 + self.components * m * n + iterations

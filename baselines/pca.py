"""Principal component analysis of the spectrogram."""

from __future__ import annotations

import numpy as np

from ucr.methods.contract import Meta

from ._shared.components import Subspaces, in_one_thread

META = Meta(
    name="pca",
    kind="blind",
    paper="Casey & Westner, Separation of mixed audio sources by independent subspace analysis, ICMC 2000 "
    "(its first step alone)",
    summary="Principal spectra and their activations, clustered by timbre",
    licence="MIT, scikit-learn BSD-3-Clause",
)


class Method(Subspaces):
    """Keep the directions in which the magnitude frames vary most.

    The frames are observations of bins. A principal direction with its scores over time is a
    component; components are clustered by timbre, as in `nmf`. The mean frame is left out.
    """

    @in_one_thread
    def split(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Subspaces.split`."""
        from sklearn.decomposition import PCA

        model = PCA(self.components, random_state=self.seed)
        activations = model.fit_transform(frames).T
        return model.components_.T, activations

    def products(self, n_samples: int) -> int:
        """See `Baseline.products`: scikit-learn's randomised singular vectors, of 10 more components than wanted.

        Seven iterations of two products each, one before and one after (Halko, Martinsson & Tropp, SIAM Review 53(2),
        2011).
        """
        values = (1 + self.n_fft // 2) * (1 + n_samples // self.hop)
        return super().products(n_samples) + 16 * values * (self.components + 10)

"""Robust principal component analysis: a low-rank background and a sparse foreground."""

from __future__ import annotations

import numpy as np

from ucr.methods.contract import Baseline, Meta
from ucr.signal.spectrogram import apply_masks, stft

META = Meta(
    name="rpca",
    kind="blind",
    paper="Huang, Chen, Smaragdis & Hasegawa-Johnson, Singing-voice separation from monaural recordings "
    "using robust principal component analysis, ICASSP 2012",
    summary="The spectrogram as low-rank plus sparse: background, then foreground",
    licence="MIT, pyrpca MPL-2.0",
    n_sources=2,
)


class Method(Baseline):
    """Split the magnitude spectrogram M into L + S by principal component pursuit, then mask.

    The paper minimises |L|_* + lambda |S|_1 subject to L + S = M with lambda =
    k / sqrt(max(bins, frames)), by the inexact augmented Lagrange multiplier of Lin, Chen & Ma (2010),
    and gives a bin to S where |S| > gain |L|, by a binary mask on the mixture.

    Parameters
    ----------
    n_fft, hop
        Length of the Hann window and step between windows, in samples; the paper's.
    k, gain
        As above; the paper's main results have both at 1.
    tolerance
        Relative residual at which the iterations stop. SI-SDR is the same to 0.01 dB from 1e-7, the
        solver's own default, to 1e-4.
    """

    def __init__(
        self, n_fft: int = 1024, hop: int = 256, k: float = 1.0, gain: float = 1.0, tolerance: float = 1e-4
    ):
        self.n_fft, self.hop, self.k, self.gain, self.tolerance = n_fft, hop, k, gain, tolerance

    def separate(self, mixture: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """See `Baseline.separate`."""
        from pyrpca import rpca_pcp_ialm

        spectrogram = stft(mixture, self.n_fft, self.hop)
        magnitude = np.abs(spectrogram)
        if not magnitude.any():  # The solver divides by the norm.
            return np.zeros((n_sources, len(mixture)), dtype=np.float32)
        sparsity = self.k / np.sqrt(max(magnitude.shape))
        low_rank, sparse = rpca_pcp_ialm(magnitude, sparsity, tol=self.tolerance, verbose=False)
        foreground = np.abs(sparse) > self.gain * np.abs(low_rank)
        masks = np.stack([~foreground, foreground]).astype(np.float32)
        return apply_masks(spectrogram, masks, len(mixture), self.n_fft, self.hop)

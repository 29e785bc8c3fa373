"""UCR with its estimates turned into ratio masks on the mixture."""

from __future__ import annotations

import numpy as np

from baselines._ucr import PAPER, Decomposition
from ucr.methods.contract import Meta
from ucr.signal.spectrogram import apply_masks, ratio_masks, stft

META = Meta(
    name="ucr_masked",
    kind="ours",
    paper=PAPER,
    summary="The estimates of `ucr`, scaled by least squares, as ratio masks on the mixture.",
)


def masked(mixture: np.ndarray, estimates: np.ndarray, n_fft: int = 2048, hop: int = 512) -> np.ndarray:
    """Make estimates consistent with the mixture.

    They are scaled so that their sum is nearest to the mixture in the least-squares sense; the ratio
    of their magnitudes then masks the mixture.

    Parameters
    ----------
    mixture : float32[n_samples]
    estimates : float32[n_sources, n_samples]
        Of any scale.
    n_fft, hop
        Length of the Hann window and step between windows, in samples.

    Returns
    -------
    float32[n_sources, n_samples]
        Adding up to `n_sources` times the mixture.
    """
    gains = np.linalg.lstsq(estimates.T.astype(np.float64), mixture.astype(np.float64), rcond=None)[0]
    scaled = (np.abs(gains)[:, None] * estimates).astype(np.float32)
    masks = ratio_masks(np.abs(stft(scaled, n_fft, hop)))
    return apply_masks(stft(mixture, n_fft, hop), masks, len(mixture), n_fft, hop)


class Method(Decomposition):
    """`ucr`, then `masked`; takes the options of `ucr`."""

    def separate_batch(self, mixtures: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        estimates = super().separate_batch(mixtures, sample_rate, n_sources)
        return np.stack(
            [masked(mixture, estimate) for mixture, estimate in zip(mixtures, estimates, strict=True)]
        )

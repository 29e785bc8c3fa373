"""Ideal ratio mask: what sharing each bin by the true magnitudes gives."""

from __future__ import annotations

import numpy as np

from ucr.methods.contract import Meta, Oracle
from ucr.signal.masks import ratio_masks
from ucr.signal.spectrogram import apply_masks, stft

META = Meta(
    name="irm",
    kind="oracle",
    paper="Stöter, Liutkus & Ito, The 2018 Signal Separation Evaluation Campaign, LVA/ICA 2018",
    summary="Ratio mask from the true sources' magnitudes",
)


class Method(Oracle):
    """Mask the mixture by each true source's share of the magnitude.

    What a method gets that shares bins by magnitudes and knows these exactly. It is no bound of other masks,
    since sources that cancel in a bin have other phases than the mixture: see `psm`.

    Parameters
    ----------
    n_fft, hop
        Length of the Hann window and step between windows, in samples.
    power
        Exponent of the magnitudes; 1 is the campaign's IRM1, 2 its IRM2.
    """

    def __init__(self, n_fft: int = 2048, hop: int = 512, power: float = 1.0):
        self.n_fft, self.hop, self.power = n_fft, hop, power

    def separate(self, mixture: np.ndarray, sample_rate: int, references: np.ndarray) -> np.ndarray:
        """See `Oracle.separate`."""
        masks = ratio_masks(np.abs(stft(references, self.n_fft, self.hop)), self.power)
        return apply_masks(stft(mixture, self.n_fft, self.hop), masks, len(mixture), self.n_fft, self.hop)

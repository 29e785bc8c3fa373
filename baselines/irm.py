"""Ideal ratio mask: how far soft masks on the mixture's spectrogram can go."""

from __future__ import annotations

import numpy as np

from ucr.methods.contract import Baseline, Meta
from ucr.signal.spectrogram import apply_masks, ratio_masks, stft

META = Meta(
    name="irm",
    kind="oracle",
    paper="Stöter, Liutkus & Ito, The 2018 Signal Separation Evaluation Campaign, LVA/ICA 2018",
    summary="Ratio mask from the true sources' magnitudes",
)


class Method(Baseline):
    """Mask the mixture by each true source's share of the magnitude.

    Parameters
    ----------
    n_fft, hop
        Length of the Hann window and step between windows, in samples.
    power
        Exponent of the magnitudes; 1 is the campaign's IRM1, 2 its IRM2.
    """

    def __init__(self, n_fft: int = 2048, hop: int = 512, power: float = 1.0):
        self.n_fft, self.hop, self.power = n_fft, hop, power

    def separate(
        self, mixture: np.ndarray, sample_rate: int, n_sources: int, references: np.ndarray | None = None
    ) -> np.ndarray:
        """See `Baseline.separate`."""
        if references is None:
            raise ValueError("irm is an oracle and needs the true sources")
        masks = ratio_masks(np.abs(stft(references, self.n_fft, self.hop)), self.power)
        return apply_masks(stft(mixture, self.n_fft, self.hop), masks, len(mixture), self.n_fft, self.hop)

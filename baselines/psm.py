"""Phase-sensitive mask: how far masks between 0 and 1 on the mixture's spectrogram can go."""

from __future__ import annotations

import numpy as np

from ucr.methods.contract import Meta, Oracle
from ucr.signal.spectrogram import apply_masks, stft

META = Meta(
    name="psm",
    kind="oracle",
    paper="Erdogan, Hershey, Watanabe & Le Roux, Phase-sensitive and recognition-boosted speech separation using "
    "deep recurrent neural networks, ICASSP 2015",
    summary="The mask in [0, 1] that comes nearest to each true source's spectrogram",
)


class Method(Oracle):
    """Mask each bin by |S| cos(θ) / |X|, truncated to [0, 1].

    S is a true source, X the sum of all and θ the angle between them. No other value in [0, 1] brings X
    nearer to S, so this bounds every method that masks the mixture's spectrogram with such values, but for what
    the windows' overlap changes. Methods that change phases, or add to a bin, can exceed it.
    Without the truncation it bounds masks of any real value.

    Parameters
    ----------
    n_fft, hop
        Length of the Hann window and step between windows, in samples.
    truncated
        Whether the mask is truncated.
    """

    def __init__(self, n_fft: int = 2048, hop: int = 512, truncated: bool = True):
        self.n_fft, self.hop, self.truncated = n_fft, hop, truncated

    def separate(self, mixture: np.ndarray, sample_rate: int, references: np.ndarray) -> np.ndarray:
        """See `Oracle.separate`."""
        sources = stft(references, self.n_fft, self.hop)
        total = sources.sum(axis=0)
        power = np.abs(total) ** 2
        along = (sources * total.conj()).real
        masks = np.divide(along, power, out=np.zeros_like(along), where=power > 0)
        masks = masks.clip(0, 1) if self.truncated else masks
        return apply_masks(stft(mixture, self.n_fft, self.hop), masks, len(mixture), self.n_fft, self.hop)

"""Ideal binary mask: how far hard masks on the mixture's spectrogram can go."""

from __future__ import annotations

import numpy as np

from ucr.methods.contract import Meta, Oracle
from ucr.signal.spectrogram import apply_masks, stft

META = Meta(
    name="ibm",
    kind="oracle",
    paper="Wang, On ideal binary mask as the computational goal of auditory scene analysis, 2005",
    summary="Each time-frequency bin goes to the source that is loudest there",
)


class Method(Oracle):
    """Give each bin whole to its loudest true source (a local criterion of 0 dB).

    It bounds, nearly, methods whose masks are 0 or 1; `psm` exceeds it.

    Parameters
    ----------
    n_fft, hop
        Length of the Hann window and step between windows, in samples.
    """

    def __init__(self, n_fft: int = 2048, hop: int = 512):
        self.n_fft, self.hop = n_fft, hop

    def separate(self, mixture: np.ndarray, sample_rate: int, references: np.ndarray) -> np.ndarray:
        """See `Oracle.separate`."""
        loudest = np.abs(stft(references, self.n_fft, self.hop)).argmax(axis=0)
        masks = (loudest == np.arange(len(references))[:, None, None]).astype(np.float32)
        return apply_masks(stft(mixture, self.n_fft, self.hop), masks, len(mixture), self.n_fft, self.hop)

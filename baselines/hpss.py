"""Harmonic-percussive source separation by median filtering."""

from __future__ import annotations

import numpy as np

from ucr.methods.contract import Baseline, Meta
from ucr.signal.medians import harmonic_percussive_masks
from ucr.signal.spectrogram import apply_masks, stft

META = Meta(
    name="hpss",
    kind="blind",
    paper="Fitzgerald, Harmonic/percussive separation using median filtering, DAFx 2010",
    summary="Horizontal against vertical ridges of the spectrogram: harmonic, then percussive",
    licence="MIT, librosa ISC",
    n_sources=2,
)


class Method(Baseline):
    """Compare each bin's median along time (harmonic) with its median along frequency (percussive).

    The masks are the paper's soft ones, H^p / (H^p + P^p) and its complement, with its p = 2; the other
    defaults are those of the author's own program, written for 44.1 kHz (*DAFX: Digital Audio Effects*, 2nd edition,
    Wiley 2011): windows of 93 ms and medians over 0.4 s and 180 Hz. At 24 kHz the same numbers of samples are
    171 ms, 0.7 s and 100 Hz; the same durations are nearly those of n_fft=2048, hop=512. Both are in
    `benchmarks/tune.csv`.

    Parameters
    ----------
    n_fft, hop
        Length of the Hann window and step between windows, in samples.
    kernel
        Length of both median filters, in frames and in bins.
    power
        Exponent p of the masks.
    """

    def __init__(self, n_fft: int = 4096, hop: int = 1024, kernel: int = 17, power: float = 2.0):
        self.n_fft, self.hop, self.kernel, self.power = n_fft, hop, kernel, power

    def separate(self, mixture: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """See `Baseline.separate`."""
        spectrogram = stft(mixture, self.n_fft, self.hop)
        masks = harmonic_percussive_masks(np.abs(spectrogram), self.kernel, self.power)
        return apply_masks(spectrogram, masks, len(mixture), self.n_fft, self.hop)

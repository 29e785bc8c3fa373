"""Short-time Fourier transforms, and mixtures filtered by masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # a method of arrays alone needn't wait for torch
    from torch import Tensor


def stft(audio: np.ndarray, n_fft: int, hop: int, window: str = "hann") -> np.ndarray:
    """Transform float32[..., n_samples] into complex64[..., n_fft // 2 + 1, frames], zeros padded at both ends."""
    import librosa

    return librosa.stft(audio, n_fft=n_fft, hop_length=hop, window=window)


def istft(spectrogram: np.ndarray, n_samples: int, n_fft: int, hop: int, window: str = "hann") -> np.ndarray:
    """Invert `stft`, by least squares in the overlaps, into float32[..., n_samples]."""
    import librosa

    audio = librosa.istft(spectrogram, n_fft=n_fft, hop_length=hop, window=window, length=n_samples)
    return np.asarray(audio, dtype=np.float32)


def apply_masks(
    spectrogram: np.ndarray, masks: np.ndarray, n_samples: int, n_fft: int, hop: int, window: str = "hann"
) -> np.ndarray:
    """Turn masks on a mixture into estimates on the scale of the sources.

    The mixture is the mean of the sources, so a masked mixture is 1 / n_sources of an estimate.

    Parameters
    ----------
    spectrogram : complex64[bins, frames]
        Of the mixture.
    masks : float[n_sources, bins, frames]
    n_samples
        Length of the mixture.
    n_fft, hop, window
        As given to `stft`.

    Returns
    -------
    float32[n_sources, n_samples]
    """
    return istft(len(masks) * masks * spectrogram, n_samples, n_fft, hop, window)


def magnitudes(spectrum: Tensor) -> Tensor:
    """The magnitudes of a complex tensor: in half the time of its `abs`, which minds overflow."""
    return spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag).sqrt_()

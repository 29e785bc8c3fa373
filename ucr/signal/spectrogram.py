"""Short-time Fourier transforms and masks, as the spectrogram methods share them."""

from __future__ import annotations

import numpy as np


def stft(audio: np.ndarray, n_fft: int, hop: int, window: str = "hann") -> np.ndarray:
    """Transform float32[..., n_samples] into complex64[..., n_fft // 2 + 1, frames], zeros padded at both ends."""
    import librosa

    return librosa.stft(audio, n_fft=n_fft, hop_length=hop, window=window)


def istft(spectrogram: np.ndarray, n_samples: int, n_fft: int, hop: int, window: str = "hann") -> np.ndarray:
    """Invert `stft`, by least squares in the overlaps, into float32[..., n_samples]."""
    import librosa

    audio = librosa.istft(spectrogram, n_fft=n_fft, hop_length=hop, window=window, length=n_samples)
    return np.asarray(audio, dtype=np.float32)


def ratio_masks(magnitudes: np.ndarray, power: float = 1.0) -> np.ndarray:
    """Share every time-frequency bin among sources by their magnitudes.

    The generalised Wiener filter of Liutkus & Badeau (2015), "Generalized Wiener filtering with
    fractional power spectrograms", ICASSP: mask j is v_j^power / sum_k v_k^power.

    Parameters
    ----------
    magnitudes : float[n_sources, bins, frames]
        Not negative.
    power
        1 shares by magnitude, 2 by power.

    Returns
    -------
    float[n_sources, bins, frames]
        Adding up to 1 in every bin; where all magnitudes are 0, the shares are equal.
    """
    peak = magnitudes.max(axis=0)
    # Relative to the loudest source, so that no power of a tiny magnitude underflows to a sum of 0.
    relative = np.divide(magnitudes, peak, out=np.ones_like(magnitudes), where=peak > 0) ** power
    return relative / relative.sum(axis=0)


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


def only_two(name: str, n_sources: int) -> None:
    """Raise `ValueError` unless two sources are asked of a method that knows no others."""
    if n_sources != 2:
        raise ValueError(f"{name} yields two estimates and cannot give {n_sources}")

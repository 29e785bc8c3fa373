"""Embedding spaces in which sets of clips are compared: few statistics per clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DIMENSIONS = 8  # far fewer than the clips of a set, or a Fréchet distance measures the number of clips


def log_mel(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Log-mel spectrograms in dB: float32[b, n_samples] -> float32[b, 64, frames]."""
    import librosa

    power = librosa.feature.melspectrogram(y=audio, sr=sample_rate, n_fft=2048, hop_length=512, n_mels=64)
    return 10 * np.log10(np.maximum(power, 1e-8))


def statistics(features: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over time: float[b, channels, frames] -> float64[b, 2 * channels]."""
    features = features.astype(np.float64)
    return np.concatenate([features.mean(axis=-1), features.std(axis=-1)], axis=1)


@dataclass(frozen=True)
class Projection:
    """Standardised statistics on the leading principal components of the training segments.

    The training segments lie at a mean squared distance of 1 from their centre, or a little less for the components
    left out.

    Attributes
    ----------
    mean, scale : float64[d]
    axes : float64[d, dimensions]
    """

    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(cls, training: np.ndarray, dimensions: int = DIMENSIONS) -> Projection:
        """From the training segments' statistics, float64[n, d]; what never changes there counts nothing."""
        mean, std = training.mean(axis=0), training.std(axis=0)
        scale = np.where(std > 1e-9 * np.abs(mean).max(initial=1.0), std, np.inf)
        _, values, axes = np.linalg.svd((training - mean) / scale, full_matrices=False)
        spread = np.sqrt((values**2).sum() / len(training)) or 1.0
        return cls(mean, scale, axes[:dimensions].T / spread)

    def __call__(self, statistics: np.ndarray) -> np.ndarray:
        """float64[n, d] -> float64[n, dimensions]; the training segments' axes have the largest variances first."""
        return (statistics - self.mean) / self.scale @ self.axes

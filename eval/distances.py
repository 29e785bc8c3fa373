"""Spectral distance between a source and its estimate that needs no trained model."""

from __future__ import annotations

import numpy as np
from scipy.fft import rfft

FFT_SIZES = (2048, 512, 128)
EPSILON = 1e-5  # amplitude under which bins count as equal: -100 dB of full scale


def multiscale_stft_distance(references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """Multi-scale STFT distance: how far magnitude spectrograms lie apart, phase ignored; 0 is equal.

    With S and Ŝ the magnitudes of the reference and of the estimate::

        D = mean over scales of  ‖S − Ŝ‖_F / ‖S‖_F  +  mean |ln(S + ε) − ln(Ŝ + ε)|,

    spectral convergence plus log-magnitude distance: the multi-resolution STFT loss of Yamamoto, Song and
    Kim, "Parallel WaveGAN", ICASSP 2020, used as a measure. The scales are Hann windows of 2048, 512 and
    128 samples with 75 % overlap: three of the sizes, and the overlap, of the multi-scale spectral loss of
    Engel et al., "DDSP", ICLR 2020. Windows add up to 1, so that S is an amplitude, and ε = 1e-5. The
    distance changes with the estimate's level.

    Parameters
    ----------
    references, estimates : float[..., n_samples]
        Amplitudes, full scale 1; a signal shorter than a window is padded with zeros. From a silent
        reference the distance is not finite.

    Returns
    -------
    float64[...]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.mean([_distance(references, estimates, size) for size in FFT_SIZES], axis=0)


def _distance(references: np.ndarray, estimates: np.ndarray, size: int) -> np.ndarray:
    true, estimated = _magnitudes(references, size), _magnitudes(estimates, size)
    convergence = np.linalg.norm(true - estimated, axis=(-2, -1)) / np.linalg.norm(true, axis=(-2, -1))
    log_distance = np.abs(np.log((true + EPSILON) / (estimated + EPSILON))).mean(axis=(-2, -1))
    return np.float64(convergence) + log_distance


def _magnitudes(audio: np.ndarray, size: int) -> np.ndarray:
    """Magnitudes, float32[..., n_frames, size / 2 + 1]: float32 halves the time and is exact to 1e-6."""
    missing = max(0, size - audio.shape[-1])
    audio = np.pad(np.float32(audio), [(0, 0)] * (audio.ndim - 1) + [(0, missing)])
    frames = np.lib.stride_tricks.sliding_window_view(audio, size, axis=-1)[..., :: size // 4, :]
    window = np.hanning(size + 1)[:-1]
    return np.abs(rfft(frames * np.float32(window / window.sum()), axis=-1))

"""Spectral distance between a source and its estimate that needs no trained model."""

from __future__ import annotations

import functools

import numpy as np
from scipy.fft import rfft

FFT_SIZES = (2048, 512, 128)
OVERLAP = max(FFT_SIZES)  # samples after a stretch that its last frames reach into
PIECE = 2**15  # samples at a time, whose frames stay in the processor's cache; whole hops of every size
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
    references, estimates = (np.asarray(each, np.float32) for each in (references, estimates))
    n_samples = references.shape[-1]
    return distances(
        sum(  # type: ignore[arg-type]
            spectral_sums(
                references[..., start : start + PIECE + OVERLAP],
                estimates[..., start : start + PIECE + OVERLAP],
                start,
                min(start + PIECE, n_samples),
                n_samples,
            )
            for start in range(0, n_samples, PIECE)
        )
    )


def spectral_sums(
    references: np.ndarray, estimates: np.ndarray, start: int, stop: int, n_samples: int
) -> np.ndarray:
    """What a stretch of signals adds to the sums that their distances follow from.

    Parameters
    ----------
    references, estimates : float32[..., n]
        From sample `start` to `stop + OVERLAP`, or less where the signal ends.
    start, stop
        The stretch, in samples: of frames that begin in it.
    n_samples
        Of the whole signal.

    Returns
    -------
    float64[scales, 4, ...]
        Energies of S - Ŝ and of S, sum of the logarithms' distances, number of bins.
    """
    sums = np.zeros((len(FFT_SIZES), 4, *references.shape[:-1]))
    for scale, size in zip(sums, FFT_SIZES, strict=True):
        hop = size // 4
        last = max(0, n_samples - size) // hop * hop
        for begin in range(-(-start // hop) * hop, min(stop, last + 1), PIECE):
            end = min(begin + PIECE - hop, stop - 1, last) // hop * hop + size - start
            true, estimated = (
                _magnitudes(each[..., begin - start : end], size) for each in (references, estimates)
            )
            log_distance = np.abs(np.log((true + EPSILON) / (estimated + EPSILON)))
            parts = ((true - estimated) ** 2, true**2, log_distance)
            scale[:3] += [part.sum((-2, -1), dtype=np.float64) for part in parts]
            scale[3] += true.shape[-2] * true.shape[-1]
    return sums


def distances(sums: np.ndarray) -> np.ndarray:
    """Multi-scale STFT distances, float64[...], from the sums over a whole signal."""
    differences, energies, logarithms, bins = np.moveaxis(sums, 1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.mean(np.sqrt(differences / energies) + logarithms / bins, axis=0)


def _magnitudes(audio: np.ndarray, size: int) -> np.ndarray:
    """Magnitudes, float32[..., n_frames, size / 2 + 1]: float32 halves the time and is exact to 1e-6."""
    audio = audio.astype(np.float32, copy=False)
    if missing := max(0, size - audio.shape[-1]):
        audio = np.pad(audio, [(0, 0)] * (audio.ndim - 1) + [(0, missing)])
    frames = np.lib.stride_tricks.sliding_window_view(audio, size, axis=-1)[..., :: size // 4, :]
    return np.abs(rfft(frames * _window(size), axis=-1))


@functools.cache
def _window(size: int) -> np.ndarray:
    """A Hann window whose sum is 1, float32[size]."""
    window = np.hanning(size + 1)[:-1]
    return (window / window.sum()).astype(np.float32)

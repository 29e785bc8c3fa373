"""FT2D: a repeating background as peaks of the spectrogram's two-dimensional Fourier transform."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter, uniform_filter

from ucr.methods.contract import Baseline, Meta
from ucr.signal.spectrogram import apply_masks, stft

META = Meta(
    name="ft2d",
    kind="blind",
    paper="Seetharaman, Pishdadian & Pardo, Music/voice separation using the 2D Fourier transform, WASPAA 2017",
    summary="Peaks of the magnitude spectrogram's 2-D Fourier transform, then the rest",
    n_sources=2,
)
TINY = 1e-7  # beside the largest magnitude


class Method(Baseline):
    """Keep the local maxima of the 2-D transform as background, weighted by how far they stand out.

    A local maximum of the transform (scale along frequency, rate along time) weighs (its magnitude - mean) / standard
    deviation of its neighbourhood, relative to the greatest such weight; all else weighs 0. The background B is the
    inverse transform of the weighted transform, and its mask min(|B|, V) / V with V the mixture's magnitude, relative
    to the mask's largest value; the rest is foreground. These are the defaults of the first author's implementation
    (nussl 1.1), from chapter 2 of his thesis, *Bootstrapping the learning process for computer audition*
    (Northwestern, 2019); the paper has one threshold for all peaks and binary masks. Its high-pass filter, which
    keeps all under 100 Hz from the voice, is left out: the foreground here is any source.

    Parameters
    ----------
    n_fft, hop
        Length of the Hann window and step between windows, in samples.
    neighbourhood
        Size in scale and in rate, in points.
    """

    def __init__(self, n_fft: int = 2048, hop: int = 512, neighbourhood: tuple[int, int] = (1, 25)):
        self.n_fft, self.hop, self.neighbourhood = n_fft, hop, neighbourhood

    def separate(self, mixture: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """See `Baseline.separate`."""
        spectrogram = stft(mixture, self.n_fft, self.hop)
        magnitude = np.abs(spectrogram)
        if not magnitude.any():
            return np.zeros((n_sources, len(mixture)), dtype=np.float32)
        transform = np.fft.fft2(magnitude)
        background = np.abs(np.fft.ifft2(peak_weights(np.abs(transform), self.neighbourhood) * transform))
        repeating = np.minimum(background, magnitude) / (magnitude + TINY * magnitude.max())
        repeating /= repeating.max()
        masks = np.stack([repeating, 1 - repeating]).astype(np.float32)
        return apply_masks(spectrogram, masks, len(mixture), self.n_fft, self.hop)


def peak_weights(magnitudes: np.ndarray, neighbourhood: tuple[int, int]) -> np.ndarray:
    """How far each local maximum stands out of its neighbourhood, in standard deviations of this.

    Parameters
    ----------
    magnitudes : float[scales, rates]
        Magnitudes of a 2-D Fourier transform, not all 0; periodic.
    neighbourhood
        Size in points.

    Returns
    -------
    float[scales, rates]
        In [0, 1], 1 for the one that stands out most and 0 where there is no maximum; the same for positive and
        negative scales, and for positive and negative rates.
    """
    magnitudes = magnitudes / magnitudes.max()
    highest = maximum_filter(magnitudes, neighbourhood, mode="wrap")
    mean = uniform_filter(magnitudes, neighbourhood, mode="wrap")
    variance = uniform_filter(magnitudes**2, neighbourhood, mode="wrap") - mean**2
    weights = (magnitudes == highest) * (highest - mean) / (np.sqrt(np.maximum(variance, 0)) + TINY)
    for axis in (0, 1):  # index -k of a transform is its length - k
        weights = np.maximum(weights, np.roll(np.flip(weights, axis), 1, axis))
    return weights / max(weights.max(), TINY)

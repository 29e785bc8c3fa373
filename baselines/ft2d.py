"""FT2D: a repeating background as peaks of the spectrogram's two-dimensional Fourier transform."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from ucr.methods.contract import Baseline, Meta
from ucr.signal.spectrogram import apply_masks, stft

META = Meta(
    name="ft2d",
    kind="blind",
    paper="Seetharaman, Pishdadian & Pardo, Music/voice separation using the 2D Fourier transform, WASPAA 2017",
    summary="Peaks of the magnitude spectrogram's 2-D Fourier transform, then the rest",
    n_sources=2,
)


class Method(Baseline):
    """Keep the local maxima of the 2-D transform as background; each bin goes to the louder of the two.

    A point of the transform (scale along frequency, rate along time) is a peak if it is the largest
    of its neighbourhood and the neighbourhood's range exceeds the standard deviation of the whole.
    Background and foreground are the inverse transforms of the peaks and of all else, and the mask is
    binary.

    Parameters
    ----------
    n_fft, hop
        Length of the Hann window and step between windows, in samples.
    neighbourhood
        Size in scale and in rate, in points. The paper's is 1 by 15 to 100, depending on the piece; 25
        is the default of its authors' implementation (nussl).
    """

    def __init__(self, n_fft: int = 2048, hop: int = 512, neighbourhood: tuple[int, int] = (1, 25)):
        self.n_fft, self.hop, self.neighbourhood = n_fft, hop, tuple(neighbourhood)

    def separate(self, mixture: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """See `Baseline.separate`."""
        spectrogram = stft(mixture, self.n_fft, self.hop)
        transform = np.fft.fft2(np.abs(spectrogram))
        peaks = self._peaks(np.abs(transform))
        background, foreground = np.abs(np.fft.ifft2(np.stack([transform * peaks, transform * ~peaks])))
        masks = np.stack([background > foreground, background <= foreground]).astype(np.float32)
        return apply_masks(spectrogram, masks, len(mixture), self.n_fft, self.hop)

    def _peaks(self, height: np.ndarray) -> np.ndarray:
        # "wrap", since the transform is periodic.
        highest = maximum_filter(height, self.neighbourhood, mode="wrap")
        lowest = minimum_filter(height, self.neighbourhood, mode="wrap")
        return (height == highest) & (highest - lowest > height.std())

"""REPET: a periodically repeating background, found from the spectrogram's own rhythm."""

from __future__ import annotations

import numpy as np

from ucr.methods.contract import Baseline, Meta
from ucr.signal.masks import ratio_masks
from ucr.signal.spectrogram import apply_masks, stft

META = Meta(
    name="repet",
    kind="blind",
    paper="Rafii & Pardo, REpeating Pattern Extraction Technique (REPET): a simple method for music/voice "
    "separation, IEEE TASLP 21(1), 2013",
    summary="What repeats with the beat, then what does not",
    n_sources=2,
)
SHIFT = 2  # frames by which a peak may miss its multiple of the period: the paper's delta


class Method(Baseline):
    """Model one period by the median of all its repetitions and mask with it.

    The paper's high-pass filter, which keeps everything under 100 Hz from the voice, is left out: the
    foreground here is any source.

    Parameters
    ----------
    n_fft, hop
        Length of the Hamming window and step between windows, in samples. The authors' windows overlap
        by half and last 40 ms, rounded up to a power of 2: 1024 samples at 24 kHz.
    """

    def __init__(self, n_fft: int = 1024, hop: int = 512):
        self.n_fft, self.hop = n_fft, hop

    def separate(self, mixture: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """See `Baseline.separate`."""
        spectrogram = stft(mixture, self.n_fft, self.hop, "hamming")
        magnitude = np.abs(spectrogram)
        repeating = repeating_spectrogram(magnitude, repeating_period(beat_spectrum(magnitude**2)))
        masks = ratio_masks(np.stack([repeating, magnitude - repeating]))
        return apply_masks(spectrogram, masks, len(mixture), self.n_fft, self.hop, "hamming")


def beat_spectrum(power: np.ndarray) -> np.ndarray:
    """Autocorrelation of each frequency's power over time, averaged over frequencies (section II-A).

    For frequency i and lag l: B(i, l) = sum_j V2(i, j) V2(i, j + l) / (frames - l), and b(l) the mean of
    B(i, l) over i, divided by b(0), where V2 is the power.

    Parameters
    ----------
    power : float[bins, frames]
        Squared magnitudes.

    Returns
    -------
    float[frames]
        By lag in frames, 1 at lag 0 (or 0 everywhere, of silence).
    """
    frames = power.shape[1]
    spectrum = np.fft.rfft(power, 2 * frames)  # padded, so that the correlation is not circular
    correlation = np.fft.irfft((np.abs(spectrum) ** 2).mean(axis=0))[:frames] / np.arange(frames, 0, -1)
    return correlation / correlation[0] if correlation[0] > 0 else np.zeros(frames)


def repeating_period(beats: np.ndarray) -> int:
    """Find the period at whose multiples the beat spectrum has its peaks (algorithm 1).

    The longest quarter of the lags is ignored, and only periods that fit three times into the rest are
    considered.

    Parameters
    ----------
    beats : float[frames]
        By lag, as from `beat_spectrum`.

    Returns
    -------
    int
        In frames.
    """
    lags = beats[: max(4, 3 * len(beats) // 4)]
    longest = len(lags) - 1
    strength = np.zeros(longest // 3 + 1)
    for period in range(1, len(strength)):
        reach = 3 * period // 4
        for multiple in range(period, longest + 1, period):
            near = _interval(multiple, min(SHIFT, reach), longest)
            around = _interval(multiple, reach, longest)
            peak = near[lags[near].argmax()]
            if peak == around[lags[around].argmax()]:
                strength[period] += lags[peak] - lags[around].mean()
        strength[period] /= longest // period
    return max(1, int(strength.argmax()))


def _interval(centre: int, reach: int, longest: int) -> np.ndarray:
    return np.arange(max(1, centre - reach), min(longest, centre + reach) + 1)


def repeating_spectrogram(magnitude: np.ndarray, period: int) -> np.ndarray:
    """Give each frame the median of its repetitions, where that is less than itself (sections II-B and II-C).

    The segment model is S(i, l) = median over k of V(i, l + k period), and the repeating spectrogram
    W(i, l + k period) = min(S(i, l), V(i, l + k period)); the mask is W / V.

    Parameters
    ----------
    magnitude : float[bins, frames]
    period
        In frames.

    Returns
    -------
    float[bins, frames]
    """
    bins, frames = magnitude.shape
    repeats = -(-frames // period)
    padded = np.pad(magnitude, ((0, 0), (0, repeats * period - frames)), constant_values=np.nan)
    model = np.nanmedian(padded.reshape(bins, repeats, period), axis=1)
    return np.minimum(np.tile(model, repeats)[:, :frames], magnitude)

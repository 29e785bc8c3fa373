"""REPET-SIM: a background of frames that resemble others, whether or not they do so periodically."""

from __future__ import annotations

import numpy as np

from ucr.methods.contract import Baseline, Meta
from ucr.signal.masks import ratio_masks
from ucr.signal.spectrogram import apply_masks, stft

META = Meta(
    name="repet_sim",
    kind="blind",
    paper="Rafii & Pardo, Music/voice separation using the similarity matrix, ISMIR 2012",
    summary="What resembles other moments, then what does not",
    licence="MIT, librosa ISC",
    n_sources=2,
)


class Method(Baseline):
    """Model each frame by the median of the frames most similar to it and mask with it.

    Similarity is the cosine between magnitude frames, the model W the smaller of the median and the
    frame V itself, the mask W / V. librosa's search keeps `apart_seconds` between a frame and its
    neighbours; the paper keeps it among these too.

    Parameters
    ----------
    n_fft, hop
        Length of the Hamming window and step between windows, in samples. The authors' windows overlap
        by half and last 40 ms, rounded up to a power of 2: 1024 samples at 24 kHz.
    neighbours
        How many similar frames at most; the authors' 100.
    apart_seconds
        Least distance of a similar frame; the authors' 1 s.
    """

    def __init__(self, n_fft: int = 1024, hop: int = 512, neighbours: int = 100, apart_seconds: float = 1.0):
        self.n_fft, self.hop, self.neighbours, self.apart_seconds = n_fft, hop, neighbours, apart_seconds

    def separate(self, mixture: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """See `Baseline.separate`."""
        import librosa

        spectrogram = stft(mixture, self.n_fft, self.hop, "hamming")
        magnitude = np.abs(spectrogram)
        frames = magnitude.shape[1]
        apart = min(round(self.apart_seconds * sample_rate / self.hop), (frames - 1) // 2 - 1)
        similar = librosa.decompose.nn_filter(
            magnitude, aggregate=np.median, metric="cosine", k=self.neighbours, width=max(1, apart)
        )
        repeating = np.minimum(similar, magnitude)
        masks = ratio_masks(np.stack([repeating, magnitude - repeating]))
        return apply_masks(spectrogram, masks, len(mixture), self.n_fft, self.hop, "hamming")

    def products(self, n_samples: int) -> int:
        """See `Baseline.products`: of each frame with each other."""
        return (1 + self.n_fft // 2) * (1 + n_samples // self.hop) ** 2

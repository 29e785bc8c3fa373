"""The consensus of what was learnt elsewhere and of what the song itself shows."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np

from ucr.codecs.mel import MelCodec
from ucr.methods.contract import Meta
from ucr.signal.adaptation import adapted
from ucr.signal.overlap import best_permutation
from ucr.signal.spectrogram import istft, stft

from ._shared.decomposition import PAPER, Pretrained
from ._shared.grouping import decoded_labels

META = Meta(
    name="ucr_consensus",
    kind="unsupervised",
    paper=PAPER,
    summary="The mean of `ucr_pretrained`, `grouping` and, of two sources with drums, `hpss`; then as `ucr_adapted`.",
    licence="MIT, librosa ISC, scikit-learn BSD-3-Clause",
    weights="shipped",
    steps=True,
)


class Method(Pretrained):
    """Average estimates that err for different reasons, then refine them by the song's own spectra.

    Shipped weights know how instruments sound in the songs that they learnt from, and fail where an instrument sounds
    otherwise (a ringing kick drum is taken for the bass). The grouping of the mixture's own spectra and median filters
    know nothing of other songs. Each one's estimates are put into the order that is nearest to the first's. Takes the
    options of `ucr`. `grouping` is told the number of sources and whether one is percussive.
    """

    def load(self, weights: Path, sources: list[str]) -> None:
        super().load(weights, sources)
        self.percussive = "drums" in sources

    def separate_batch(self, mixtures: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        learnt = super().separate_batch(mixtures, sample_rate, n_sources)
        means = [self._consensus(*each, n_sources) for each in zip(mixtures, learnt, strict=True)]
        return adapted(mixtures, np.stack(means))

    def _consensus(self, mixture: np.ndarray, learnt: np.ndarray, n_sources: int) -> np.ndarray:
        if not mixture.any():
            return learnt
        if not isinstance(self.codec, MelCodec):
            raise ValueError(
                f"magnitudes are grouped, which the codec {self.codec.name} has none of: choose mel"
            )
        found = [decoded_labels(self.codec, mixture, n_sources, self.percussive, self.seed, self.device)]
        if self.percussive and n_sources == 2:
            parts = librosa.decompose.hpss(stft(mixture, 4096, 1024), kernel_size=17)
            found.append(istft(2 * np.stack(parts), len(mixture), 4096, 1024))
        together = np.stack([learnt, *(each[best_permutation(learnt, each)] for each in found)])
        return together.mean(axis=0)

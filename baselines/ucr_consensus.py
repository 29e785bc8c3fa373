"""The consensus of what was learnt elsewhere and of what the song itself shows."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from ucr.foundation.params import GroupingParams
from ucr.methods.contract import Meta
from ucr.signal.spectrogram import istft, stft
from ucr.training.adaptation import adapted
from ucr.training.grouping import group

from ._shared.decomposition import PAPER, Pretrained

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

    @torch.no_grad()
    def _consensus(self, mixture: np.ndarray, learnt: np.ndarray, n_sources: int) -> np.ndarray:
        if not mixture.any():
            return learnt
        audio = torch.tensor(mixture)[None]
        latents = self.codec.encode(audio.to(self.device)).cpu().numpy()
        groups = group(
            latents, [""], self.model.power, n_sources, self.percussive, GroupingParams(), self.seed
        )
        components = torch.from_numpy(groups).float().to(self.device)
        found = [self.codec.decode_components(components, audio.to(self.device))[0].cpu().numpy()]
        if self.percussive and n_sources == 2:
            parts = librosa.decompose.hpss(stft(mixture, 4096, 1024), kernel_size=17)
            found.append(istft(2 * np.stack(parts), len(mixture), 4096, 1024))
        together = np.stack([learnt, *(nearest(learnt, each) for each in found)])
        return together.mean(axis=0)


def nearest(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The estimates of `second`, float32[n, n_samples], in the order of greatest correlation with those of `first`."""
    return second[linear_sum_assignment(first @ second.T, maximize=True)[1]]

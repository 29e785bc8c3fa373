"""The consensus of what was learnt elsewhere and of what the song itself shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ucr.codecs.mel import MelCodec
from ucr.methods.contract import Meta
from ucr.signal.adaptation import adapted
from ucr.signal.medians import harmonic_percussive_masks
from ucr.signal.nmf import factorise, nndsvd
from ucr.signal.overlap import best_permutation
from ucr.signal.spectrogram import apply_masks, stft

from ._shared.decomposition import PAPER, Shipped
from ._shared.grouping import decoded_labels

META = Meta(
    name="ucr_consensus",
    kind="unsupervised",
    paper=PAPER,
    summary="The mean of `ucr_pretrained`, `grouping` and, of two sources with drums, `hpss`, weighted by how well "
    "a few spectra describe them; then as `ucr_adapted`.",
    licence="MIT, librosa ISC, scikit-learn BSD-3-Clause",
    weights="shipped",
    steps=True,
)

TINY = 1e-8  # of the mean magnitude
SPECTRA = 4  # of each estimate
UPDATES = 60
SHARPNESS = 16.0  # power of the errors' ratio


class Method(Shipped):
    """Average estimates that err for different reasons, then refine them by the song's own spectra.

    Shipped weights know how instruments sound in the songs that they learnt from, and fail where an instrument sounds
    otherwise (a ringing kick drum is taken for the bass). The grouping of the mixture's own spectra and median filters
    know nothing of other songs. Each one's estimates are put into the order that is nearest to the first's, and count
    the more the better a few spectra that come again describe them, since a source is simpler than what holds
    another's remains. Takes the options of `ucr`. `grouping` is told the number of sources and whether one is
    percussive.
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
            spectrogram = stft(mixture, 4096, 1024)
            masks = harmonic_percussive_masks(np.abs(spectrogram), 17)
            found.append(apply_masks(spectrogram, masks, len(mixture), 4096, 1024))
        together = np.stack([learnt, *(each[best_permutation(learnt, each)] for each in found)])
        return np.average(together, axis=0, weights=weights(together)).astype(np.float32)


@torch.no_grad()
def weights(candidates: np.ndarray) -> np.ndarray:
    """How much each of several separations of one mixture counts.

    The magnitudes of every estimate are factorised into `SPECTRA` spectra and activations, from a start without chance
    (`ucr.signal.nmf.nndsvd`). The weight is the error's inverse to the power `SHARPNESS`, the error being the
    Kullback-Leibler divergence of a separation's estimates, as a share of their magnitudes. `docs/clips.md` tells how
    all this was chosen, and what of it was not chosen blindly.

    Parameters
    ----------
    candidates : float32[n_candidates, n_sources, n_samples]

    Returns
    -------
    float64[n_candidates]
        The largest is 1.
    """
    hann = torch.hann_window(2048)
    audio = torch.from_numpy(candidates).flatten(0, 1)
    magnitudes = torch.stft(audio, 2048, 1024, window=hann, pad_mode="constant", return_complex=True).abs()
    parts = magnitudes / magnitudes.mean().clamp_min(1e-30) + TINY
    spectra, activations = factorise(parts, *nndsvd(parts, SPECTRA), UPDATES)
    model = spectra @ activations + TINY
    divergences = (parts * (parts / model).log() - parts + model).sum(dim=(1, 2))
    of_each = torch.stack([divergences, parts.sum(dim=(1, 2))]).view(2, len(candidates), -1).sum(dim=2)
    errors = (of_each[0] / of_each[1]).clamp_min(TINY).double().numpy()
    return (errors / errors.min()) ** -SHARPNESS

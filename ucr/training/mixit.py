"""Mixture invariant training: two mixtures are added, and a network's outputs must add up to each of them again.

Wisdom, Tzinis, Erdogan, Weiss, Wilson & Hershey, *Unsupervised sound separation using mixture invariant training*,
NeurIPS 2020. True sources are never read but as their mean, the mixture.
"""

from __future__ import annotations

from itertools import product
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ucr.data.segments import SegmentStore
from ucr.foundation.params import Params
from ucr.training.supervised import GAINS, VALIDATION_CROPS, Network, build, waveform_job
from ucr.training.trainer import Job

NAME: Final = "mixit"
MAX_SNR = 30.0  # dB, the paper's: a better output counts no more


def pairs_of_mixtures(store: SegmentStore, rng: np.random.Generator, batch: int, length: int) -> Tensor:
    """Crops of two different segments' mixtures, each with a gain and a sign of its own: float32[batch, 2, length]."""
    items = rng.integers(len(store), size=(batch, 2))
    items[:, 1] = (items[:, 0] + 1 + items[:, 1] % max(1, len(store) - 1)) % len(store)
    starts = rng.integers(store[0].mixture.size - length + 1, size=(batch, 2))
    gains = (rng.uniform(*GAINS, (batch, 2)) * rng.choice([-1, 1], (batch, 2))).astype(np.float32)
    crops = np.empty((batch, 2, length), dtype=np.float32)
    for place in np.ndindex(batch, 2):
        at = slice(starts[place], starts[place] + length)
        crops[place] = gains[place] * store.crop(int(items[place]), samples=at).mean(axis=0)
    return torch.from_numpy(crops)


def mixit_loss(outputs: Tensor, mixtures: Tensor) -> Tensor:
    """Negative signal-to-noise ratio of both mixtures in dB, by the assignment of outputs for which it is least.

    The loss of a mixture y and its estimate e is `10 log10(|y - e|^2 + t |y|^2) - 10 log10 |y|^2`, with
    `t = 10^(-MAX_SNR / 10)`; the paper's leaves out the last, which no weight changes.

    Parameters
    ----------
    outputs : float[batch, n_outputs, n_samples]
    mixtures : float[batch, 2, n_samples]

    Returns
    -------
    float
        The mean over mixtures and batch.
    """
    first = torch.tensor(
        list(product((0.0, 1.0), repeat=outputs.shape[1])), device=outputs.device, dtype=outputs.dtype
    )
    assignments = torch.stack([first, 1 - first], dim=1)  # [2^n_outputs, 2, n_outputs]
    power = mixtures.square().sum(dim=-1)
    with torch.no_grad():
        best = torch.stack(
            [_snr_loss(assignment @ outputs, mixtures, power).mean(dim=1) for assignment in assignments]
        ).argmin(dim=0)
    return _snr_loss(assignments[best] @ outputs, mixtures, power).mean()


def _snr_loss(estimates: Tensor, mixtures: Tensor, power: Tensor) -> Tensor:
    error = (estimates - mixtures).square().sum(dim=-1)
    return 10 * torch.log10((error + 10 ** (-MAX_SNR / 10) * power + 1e-8) / (power + 1e-8))


def make_job(
    method: Network, params: Params, training: SegmentStore, validation: SegmentStore
) -> tuple[Job, dict]:
    """The training of `mixit`, and the configuration that its weights are saved with.

    Raises
    ------
    UserError
        If its network can't be built of its sizes.
    """
    optim = params.unsupervised[NAME].optim
    module, config = build(NAME, method, params, "unsupervised", training)
    length = min(optim.crop, training[0].mixture.size)
    held_out = pairs_of_mixtures(validation, np.random.default_rng(params.seed), VALIDATION_CROPS, length)

    def loss(batch: tuple[Tensor, ...]) -> Tensor:
        (mixtures,) = batch
        return mixit_loss(module(mixtures.sum(dim=1)).float(), mixtures)

    job = waveform_job(
        NAME,
        module,
        config,
        optim,
        params.seed,
        training,
        lambda rng: pairs_of_mixtures(training, rng, optim.batch, length),
        held_out,
        loss,
    )
    return job, config

"""What all methods with weights share: a batch goes through the model at once, on its device, at its rate."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from torch import Tensor

from ucr.foundation.checkpoints import device_named
from ucr.methods.contract import Baseline

LEVEL = 0.1  # RMS at which a model hears every mixture: about that of music
TINY = 1e-15  # RMS of silence


class Trained(Baseline):
    """A method with weights. A subclass's `load` sets `n_sources` and `sample_rate`.

    The model hears each mixture at the same level, so that a gain of the mixture is one of the estimates.

    Parameters
    ----------
    batch_size
        Mixtures at once.
    device
        Where the model runs; None: the first GPU, or the CPU.
    """

    n_sources: int
    sample_rate: int

    def __init__(self, batch_size: int = 8, device: str | None = None):
        self.batch_size, self.device = batch_size, device_named(device)

    @abstractmethod
    def estimate(self, mixtures: Tensor) -> Tensor:
        """float32[batch, n_samples] on the model's device -> float32[batch, n_sources, n_samples]."""

    def separate(self, mixture: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """See `Baseline.separate`."""
        return self.separate_batch(mixture[None], sample_rate, n_sources)[0]

    @torch.no_grad()
    def separate_batch(self, mixtures: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """See `Baseline.separate_batch`."""
        if n_sources != self.n_sources:
            raise ValueError(f"the model gives {self.n_sources} sources, {n_sources} were asked for")
        if sample_rate != self.sample_rate:
            raise ValueError(f"the model works at {self.sample_rate} Hz, the mixture has {sample_rate} Hz")
        given = torch.from_numpy(mixtures).to(self.device)
        gain = given.square().mean(dim=-1, keepdim=True).sqrt().clamp_min(TINY) / LEVEL
        return (self.estimate(given / gain) * gain[:, None]).cpu().numpy()

"""What trained baselines share: loading weights, and separating waveforms of any length."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ucr.foundation.checkpoints import Separation, fill, load_model
from ucr.foundation.errors import UserError
from ucr.foundation.schema import checked
from ucr.methods.trained import Trained
from ucr.signal.overlap import joined, windows

OVERLAP = 0.25  # of a chunk, as in Demucs


def open_weights(weights: Path, name: str, sources: list[str]) -> tuple[dict[str, Tensor], dict, Separation]:
    """Read the folder of weights of the method called `name`: tensors, configuration, and sources and rate.

    Raises
    ------
    UserError
        If they are missing, damaged, of another method or for other sources.
    """
    tensors, config, _ = load_model(weights)
    if config.get("method") != name:
        raise UserError(f"{weights} holds no weights of {name}: fix methods.{name}.needs")
    described = checked(Separation, config, weights, "train it again")
    if described.sources != sources:
        raise UserError(
            f"{weights} separates {'+'.join(described.sources)}, not {'+'.join(sources)}: train it again"
        )
    return tensors, config, described


class WaveformNetwork(Trained):
    """A network from mixtures to sources, on waveforms.

    Parameters
    ----------
    chunk_seconds
        Longer mixtures are cut into overlapping chunks of this length, whose estimates are cross-faded.
    batch_size, device
        As for `Trained`.
    """

    network: nn.Module

    def __init__(self, chunk_seconds: float = 10.0, batch_size: int = 8, device: str | None = None):
        if chunk_seconds < 1:
            raise ValueError("chunk_seconds must be at least 1")
        super().__init__(batch_size, device)
        self.chunk_seconds = chunk_seconds

    @staticmethod
    @abstractmethod
    def make_network(n_sources: int, sample_rate: int, **sizes) -> nn.Module:
        """Build the network, float32[batch, n_samples] -> float32[batch, n_outputs, n_samples], for any length."""

    def load(self, weights: Path, sources: list[str]) -> None:
        """Load the weights in a folder; a `UserError` if they are not this method's for these sources."""
        name = self.make_network.__module__.rpartition(".")[2]
        tensors, config, described = open_weights(weights, name, sources)
        self.n_sources, self.sample_rate = len(described.sources), described.sample_rate
        try:
            self.network = self.make_network(self.n_sources, self.sample_rate, **config["network"])
        except Exception as error:  # damaged sizes make a network fail in many ways
            reason = f"{type(error).__name__}: {error}"
            raise UserError(f"{weights} describes no network of {name} ({reason}): train it again") from None
        fill(self.network, tensors, weights)
        self.network.to(self.device)

    def estimate(self, mixtures: Tensor) -> Tensor:
        """See `Trained.estimate`."""
        return in_chunks(self.network, mixtures, round(self.chunk_seconds * self.sample_rate))


class Supervised(WaveformNetwork):
    """A network that gives labelled sources, trained by `ucr.training.supervised` on remixed true sources."""

    @staticmethod
    @abstractmethod
    def loss(estimates: Tensor, sources: Tensor) -> Tensor:
        """Compare float32[batch, n_sources, n_samples] with the true sources: a scalar to be minimised."""


def in_chunks(network: nn.Module, mixtures: Tensor, chunk: int) -> Tensor:
    """Separate chunk by chunk and cross-fade the estimates linearly.

    Parameters
    ----------
    network
        float[batch, n_samples] -> float[batch, n_sources, n_samples].
    mixtures : float[batch, n_samples]
    chunk
        Length of a chunk in samples; mixtures no longer than this go through the network whole.

    Returns
    -------
    float[batch, n_sources, n_samples]
    """
    position = 0

    def read(n_samples: int) -> np.ndarray:
        nonlocal position
        position += n_samples
        return mixtures[:, position - n_samples : position].cpu().numpy()

    parts = (
        (step, network(torch.from_numpy(window).to(mixtures.device)).cpu().numpy())
        for step, window in windows(read, chunk, chunk - round(OVERLAP * chunk))
    )
    return torch.from_numpy(np.concatenate(list(joined(parts)), axis=-1))


class Mono(nn.Module):
    """A network of the demucs package, made to take mono mixtures without a channel axis."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, mixtures: Tensor) -> Tensor:
        """Turn float32[batch, n_samples] into float32[batch, n_sources, n_samples]."""
        return self.network(mixtures[:, None])[:, :, 0]

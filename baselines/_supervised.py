"""What the supervised baselines share: loading weights, and separating music of any length."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import torch
from torch import Tensor, nn

from ucr.foundation.checkpoints import Separation, fill, load_model
from ucr.foundation.errors import UserError
from ucr.foundation.params import Params
from ucr.foundation.schema import checked
from ucr.methods.trained import Trained

OVERLAP = 0.25  # of a chunk, as in Demucs


class Supervised(Trained):
    """A network from mixtures to labelled sources, trained by `pipelines.train_supervised`.

    A subclass gives the network and what is minimised.

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
        """Build the network, float32[batch, n_samples] -> float32[batch, n_sources, n_samples], for any length."""

    @staticmethod
    @abstractmethod
    def loss(estimates: Tensor, sources: Tensor) -> Tensor:
        """Compare float32[batch, n_sources, n_samples] with the true sources: a scalar to be minimised."""

    def load(self, needs: Path, params: Params) -> None:
        """Load the weights in the folder `needs`.

        Raises
        ------
        UserError
            If they are missing, damaged, of another method or for other sources.
        """
        tensors, config, _ = load_model(needs)
        name = type(self).__module__.rpartition(".")[2]
        if config.get("method") != name:
            raise UserError(f"{needs} holds no weights of {name}: mend methods.{name}.needs")
        described = checked(Separation, config, needs, "train it again")
        if described.sources != params.sources:
            raise UserError(
                f"{needs} separates {'+'.join(described.sources)}, not {params.task}: train it again"
            )
        self.n_sources, self.sample_rate = len(described.sources), described.sample_rate
        try:
            self.network = self.make_network(self.n_sources, self.sample_rate, **config["network"])
        except Exception as error:  # damaged sizes make a network fail in many ways
            reason = f"{type(error).__name__}: {error}"
            raise UserError(f"{needs} describes no network of {name} ({reason}): train it again") from None
        fill(self.network, tensors, needs)
        self.network.to(self.device)

    def estimate(self, mixtures: Tensor) -> Tensor:
        """See `Trained.estimate`."""
        return in_chunks(self.network, mixtures, round(self.chunk_seconds * self.sample_rate))


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
    n_samples = mixtures.shape[-1]
    if n_samples <= chunk:
        return network(mixtures)
    overlap = round(OVERLAP * chunk)
    from_edge = torch.arange(1, chunk + 1, device=mixtures.device)
    weight = (torch.minimum(from_edge, from_edge.flip(0)) / overlap).clamp(max=1)
    last = n_samples - chunk
    estimates, total = mixtures.new_zeros(()), mixtures.new_zeros(())
    for start in [*range(0, last, chunk - overlap), last]:
        around = (start, last - start)
        faded = network(mixtures[:, start : start + chunk]) * weight
        estimates = estimates + nn.functional.pad(faded, around)
        total = total + nn.functional.pad(weight, around)
    return estimates / total


class Mono(nn.Module):
    """A network of the demucs package, made to take mono mixtures without a channel axis."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, mixtures: Tensor) -> Tensor:
        """Turn float32[batch, n_samples] into float32[batch, n_sources, n_samples]."""
        return self.network(mixtures[:, None])[:, :, 0]

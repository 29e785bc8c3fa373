"""The training of supervised baselines on true sources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ucr.data.segments import SegmentStore
from ucr.foundation.errors import UserError
from ucr.foundation.params import OptimParams, Params
from ucr.training.trainer import Job

GAINS = (0.25, 1.25)
REMIXED_SHARE = 0.5
VALIDATION_CROPS = 32


class Network(Protocol):
    """What is trained: a baseline's network."""

    def make_network(self, n_sources: int, sample_rate: int, **sizes) -> nn.Module:
        """Build the network, float32[batch, n_samples] -> float32[batch, n_outputs, n_samples], for any length."""


class LabelledNetwork(Network, Protocol):
    """A network with `n_sources` outputs, and its loss."""

    def loss(self, estimates: Tensor, sources: Tensor) -> Tensor:
        """Compare float32[batch, n_sources, n_samples] with the true sources: a scalar to be minimised."""


def remixed(store: SegmentStore, rng: np.random.Generator, batch: int, length: int) -> torch.Tensor:
    """Crops of sources, each with a gain and a sign of its own, and many mixed across songs.

    As Demucs (Défossez et al. 2019, after Uhlich et al. 2017) augments its data, but for the share that
    is mixed across songs: there all; with the few steps of this benchmark's default, half of them gave
    2 dB more for drums and 0.9 dB more for bass on validation segments.

    Parameters
    ----------
    store
        Segments to draw from.
    rng
        Decides everything.
    batch
        How many mixtures' worth.
    length
        Of the crops, in samples.

    Returns
    -------
    float32[batch, n_sources, length]
    """
    size = (batch, len(store.sources))
    items = rng.integers(len(store), size=size)
    starts = rng.integers(store[0].sources.shape[1] - length + 1, size=size)
    together = rng.uniform(size=batch) >= REMIXED_SHARE
    items[together], starts[together] = items[together, :1], starts[together, :1]
    gains = (rng.uniform(*GAINS, size) * rng.choice([-1, 1], size)).astype(np.float32)
    crops = np.empty((*size, length), dtype=np.float32)
    for mixture, source in np.ndindex(size):
        place, start = (mixture, source), starts[mixture, source]
        crops[place] = gains[place] * store.crop(int(items[place]), source, slice(start, start + length))
    return torch.from_numpy(crops)


def true_crops(store: SegmentStore, rng: np.random.Generator, count: int, length: int) -> torch.Tensor:
    """Crops of the segments as they are: float32[count, n_sources, length]."""
    segments = [store[item].sources for item in rng.integers(len(store), size=count)]
    starts = [rng.integers(sources.shape[1] - length + 1) for sources in segments]
    crops = [sources[:, start : start + length] for sources, start in zip(segments, starts, strict=True)]
    return torch.from_numpy(np.stack(crops))


def build(
    name: str, method: Network, params: Params, section: str, training: SegmentStore
) -> tuple[nn.Module, dict]:
    """The network of the baseline called `name` in a section of the parameters, and its weights' configuration.

    From here on this process takes subnormal numbers, those under 1e-38, as zero. What they add to a weight is lost in
    rounding, and some processors take many times as long for them (docs/speed.md).

    Raises
    ------
    UserError
        If it can't be built of its sizes, or fails on sound.
    """
    torch.set_flush_denormal(True)  # before anything is computed: threads take it over when they start
    network = getattr(params, section)[name].network
    config = {
        "method": name,
        "sources": list(training.sources),
        "sample_rate": training.sample_rate,
        "network": network,
    }
    torch.manual_seed(params.seed)
    try:
        module = method.make_network(len(training.sources), training.sample_rate, **network).eval()
        with torch.no_grad():
            module(torch.zeros(1, training.sample_rate))
    except Exception as error:  # sizes that don't fit each other make a network fail in many ways
        (reason, *_) = [*str(error).splitlines(), type(error).__name__]
        raise UserError(f"params.yaml: {section}.{name}.network: {reason}: choose sizes that fit") from None
    return module.train(), config


def make_job(
    name: str, method: LabelledNetwork, params: Params, training: SegmentStore, validation: SegmentStore
) -> tuple[Job, dict]:
    """The training of the baseline called `name`, and the configuration that its weights are saved with.

    Raises
    ------
    UserError
        If its network can't be built of its sizes.
    """
    optim = params.supervised[name].optim
    module, config = build(name, method, params, "supervised", training)
    length = min(optim.crop, training[0].sources.shape[1])
    held_out = true_crops(validation, np.random.default_rng(params.seed), VALIDATION_CROPS, length)

    def loss(batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
        (sources,) = batch
        return method.loss(module(sources.mean(dim=1)), sources)

    job = waveform_job(
        name,
        module,
        config,
        optim,
        params.seed,
        training,
        lambda rng: remixed(training, rng, optim.batch, length),
        held_out,
        loss,
    )
    return job, config


def waveform_job(
    name: str,
    module: nn.Module,
    config: dict,
    optim: OptimParams,
    seed: int,
    training: SegmentStore,
    draw: Callable[[np.random.Generator], Tensor],
    held_out: Tensor,
    loss: Callable[[tuple[Tensor, ...]], Tensor],
) -> Job:
    """A training on batches of one tensor, validated by the mean loss of `held_out` in batches.

    Parameters
    ----------
    name, module, optim, seed, loss
        As `Job`'s.
    config
        What the weights are saved with; with the segments' fingerprint it is the job's identity.
    training
        The segments that `draw` draws from.
    draw
        (random generator) -> a training batch.
    held_out : float32[n, ...]
        Of the validation split.
    """

    def validate() -> dict[str, float]:
        device = next(module.parameters()).device
        losses = [loss((crops.to(device),)) for crops in held_out.split(optim.batch)]
        return {"validation_loss": torch.stack(losses).mean().item()}

    return Job(
        name=name,
        module=module,
        draw=lambda rng, _: (draw(rng),),
        loss=loss,
        validate=validate,
        optim=optim,
        steps=optim.total_steps(len(training)),
        seed=seed,
        identity={**config, "segments": training.fingerprint},
    )

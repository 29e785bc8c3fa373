"""The training of `bootstrap` on the pseudo-labels and remixes that teach `ucr`. True sources are never read."""

from __future__ import annotations

import time
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ucr.foundation.errors import UserError
from ucr.foundation.params import Params
from ucr.model.decomposition import component_error
from ucr.training.decomposition import VALIDATION_CROPS, pseudo_labels
from ucr.training.latents import LatentStore
from ucr.training.remixes import draw_places, labelled_crops
from ucr.training.results import fit_threads
from ucr.training.trainer import Job

NAME: Final = "bootstrap"


class LatentNetwork(Protocol):
    """What is trained."""

    def make_network(self, n_sources: int, bands: int, power: float, **sizes) -> nn.Module:
        """Build the network: latents of mixtures [b, bands, frames] -> of sources [b, n_sources, bands, frames]."""


def make_job(
    method: LatentNetwork, params: Params, training: LatentStore, validation: LatentStore
) -> tuple[Job, dict, float]:
    """The training, the configuration that its weights are saved with, and the seconds that pseudo-labels took.

    Remixes are those of `params.decomposition`. The validation loss is that of the validation mixtures as they are,
    beside their pseudo-labels.

    Raises
    ------
    UserError
        If the network can't be built of its sizes.
    """
    network, optim = params.unsupervised[NAME].network, params.unsupervised[NAME].optim
    power, remixed, equalise = params.codec.power, params.decomposition.remix, params.decomposition.equalise
    torch.manual_seed(params.seed)
    try:
        module = method.make_network(len(params.sources), training.meta["channels"], power, **network)
    except (TypeError, ValueError) as error:
        raise UserError(f"params.yaml: unsupervised.{NAME}.network: {error}") from None
    config = {
        "method": NAME,
        "sources": params.sources,
        "sample_rate": params.segments.sample_rate,
        "codec": params.codec.model_dump(),
        "codec_fingerprint": training.meta["fingerprint"],
        "network": network,
    }
    began = time.monotonic()
    labels = pseudo_labels(params, training, power)
    preparation = round(time.monotonic() - began, 1)
    held_labels = pseudo_labels(params, validation, power)
    length = min(optim.crop, training.frames)
    rng = np.random.default_rng(params.seed)
    places = draw_places(validation, rng, VALIDATION_CROPS, length)
    held_out = labelled_crops(validation, held_labels, places, power, 0.0, 0.0, rng)

    def draw(rng: np.random.Generator, step: int) -> tuple[Tensor, ...]:
        places = draw_places(training, rng, optim.batch, length)
        return labelled_crops(training, labels, places, power, remixed, equalise, rng)

    def loss(batch: tuple[Tensor, ...]) -> Tensor:
        mixtures, wanted = batch
        level = mixtures.square().mean(dim=(1, 2), keepdim=True).sqrt().clamp_min(1e-4)
        components = module(mixtures) / level[:, None]
        return component_error(components, wanted / level[:, None], mixtures / level, power)

    def validate() -> dict[str, float]:
        device = next(module.parameters()).device
        parts = zip(*(tensor.to(device).split(optim.batch) for tensor in held_out), strict=True)
        return {"validation_loss": torch.stack([loss(part) for part in parts]).mean().item()}

    fit_threads(module)
    job = Job(
        name=NAME,
        module=module,
        draw=draw,
        loss=loss,
        validate=validate,
        optim=optim,
        steps=optim.total_steps(len(training)),
        seed=params.seed,
        identity={
            **config,
            "latents": training.meta,
            "remixes": [remixed, equalise, params.decomposition.grouping.model_dump()],
        },
        cpu_bfloat16=True,
    )
    return job, config, preparation

"""Stage `train_prior`: component latents of training mixtures -> models/prior."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipelines import run_stage
from ucr.codecs import make_codec
from ucr.foundation.checkpoints import default_device
from ucr.foundation.errors import command
from ucr.foundation.params import load_params
from ucr.model.decomposition import load_decomposition
from ucr.model.prior import PriorModel, prior_config, quantiles
from ucr.training.components import component_latents, rebuilt_and_real
from ucr.training.latents import open_latents
from ucr.training.results import fit_threads, model_card, save_training
from ucr.training.trainer import Job, train

OUT = Path("models/prior")
DECOMPOSITION = Path("models/decomposition")
BATCH = 16


@command
def main() -> None:
    params = load_params()
    torch.manual_seed(params.seed)
    device = default_device()
    decomposition, setting, card = load_decomposition(DECOMPOSITION)
    decomposition.to(device)
    codec = make_codec(params.codec, setting.sample_rate)
    train_store, validation_store = (
        open_latents("latents", split, codec, setting.sources) for split in ("train", "validation")
    )
    training, levels = component_latents(decomposition, train_store, device)
    validation, _ = component_latents(decomposition, validation_store, device)
    curves = rebuilt_and_real(decomposition, train_store, training, params.generation.steps, device)

    flat = training.flatten(1, 2)
    config = prior_config(
        params,
        setting,
        card["sha256"],
        flat.mean((0, 2)).tolist(),
        flat.std((0, 2)).tolist(),
        quantiles(levels).tolist(),
        list(curves.shape),
    )
    model = PriorModel.from_config(config)
    model.curves = curves
    optim = params.prior.optim
    length = min(optim.crop, training.shape[-1])

    def draw(rng: np.random.Generator, step: int) -> tuple[Tensor]:
        items = rng.integers(len(training), size=optim.batch)
        starts = rng.integers(training.shape[-1] - length + 1, size=optim.batch)
        return (torch.stack([training[i, ..., s : s + length] for i, s in zip(items, starts, strict=True)]),)

    def validate() -> dict[str, float]:
        latents = validation[..., :length].to(device)
        parts = zip(*(each.split(BATCH) for each in (latents, *model.draw_noise(latents))), strict=True)
        total = sum(model.loss(*part).item() * len(part[0]) for part in parts)
        return {"validation_loss": total / len(latents)}

    job = Job(
        name="prior",
        module=model,
        draw=draw,
        loss=lambda batch: model.loss(*batch),
        validate=validate,
        optim=optim,
        steps=optim.total_steps(len(training)),
        seed=params.seed,
        identity=config,
        cpu_bfloat16=True,
        noise=lambda batch, progress: (batch[0], *model.draw_noise(batch[0], progress)),
    )
    fit_threads(model)
    history = train(job, device)
    save_training(
        OUT, job, config, model_card(params, job, history, device, "prior over component latents"), history
    )


if __name__ == "__main__":
    run_stage(main, __doc__)

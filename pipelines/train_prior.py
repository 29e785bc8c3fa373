"""Stage `train_prior`: component latents of training mixtures -> models/prior."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pipelines import run_stage
from ucr.codecs import make_codec
from ucr.foundation.checkpoints import default_device
from ucr.foundation.errors import command
from ucr.foundation.params import load_params
from ucr.model.decomposition import DecompositionModel, load_decomposition
from ucr.model.prior import PriorModel, prior_config, quantiles
from ucr.training.latents import LatentStore, open_latents
from ucr.training.results import fit_threads, model_card, save_training
from ucr.training.trainer import Job, is_first, train

OUT = Path("models/prior")
DECOMPOSITION = Path("models/decomposition")
BATCH = 16
CALIBRATION = 256  # training mixtures, at most


@torch.no_grad()
def component_latents(
    model: DecompositionModel, store: LatentStore, device: torch.device
) -> tuple[Tensor, Tensor]:
    """A split's mixtures: component latents, float32[segments, n, latent_channels, frames], and levels, [segments]."""
    batches, levels = [], []
    starts = range(0, len(store), BATCH)
    for start in tqdm(starts, desc="encoding mixtures", unit="batch", disable=not is_first()):
        items = range(start, min(start + BATCH, len(store)))
        mixtures = torch.from_numpy(np.stack([store.mixture(i) for i in items])).to(device)
        batches.append(model.encode(model.normalise(mixtures)).cpu())
        levels.append(model.level(mixtures).flatten().cpu())
    return torch.cat(batches), torch.cat(levels)


@torch.no_grad()
def rebuilt_and_real(
    model: DecompositionModel, store: LatentStore, latents: Tensor, steps: int, device: torch.device
) -> Tensor:
    """Quantiles of each channel of mixtures at a level of 1, rebuilt from their component latents and as they are.

    Returns
    -------
    float32[2, channels, q]
    """
    chosen = np.linspace(0, len(store) - 1, min(CALIBRATION, len(store))).round().astype(int)
    rebuilt, real = [], []
    for items in tqdm(
        np.array_split(chosen, -(-len(chosen) // BATCH)),
        desc="rebuilding mixtures",
        unit="batch",
        disable=not is_first(),
    ):
        mixtures = torch.from_numpy(np.stack([store.mixture(i) for i in items])).to(device)
        real.append((mixtures / model.level(mixtures)).cpu())
        components = model.decode(latents[items].to(device), mixtures.shape[-1], steps)
        rebuilt.append(model.reconstruct(components).cpu())
    return torch.stack([quantiles(torch.cat(each).transpose(0, 1).flatten(1)) for each in (rebuilt, real)])


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

"""What a trained decomposition model makes of training mixtures: what its prior learns from."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ucr.model.decomposition import DecompositionModel
from ucr.model.prior import quantiles
from ucr.training.latents import LatentStore
from ucr.training.trainer import is_first

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

"""Crops of mixtures, remixes of their components, and how well a model finds components again in remixes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ucr.model.decomposition import DecompositionModel, magnitude_sum
from ucr.training.labels import Labels
from ucr.training.latents import LatentStore

REMIX_DB = 4.0
TONE_POINTS = 7


def draw_places(
    store: LatentStore, rng: np.random.Generator, batch: int, length: int
) -> list[tuple[int, slice]]:
    """Random mixtures and random places in them: (index, frames) of each crop."""
    items = rng.integers(len(store), size=batch)
    starts = rng.integers(store.frames - length + 1, size=batch)
    return [
        (int(item), slice(int(start), int(start) + length)) for item, start in zip(items, starts, strict=True)
    ]


def crops(store: LatentStore, places: list[tuple[int, slice]]) -> Tensor:
    """float32[batch, channels, length] of mixtures."""
    return torch.from_numpy(np.stack([store.crop(i, at.start, at.stop - at.start) for i, at in places]))


def labelled_crops(
    store: LatentStore,
    labels: np.ndarray | Labels,
    places: list[tuple[int, slice]],
    power: float,
    share: float,
    equalise: float,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Crops of mixtures and of their pseudo-labels, a share of them put together anew by `remix`.

    Parameters
    ----------
    store
        Of mixtures' latents.
    labels : float16[segments, n, channels, frames]
        Components of each of its mixtures, as power-compressed magnitudes.
    places
        Index and frames of each crop.
    power, equalise, rng
        As for `remix`.
    share
        Of the crops that are remixed.

    Returns
    -------
    mixtures : float32[b, channels, length]
    labels : float32[b, n, channels, length]
    """
    mixtures = crops(store, places)
    components = torch.from_numpy(np.stack([labels[i, ..., at] for i, at in places])).float()
    n_remixed = round(share * len(places))
    if n_remixed:
        components[:n_remixed] = remix(components[:n_remixed], power, equalise, rng)
        mixtures[:n_remixed] = magnitude_sum(components[:n_remixed], power)
    return mixtures, components


def remix(components: Tensor, power: float, equalise: float, rng: np.random.Generator) -> Tensor:
    """Put components of different mixtures together, each at a level and with a tone of its own.

    Parameters
    ----------
    components : float32[b, n, channels, frames]
        Components as power-compressed magnitudes.
    power
        The compression exponent.
    equalise
        Standard deviation in dB of the tone's curve at each of `TONE_POINTS` places along the bands.
    rng
        Draws the levels, even in dB within `REMIX_DB` of the components' own, and the tones.

    Returns
    -------
    float32[b, n, channels, frames]
        Component i of an item is that of the item i places before.
    """
    batch, n, channels, _ = components.shape
    levels = rng.uniform(-REMIX_DB, REMIX_DB, (batch, n, 1))
    points = rng.normal(0, equalise, (batch, n, TONE_POINTS))
    tones = functional.interpolate(
        torch.from_numpy(points), channels, mode="linear", align_corners=True
    ).numpy()
    gains = 10 ** (power / 20 * (levels + tones - tones.mean(axis=2, keepdims=True)))
    return shifted(components) * torch.from_numpy(gains).float()[..., None]


def shifted(components: Tensor) -> Tensor:
    """Component i of an item becomes that of the item i places before: float32[b, n, channels, frames]."""
    return torch.stack([each.roll(i, 0) for i, each in enumerate(components.unbind(1))], dim=1)


@torch.no_grad()
def remix_consistency(model: DecompositionModel, mixtures: Tensor) -> float:
    """How well a model finds its own components again when they are put together anew, in dB.

    Mixtures are separated, component i of each is joined with the others of the mixtures before it, and
    the result is separated again. No true source is needed. A model that gives everything to one
    component, or the same to all, scores low.

    Parameters
    ----------
    model
        On the mixtures' device.
    mixtures : float32[b, channels, frames]
        Latents, of several songs.

    Returns
    -------
    float
        Ratio of a component's energy to that of the difference, for magnitudes (latents to the power
        1/p); the mean over items of the worst component's.
    """
    parts = model.separate(mixtures, steps=1)
    joined = shifted(parts)
    again = model.separate(model.reconstruct(joined), steps=1)
    wanted, found = (x.clamp_min(0) ** (1 / model.power) if model.additive else x for x in (joined, again))
    energy = wanted.square().sum(dim=(2, 3))
    difference = (wanted - found).square().sum(dim=(2, 3))
    ratios = 10 * torch.log10((energy + 1e-9) / (difference + 1e-9))
    return ratios.min(dim=1).values.mean().item()

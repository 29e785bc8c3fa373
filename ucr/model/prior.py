"""The prior: a diffusion over component latents that generates any subset of them given the rest."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ucr.foundation.checkpoints import fill, load_model
from ucr.foundation.errors import UserError
from ucr.foundation.params import Params, PriorParams
from ucr.model import iadb
from ucr.model.decomposition import Setting
from ucr.model.networks import UNet

BATCH = 32  # samples at once: bounds the memory
TINY = 1e-6
QUANTILES = 33


def masks(n_components: int) -> Tensor:
    """Every non-empty subset of components to be generated: bool[2^n - 1, n], the full one last."""
    subsets = sorted(product([False, True], repeat=n_components), key=sum)
    return torch.tensor(subsets[1:])


def mask_probabilities(n_components: int, full_share: float) -> Tensor:
    """Probability of each row of `masks`: `full_share` for the last, the rest shared evenly (the paper's: 0.5)."""
    others = 2**n_components - 2
    return torch.tensor([(1 - full_share) / others] * others + [full_share])


class PriorModel(nn.Module):
    """Masking diffusion over component latents.

    Parameters
    ----------
    n_components, latent_channels
        Shape of the component latents.
    params
        Sizes, masks and noise.
    mean, std : float32[n_components * latent_channels]
        Statistics of the training mixtures' component latents, by which `normalise` standardises them.
    levels : float32[q]
        Quantiles of the training mixtures' `DecompositionModel.level`, evenly apart: what is generated from noise alone
        has levels of this distribution.
    curves : float32[2, channels, q], optional
        Quantiles of each channel of the codec's latents, at a level of 1: as the decomposition model rebuilds training
        mixtures, and as they are (see `calibrate`).
    """

    mean: Tensor
    std: Tensor
    levels: Tensor
    curves: Tensor | None

    def __init__(
        self,
        n_components: int,
        latent_channels: int,
        params: PriorParams,
        mean: Tensor,
        std: Tensor,
        levels: Tensor,
        curves: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.params = params
        self.n_components = n_components
        self.latent_channels = latent_channels
        channels = n_components * latent_channels
        self.denoiser = UNet(channels, n_components, params.denoiser)
        if not params.normalise:
            mean, std = torch.zeros_like(mean), torch.ones_like(std)
        self.register_buffer("mean", mean.view(1, n_components, latent_channels, 1).clone())
        std = std.clamp_min(TINY)  # of channels that are always 0 in a narrow latent
        self.register_buffer("std", std.view(1, n_components, latent_channels, 1))
        self.register_buffer("levels", levels, persistent=False)
        self.register_buffer("curves", curves)

    @classmethod
    def from_config(cls, config: dict) -> PriorModel:
        """Build a freshly initialised model from what `prior_config` gave.

        Older priors have one level and no curves.
        """
        curves = config.get("curves")
        return cls(
            n_components=config["n_components"],
            latent_channels=config["latent_channels"],
            params=PriorParams.model_validate(config["params"]),
            mean=torch.tensor(config["mean"]),
            std=torch.tensor(config["std"]),
            levels=torch.tensor(config["level"], dtype=torch.float32).view(-1),
            curves=torch.zeros(curves) if curves else None,
        )

    def draw_level(self, count: int, seed: int) -> Tensor:
        """Levels of new clips, from the distribution of the training mixtures': float32[count, 1, 1]."""
        generator = torch.Generator().manual_seed(seed)
        place = torch.rand(count, generator=generator).to(self.levels.device)
        return torch.quantile(self.levels, place)[:, None, None]

    def calibrate(self, mixtures: Tensor) -> Tensor:
        """Give what the decomposition model rebuilt the distribution that training mixtures have, channel by channel.

        The model predicts means: what is quiet comes out louder and clips come out more alike than songs are. Values
        go from their quantile among rebuilt training mixtures to the same quantile of those mixtures; beyond the ends
        the difference stays that of the end.

        Parameters
        ----------
        mixtures : float32[b, channels, frames]
            The codec's latents, at a level of 1.

        Returns
        -------
        float32[b, channels, frames]
        """
        if self.curves is None:
            return mixtures
        rebuilt, real = self.curves
        values = mixtures.transpose(0, 1).flatten(1)
        above = torch.searchsorted(rebuilt, values).clamp(1, rebuilt.shape[1] - 1)
        low, high = rebuilt.gather(1, above - 1), rebuilt.gather(1, above)
        share = ((values - low) / (high - low).clamp_min(TINY)).clamp(0, 1)
        difference = real - rebuilt
        shift = difference.gather(1, above - 1).lerp(difference.gather(1, above), share)
        return mixtures + shift.unflatten(1, (mixtures.shape[0], -1)).transpose(0, 1)

    def _predict(self, noisy: Tensor, alpha: Tensor, generated: Tensor) -> Tensor:
        """[b, n, c, t], [b], bool[b, n] -> [b, n, c, t]; the network sees which components are to be generated."""
        condition = generated.to(noisy.dtype)[..., None].expand(-1, -1, noisy.shape[-1])
        return self.denoiser(noisy.flatten(1, 2), alpha, condition).view_as(noisy)

    def draw_noise(self, latents: Tensor, progress: float = 1.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What a training batch of component latents [b, n, c, t] draws, `progress` of the training being done.

        Returns
        -------
        generated : bool[b, n]
            Which components are to be generated.
        count : float32[b]
            How many of them there are an item: the whole batch's mean.
        noise : float32[b, n, c, t]
        alpha : float32[b]
        """
        choices = torch.multinomial(
            mask_probabilities(self.n_components, self.params.full_mask_share), len(latents), replacement=True
        )
        generated = masks(self.n_components)[choices].to(latents.device)
        count = (generated.sum() / len(latents)).expand(len(latents))
        noise = torch.randn_like(latents)
        alpha = iadb.draw_alpha(len(latents), self.params.iadb, latents.device, progress)
        return generated, count, noise, alpha

    def loss(self, latents: Tensor, generated: Tensor, count: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:
        """Mean squared error over the components to be generated.

        Parameters
        ----------
        latents : float32[b, n, c, t]
            Component latents.
        generated, count, noise, alpha
            From `draw_noise`, for these latents or for a batch that they are a part of.
        """
        clean = (latents - self.mean) / self.std
        where = generated[:, :, None, None]
        noisy = torch.where(where, iadb.blend(clean, noise, alpha), clean)
        error = (
            self._predict(noisy, alpha, generated) - iadb.target(clean, noise, self.params.iadb)
        ).square()
        return (error * where).sum() / (count.sum() * error[0, 0].numel())

    @torch.no_grad()
    def generate(
        self,
        latents: Tensor,
        generated: Tensor,
        steps: int,
        seed: int = 0,
        strength: float = 1.0,
        guidance: float = 0.0,
    ) -> Tensor:
        """Sample the components that `generated` marks, the others kept bit for bit.

        A `strength` below 1 starts from a blend of what is there with noise, at alpha = 1 - strength, as SDEdit
        does (Meng et al., ICLR 2022).

        Parameters
        ----------
        latents : float32[b, n, c, t]
            What is kept; at strength 1 its values where `generated` is True don't matter.
        generated : bool[b, n]
        steps
            Evaluations of the network (`iadb.sample_midpoint`).
        seed
            Of the noise.
        strength
            From 0, which keeps everything, to 1, which starts from noise alone.
        guidance
            How much more than by the network alone what is generated follows what is kept: classifier-free guidance
            (Ho and Salimans, NeurIPS workshop on deep generative models 2021) away from what the network makes of
            kept components that are as noisy as the generated ones. It doubles the evaluations.

        Returns
        -------
        float32[b, n, c, t]
        """
        if strength == 0:
            return latents
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(latents.shape, generator=generator).to(latents.device)
        clean = (latents - self.mean) / self.std
        start = clean + strength * (noise - clean) if strength < 1 else noise
        batches = zip(*(x.split(BATCH) for x in (start, clean, noise, generated)), strict=True)
        sampled = torch.cat(
            [self._sample(x, y, eps, marked, steps, 1 - strength, guidance) for x, y, eps, marked in batches]
        )
        return torch.where(generated[:, :, None, None], sampled * self.std + self.mean, latents)

    def _sample(
        self,
        start: Tensor,
        clean: Tensor,
        noise: Tensor,
        generated: Tensor,
        steps: int,
        alpha: float,
        guidance: float,
    ) -> Tensor:
        kept = ~generated[:, :, None, None]

        def predict(x: Tensor, alpha: Tensor) -> Tensor:
            prediction = self._predict(x, alpha, generated)
            if guidance == 0 or generated.all():
                return prediction
            blurred = torch.where(kept, iadb.blend(clean, noise, alpha), x)
            free = self._predict(blurred, alpha, torch.ones_like(generated))
            return prediction + guidance * (prediction - free)

        return iadb.sample_midpoint(predict, start, steps, self.params.iadb, (kept, clean), alpha)


def quantiles(values: Tensor) -> Tensor:
    """The `QUANTILES` quantiles of each row, evenly apart, the least and the largest value among them."""
    return torch.from_numpy(np.quantile(values, np.linspace(0, 1, QUANTILES), axis=-1)).float().movedim(0, -1)


def prior_config(
    params: Params,
    setting: Setting,
    decomposition: str,
    mean: list[float],
    std: list[float],
    levels: list[float],
    curves: list[int] | None = None,
) -> dict:
    """What is kept beside a prior's weights.

    Parameters
    ----------
    params
        Of the run.
    setting
        Of the decomposition model.
    decomposition
        SHA-256 of the decomposition model's weights: a prior belongs to one model.
    mean, std
        Statistics of its component latents, one value per channel.
    levels
        Quantiles of the training mixtures' levels.
    curves
        Shape of the quantiles that lie among the weights; None if there are none.
    """
    return {
        "n_components": len(setting.sources),
        "latent_channels": setting.params["encoder"]["channels"][-1],
        "params": params.prior.model_dump(),
        "decomposition": decomposition,
        "mean": mean,
        "std": std,
        "level": levels,
        "curves": curves,
    }


def load_prior(folder: str | Path, decomposition: str) -> PriorModel:
    """Read a trained prior, in evaluation mode.

    Parameters
    ----------
    folder
        What `train_prior` wrote.
    decomposition
        SHA-256 of the decomposition model that is used with it.

    Raises
    ------
    UserError
        If the weights are missing or damaged, or were trained over another decomposition model.
    """
    tensors, config, _ = load_model(folder)
    try:
        model = PriorModel.from_config(config)
        owner = config["decomposition"]
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{folder} holds no prior of this version: train it again") from None
    if owner != decomposition:
        raise UserError(f"{folder} was trained over another decomposition model: run train_prior again")
    fill(model, tensors, folder)
    return model

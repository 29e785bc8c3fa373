"""The prior: a diffusion over component latents that generates any subset of them given the rest."""

from __future__ import annotations

from itertools import product
from pathlib import Path

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
    level
        Mean of the training mixtures' `DecompositionModel.level`: that of what is generated from noise alone.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        n_components: int,
        latent_channels: int,
        params: PriorParams,
        mean: Tensor,
        std: Tensor,
        level: float = 1.0,
    ) -> None:
        super().__init__()
        self.params = params
        self.n_components = n_components
        self.latent_channels = latent_channels
        self.level = level
        channels = n_components * latent_channels
        self.denoiser = UNet(channels, n_components, params.denoiser)
        if not params.normalise:
            mean, std = torch.zeros_like(mean), torch.ones_like(std)
        self.register_buffer("mean", mean.view(1, n_components, latent_channels, 1).clone())
        std = std.clamp_min(TINY)  # of channels that are always 0 in a narrow latent
        self.register_buffer("std", std.view(1, n_components, latent_channels, 1))

    @classmethod
    def from_config(cls, config: dict) -> PriorModel:
        """Build a freshly initialised model from what `prior_config` gave."""
        return cls(
            n_components=config["n_components"],
            latent_channels=config["latent_channels"],
            params=PriorParams.model_validate(config["params"]),
            mean=torch.tensor(config["mean"]),
            std=torch.tensor(config["std"]),
            level=float(config["level"]),
        )

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
        self, latents: Tensor, generated: Tensor, steps: int, seed: int = 0, strength: float = 1.0
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
            Evaluations of the network.
        seed
            Of the noise.
        strength
            From 0, which keeps everything, to 1, which starts from noise alone.

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
        batches = zip(*(x.split(BATCH) for x in (start, clean, generated)), strict=True)
        sampled = torch.cat([self._sample(x, y, marked, steps, 1 - strength) for x, y, marked in batches])
        return torch.where(generated[:, :, None, None], sampled * self.std + self.mean, latents)

    def _sample(self, noisy: Tensor, clean: Tensor, generated: Tensor, steps: int, start: float) -> Tensor:
        keep = (~generated[:, :, None, None], clean)
        return iadb.sample(
            lambda x, alpha: self._predict(x, alpha, generated), noisy, steps, self.params.iadb, keep, start
        )


def prior_config(
    params: Params,
    setting: Setting,
    decomposition: str,
    mean: list[float],
    std: list[float],
    level: float,
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
    level
        Mean level of the training mixtures (`DecompositionModel.level`).
    """
    return {
        "n_components": len(setting.sources),
        "latent_channels": setting.params["encoder"]["channels"][-1],
        "params": params.prior.model_dump(),
        "decomposition": decomposition,
        "mean": mean,
        "std": std,
        "level": level,
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

"""The decomposition model: a mixture's latent becomes one latent per component; one denoiser makes them sounds."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ucr.codecs import Codec, same_codec
from ucr.foundation.checkpoints import fill, load_model
from ucr.foundation.errors import UserError
from ucr.foundation.params import CodecParams, DecompositionParams, SourceName
from ucr.foundation.schema import Section
from ucr.model import iadb
from ucr.model.networks import Encoder, UNet
from ucr.signal.masks import ratio_masks

TINY = 1e-8  # beside an energy at a level of about 1
MASK_WEIGHT = 0.1  # of the masks' relative error beside the latents' error: they are about as large then


class Setting(Section):
    """What a decomposition model was made for; kept beside its weights, enough to build it again.

    Attributes
    ----------
    sources
        The task's sources; component i is any one of them.
    sample_rate
        Of the audio, in Hz.
    codec, codec_fingerprint
        Whose latents it works on.
    channels, frame_rate
        Of those latents; frames per second.
    mean, std
        Statistics of the training mixtures' latents.
    params
        The model's own parameters, as in the params file.
    """

    sources: list[SourceName] = Field(min_length=1)
    sample_rate: int = Field(gt=0)
    codec: dict
    codec_fingerprint: str
    channels: int = Field(gt=0)
    frame_rate: float = Field(gt=0)
    mean: float
    std: float
    params: dict

    def build(self) -> DecompositionModel:
        """A freshly initialised model."""
        codec = CodecParams.model_validate(self.codec)
        return DecompositionModel(
            n_components=len(self.sources),
            channels=self.channels,
            power=codec.power if codec.name == "mel" else 1.0,
            params=DecompositionParams.model_validate(self.params),
            mean=self.mean,
            std=self.std,
        )

    def make_codec(self, folder: str | Path, device: torch.device) -> Codec:
        """The codec whose latents the model of `folder` works on; a `UserError` if it is not that one any more."""
        params = CodecParams.model_validate(self.codec)
        return same_codec(params, self.sample_rate, self.codec_fingerprint, folder, str(device))

    def to_config(self) -> dict:
        """As JSON-able data."""
        return self.model_dump()


def load_decomposition(folder: str | Path) -> tuple[DecompositionModel, Setting, dict]:
    """Read a trained decomposition model: (model in evaluation mode, setting, card).

    Raises
    ------
    UserError
        If the weights are missing, damaged, or another model's.
    """
    tensors, config, card = load_model(folder)
    try:
        setting = Setting(**config)
        model = setting.build()
    except Exception:  # damaged sizes make a network fail in many ways
        raise UserError(f"{folder} holds no decomposition model of this version: train it again") from None
    fill(model, tensors, folder)
    return model, setting, card


def narrow(latent: Tensor, width: int, pool: int) -> Tensor:
    """Let a latent [b, channels, frames] say less: its first `width` channels, at one value for every `pool` frames.

    The other channels are zero. Averages over `pool` frames (fewer at the end) are interpolated linearly.
    """
    channels, frames = latent.shape[1:]
    if pool > 1:
        slow = functional.avg_pool1d(latent, pool, ceil_mode=True)
        latent = functional.interpolate(slow, scale_factor=float(pool), mode="linear")[..., :frames]
    return functional.pad(latent[:, :width], (0, 0, 0, channels - width))


class DecompositionModel(nn.Module):
    """n encoders, one shared denoiser and a fixed operator that composes the components' sounds.

    Parameters
    ----------
    n_components
        How many components, one per source of the task.
    channels
        Channels of the codec's latents.
    power
        The codec's compression exponent p, which `magnitude_sum` undoes; 1 where it has none.
    params
        Sizes, composition and noise.
    mean, std
        Statistics of the training mixtures' latents, for `normalise: dataset`. `mean` composition uses
        both; `magnitude_sum` only divides by `std`, so that zero stays silence.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        n_components: int,
        channels: int,
        power: float,
        params: DecompositionParams,
        mean: float = 0.0,
        std: float = 1.0,
    ) -> None:
        super().__init__()
        self.params = params
        self.power = power
        self.n_components = n_components
        self.channels = channels
        self.latent_sizes = params.encoder.latents(n_components)
        self.encoders = nn.ModuleList(Encoder(channels, params.encoder) for _ in range(n_components))
        self.denoiser = UNet(channels, params.encoder.channels[-1], params.denoiser)
        self.additive = params.composition == "magnitude_sum"
        by_dataset = params.normalise == "dataset"
        self.register_buffer("shift", torch.tensor(mean if by_dataset and not self.additive else 0.0))
        self.register_buffer("scale", torch.tensor(std if by_dataset else 1.0))

    def level(self, latents: Tensor) -> Tensor:
        """The RMS of each mixture's latents where `normalise` says so, else 1: [b, channels, frames] -> [b, 1, 1]."""
        if self.params.normalise != "level":
            return latents.new_ones(len(latents), 1, 1)
        return latents.square().mean(dim=(1, 2), keepdim=True).sqrt().clamp_min(1e-4)

    def normalise(self, latents: Tensor) -> Tensor:
        """From the codec's latents of mixtures [b, channels, frames] to the scale that the networks work on."""
        return (latents - self.shift) / self.scale / self.level(latents)

    def denormalise(self, latents: Tensor) -> Tensor:
        """Undo `normalise`, up to each mixture's level."""
        return latents * self.scale + self.shift

    def encode(self, mixtures: Tensor) -> Tensor:
        """Mixtures' latents, normalised, to component latents.

        Parameters
        ----------
        mixtures : float32[b, channels, frames]

        Returns
        -------
        float32[b, n, latent_channels, frames]
        """
        latents = [encoder(mixtures) for encoder in self.encoders]
        return torch.stack(
            [narrow(each, *size) for each, size in zip(latents, self.latent_sizes, strict=True)], dim=1
        )

    def denoise(self, noisy: Tensor, alpha: Tensor, latents: Tensor) -> Tensor:
        """Each component's sound, all in one pass of the denoiser.

        Parameters
        ----------
        noisy : float32[b, n, channels, frames]
        alpha : float32[b]
        latents : float32[b, n, latent_channels, frames]

        Returns
        -------
        float32[b, n, channels, frames]
            Non-negative with `magnitude_sum`.
        """
        batch, n = latents.shape[:2]
        out = self.denoiser(noisy.flatten(0, 1), alpha.repeat_interleave(n), latents.flatten(0, 1))
        out = out.view(batch, n, *out.shape[1:])
        return functional.softplus(out) if self.additive else out

    def compose(self, components: Tensor) -> Tensor:
        """Join components [b, n, channels, frames] into a mixture [b, channels, frames].

        `mean` is the paper's operator. `magnitude_sum` adds magnitudes, (sum_i x_i^(1/p))^p.
        """
        if self.params.composition == "mean":
            return components.mean(dim=1)
        return magnitude_sum(components, self.power)

    def draw_noise(self, latents: Tensor, progress: float = 1.0) -> tuple[Tensor, Tensor]:
        """The noise [b, channels, frames] and the noise levels [b] of a training batch of such latents.

        `progress` is the share of the training that is done.
        """
        noise = torch.randn_like(latents)
        return noise, iadb.draw_alpha(len(latents), self.params.iadb, latents.device, progress)

    def loss(
        self,
        latents: Tensor,
        noise: Tensor,
        alpha: Tensor,
        labels: Tensor | None = None,
        *,
        independence: Tensor | None = None,
    ) -> Tensor:
        """Mean squared error of the composed prediction.

        Parameters
        ----------
        latents : float32[b, channels, frames]
            The codec's, of mixtures.
        noise, alpha
            From `draw_noise`.
        labels : float32[b, n, channels, frames], optional
            Pseudo-labels of the components' latents; with them, the error of the components is added, and
            that of the ratio masks which they make.
        independence : float32[b], optional
            With it, so many times the `dependence` of each item's components is added.
        """
        clean = self.normalise(latents)
        noisy = iadb.blend(clean, noise, alpha)
        noisy = noisy[:, None].expand(-1, self.n_components, -1, -1)
        components = self.denoise(noisy, alpha, self.encode(clean)).float()
        loss = functional.mse_loss(self.compose(components), iadb.target(clean, noise, self.params.iadb))
        if independence is not None:
            loss = loss + (independence * dependence(components ** (1 / self.power))).mean()
        if labels is None:
            return loss
        labels = labels / self.scale / self.level(latents)[:, None]
        return loss + component_error(components, labels, clean, self.power)

    @torch.no_grad()
    def decode(self, latents: Tensor, frames: int, steps: int, seed: int = 0) -> Tensor:
        """Turn component latents into the codec's latents of each component.

        Parameters
        ----------
        latents : float32[b, n, latent_channels, latent_frames]
        frames
            Of the result.
        steps
            Evaluations of the network.
        seed
            Of the noise that every component starts from.

        Returns
        -------
        float32[b, n, channels, frames]
        """
        generator = torch.Generator().manual_seed(seed)
        batch, n = latents.shape[:2]
        noise = torch.randn(1, 1, self.channels, frames, generator=generator).to(latents.device)
        components = iadb.sample(
            lambda noisy, alpha: self.denoise(noisy, alpha, latents),
            noise.expand(batch, n, -1, -1),
            steps,
            self.params.iadb,
        )
        return self.denormalise(components)

    def reconstruct(self, components: Tensor) -> Tensor:
        """Codec latents of components [b, n, channels, frames] -> of their mixture [b, channels, frames]."""
        return self.denormalise(self.compose((components - self.shift) / self.scale))

    @torch.no_grad()
    def separate(self, mixtures: Tensor, steps: int, seed: int = 0) -> Tensor:
        """Codec latents of mixtures [b, channels, frames] -> of components [b, n, channels, frames]."""
        components = self.decode(self.encode(self.normalise(mixtures)), mixtures.shape[-1], steps, seed)
        return components * self.level(mixtures)[:, None]


def magnitude_sum(components: Tensor, power: float) -> Tensor:
    """Join components [b, n, channels, frames] by adding magnitudes, (sum_i x_i^(1/p))^p: [b, channels, frames]."""
    if power == 0.5:
        return components.square().sum(dim=1).clamp_min(1e-12).sqrt()
    return components.pow(1 / power).sum(dim=1).clamp_min(1e-12).pow(power)


def dependence(magnitudes: Tensor) -> Tensor:
    """How far components rise and fall together: the squared correlation of their energies over time.

    For two components with energies a_i(t) and b_j(t) in bands i and j, it is the mean of ρ(a_i, b_j)² over all pairs
    of bands, weighted by the product of the bands' energies; ρ is Pearson's coefficient over the frames of an item.
    That sources' time courses are independent is the assumption of Casey & Westner (2000), "Separation of mixed audio
    sources by independent subspace analysis", ICMC; decorrelated courses are what slow feature analysis asks of its
    features (Wiskott & Sejnowski 2002). Of higher orders than the second nothing is asked here.

    Parameters
    ----------
    magnitudes : float32[b, n, bands, frames]
        Not negative.

    Returns
    -------
    float32[b]
        The mean over pairs of components: 0 where no band of one goes with any of another's, or one of the
        two is silent, 1 where all bands of all components share one course.
    """
    energies = magnitudes.square()
    levels = energies.mean(dim=3)
    courses = energies - levels[..., None]
    courses = courses * (courses.square().sum(dim=3, keepdim=True) + TINY).rsqrt()
    pairs = []
    for i, j in combinations(range(magnitudes.shape[1]), 2):
        squares = (courses[:, i] @ courses[:, j].transpose(1, 2)).square()
        weights = levels[:, i, :, None] * levels[:, j, None, :]
        pairs.append((squares * weights).sum(dim=(1, 2)) / (weights.sum(dim=(1, 2)) + TINY))
    return torch.stack(pairs).mean(dim=0)


def component_error(components: Tensor, labels: Tensor, mixtures: Tensor, power: float) -> Tensor:
    """Mean squared error of components' latents, and that of the magnitudes that their ratio masks make.

    Sounds are made by such masks (`MelCodec.decode_components`), and magnitudes weigh what is loud, as
    one hears it; compressed latents alone weigh every band alike. The masks' error is relative to the labels' energy.

    Parameters
    ----------
    components, labels : float32[b, n, channels, frames]
        Non-negative, of mixtures at a level of about 1.
    mixtures : float32[b, channels, frames]
    power
        The codec's compression exponent.
    """
    masks = ratio_masks(components, 2 / power, axis=1, floor=1e-3)
    wanted = labels ** (1 / power)
    error = masks * (mixtures ** (1 / power))[:, None] - wanted
    energy = wanted.square().mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-6)
    return functional.mse_loss(components, labels) + MASK_WEIGHT * (error.square() / energy).mean()

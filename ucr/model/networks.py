"""The two networks of the method: a convolutional encoder and a one-dimensional U-Net denoiser.

Both follow the published configuration of *Unsupervised Composable Representations for Audio*
(Bindi & Esling, ISMIR 2024); with its channels they have the paper's parameter counts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ucr.foundation.network_params import HEAD_CHANNELS, EncoderParams, UNetParams

NOISE_DIM = 128
NOISE_SCALE = 1000.0
NORM_GROUPS = 16


class NoiseEmbedding(nn.Module):
    """Sinusoids of the noise level through an MLP (Ho et al. 2020): [b] -> [b, NOISE_DIM]."""

    frequencies: Tensor

    def __init__(self) -> None:
        super().__init__()
        half = NOISE_DIM // 2
        frequencies = torch.exp(-math.log(10_000) * torch.arange(half) / half)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.mlp = nn.Sequential(
            nn.Linear(NOISE_DIM, 2 * NOISE_DIM), nn.SiLU(), nn.Linear(2 * NOISE_DIM, NOISE_DIM), nn.SiLU()
        )

    def forward(self, alpha: Tensor) -> Tensor:
        angles = NOISE_SCALE * alpha[:, None] * self.frequencies
        return self.mlp(torch.cat([angles.cos(), angles.sin()], dim=1))


class FiLM(nn.Module):
    """Scale and shift of every channel by the noise level (Perez et al. 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(NOISE_DIM, channels, bias=False),
            nn.SiLU(),
            nn.Linear(channels, 2 * channels, bias=False),
        )

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        scale, shift = self.mlp(noise)[..., None].chunk(2, dim=1)
        return functional.silu(torch.addcmul(shift, x, scale))


def _normalised(channels: int) -> nn.Module:
    groups = min(NORM_GROUPS, channels)
    return nn.GroupNorm(groups, channels) if channels % groups == 0 else nn.GroupNorm(1, channels)


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut.

    With `latent_channels` the block is a denoiser's: normalised, modulated by the noise level, and
    with the component latent, resized to its length, concatenated as channels. Without, it is an
    encoder's: neither norm nor conditions.
    """

    def __init__(
        self, in_channels: int, channels: int, kernel: int, latent_channels: int = 0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        denoising = latent_channels > 0
        self.shortcut = nn.Identity() if in_channels == channels else nn.Conv1d(in_channels, channels, 1)
        self.first = nn.Sequential(
            nn.Conv1d(in_channels, channels, kernel, padding="same"),
            _normalised(channels) if denoising else nn.Identity(),
            nn.SiLU(),
        )
        self.film = FiLM(channels) if denoising else None
        self.latent = (
            nn.Sequential(nn.Conv1d(latent_channels, latent_channels, kernel, padding="same"), nn.SiLU())
            if denoising
            else None
        )
        self.second = nn.Sequential(
            nn.Dropout(dropout),
            nn.Conv1d(channels + latent_channels, channels, kernel, padding="same"),
            _normalised(channels) if denoising else nn.Identity(),
            nn.SiLU(),
            nn.Conv1d(channels, channels, 1),
        )

    def forward(self, x: Tensor, noise: Tensor | None = None, latent: Tensor | None = None) -> Tensor:
        h = self.first(x)
        if self.film is not None and self.latent is not None and noise is not None and latent is not None:
            h = self.film(h, noise)
            latent = functional.interpolate(latent, size=h.shape[-1], mode="nearest-exact")
            h = torch.cat([h, self.latent(latent)], dim=1)
        return self.shortcut(x) + self.second(h)


class SelfAttention(nn.Module):
    """Self-attention over frames with heads of 32 channels, beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // HEAD_CHANNELS)
        self.norm = nn.GroupNorm(1, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, frames = x.shape
        qkv = self.qkv(self.norm(x)).view(batch, 3, self.heads, channels // self.heads, frames)
        query, key, value = qkv.transpose(3, 4).unbind(dim=1)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return x + self.out(mixed.transpose(2, 3).reshape(batch, channels, frames))


class Encoder(nn.Module):
    """One component's encoder: float32[b, in_channels, frames] -> float32[b, latent_channels, frames]."""

    def __init__(self, in_channels: int, params: EncoderParams) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in params.channels:
            layers += [
                ResidualBlock(in_channels, in_channels, params.kernel),
                nn.Conv1d(in_channels, channels, 3, padding="same"),
            ]
            in_channels = channels
        self.layers = nn.Sequential(*layers, ResidualBlock(in_channels, in_channels, params.kernel))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Down(nn.Module):
    """A level on the way down: block, attention, strided convolution."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int,
        stride: int,
        attention: bool,
        latent: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.block = ResidualBlock(in_channels, in_channels, kernel, latent, dropout)
        self.attention = SelfAttention(in_channels) if attention else nn.Identity()
        self.resample = (
            nn.Conv1d(in_channels, channels, 2 * stride + 1, stride, padding=stride)
            if stride > 1
            else nn.Conv1d(in_channels, channels, 3, padding=1)
        )

    def forward(self, x: Tensor, noise: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
        skip = self.attention(self.block(x, noise, latent))
        return self.resample(skip), skip


class Up(nn.Module):
    """A level on the way up: transposed convolution, the skip concatenated, block, attention."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int,
        stride: int,
        attention: bool,
        latent: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.resample = (
            nn.ConvTranspose1d(
                in_channels, channels, 2 * stride, stride, (stride + 1) // 2, output_padding=stride % 2
            )
            if stride > 1
            else nn.Conv1d(in_channels, channels, 3, padding=1)
        )
        self.block = ResidualBlock(2 * channels, channels, kernel, latent, dropout)
        self.attention = SelfAttention(channels) if attention else nn.Identity()

    def forward(self, x: Tensor, skip: Tensor, noise: Tensor, latent: Tensor) -> Tensor:
        x = torch.cat([self.resample(x), skip], dim=1)
        return self.attention(self.block(x, noise, latent))


class UNet(nn.Module):
    """The denoiser.

    Parameters
    ----------
    in_channels
        Channels of what is denoised; the output has as many.
    latent_channels
        Channels of the condition that every level sees (a component latent, or the prior's mask).
    params
        Channels, kernels, strides and attention of the levels, outermost first.
    """

    def __init__(self, in_channels: int, latent_channels: int, params: UNetParams) -> None:
        super().__init__()
        self.total_stride = math.prod(params.strides)
        self.noise = NoiseEmbedding()
        widths = [in_channels, *params.channels]
        levels = list(
            zip(widths[:-1], widths[1:], params.kernels, params.strides, params.attention, strict=True)
        )
        self.down = nn.ModuleList(Down(*level, latent_channels, params.dropout) for level in levels)
        self.bottleneck = ResidualBlock(
            widths[-1], widths[-1], min(params.kernels), latent_channels, params.dropout
        )
        self.attention = SelfAttention(widths[-1]) if any(params.attention) else nn.Identity()
        self.up = nn.ModuleList(
            Up(outer, inner, kernel, stride, attention, latent_channels, params.dropout)
            for inner, outer, kernel, stride, attention in reversed(levels)
        )
        self.out = nn.Conv1d(in_channels, in_channels, 3, padding=1)

    def forward(self, x: Tensor, alpha: Tensor, latent: Tensor) -> Tensor:
        """Denoise.

        Parameters
        ----------
        x : float32[b, in_channels, frames]
            Any number of frames; it is padded to a multiple of the product of the strides.
        alpha : float32[b]
            Noise level: 0 is pure noise, 1 is clean.
        latent : float32[b, latent_channels, latent_frames]

        Returns
        -------
        float32[b, in_channels, frames]
        """
        frames = x.shape[-1]
        padding = -frames % self.total_stride
        if padding:
            x = functional.pad(x, (0, padding), mode="replicate")
            whole = math.ceil(x.shape[-1] * latent.shape[-1] / frames)
            latent = functional.pad(latent, (0, whole - latent.shape[-1]), mode="replicate")
        noise = self.noise(alpha)
        skips = []
        for level in self.down:
            x, skip = level(x, noise, latent)
            skips.append(skip)
        x = self.attention(self.bottleneck(x, noise, latent))
        for level in self.up:
            x = level(x, skips.pop(), noise, latent)
        return self.out(x)[..., :frames]

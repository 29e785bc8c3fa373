"""The network of Conv-TasNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvTasNet(nn.Module):
    """The non-causal network of the paper, its letters as in the paper's table of hyperparameters.

    Encoder and decoder are linear, masks sigmoid, normalisation global (over channels and time).

    Parameters
    ----------
    n_sources
        C, sources to give.
    N
        Filters of the basis.
    L
        Their length in samples; they step by half of it.
    B, H, Sc
        Channels of the bottleneck, inside blocks, and of skip connections.
    P
        Kernel of the blocks' depthwise convolutions.
    X, R
        Blocks per repeat, with dilations 1 to 2^(X-1), and repeats.
    """

    def __init__(self, n_sources: int, N: int, L: int, B: int, H: int, Sc: int, P: int, X: int, R: int):
        super().__init__()
        if L % 2:
            raise ValueError(f"L = {L} is odd: filters step by half of their length")
        self.n_sources = n_sources
        self.encoder = nn.Conv1d(1, N, L, L // 2, bias=False)
        self.enter = nn.Sequential(nn.GroupNorm(1, N, eps=1e-8), nn.Conv1d(N, B, 1))
        self.blocks = nn.ModuleList(Block(B, H, Sc, P, 2**x) for _ in range(R) for x in range(X))
        self.blocks[-1].residual.requires_grad_(False)  # leads nowhere
        self.leave = nn.Sequential(nn.PReLU(), nn.Conv1d(Sc, n_sources * N, 1), nn.Sigmoid())
        self.decoder = nn.ConvTranspose1d(N, 1, L, L // 2, bias=False)

    def forward(self, mixtures: Tensor) -> Tensor:
        """Turn float32[batch, n_samples] into float32[batch, n_sources, n_samples], each of any scale."""
        batch, n_samples = mixtures.shape
        step = self.encoder.stride[0]
        # A step before and up to two after, so that every sample lies under two filters.
        padded = nn.functional.pad(mixtures, (step, step + -n_samples % step))
        basis = self.encoder(padded[:, None])
        features = self.enter(basis)
        skips = torch.zeros(1, device=mixtures.device)
        for block in self.blocks:
            residual, skip = block(features)
            features, skips = features + residual, skips + skip
        masks = self.leave(skips).view(batch, self.n_sources, *basis.shape[1:])
        audio = self.decoder((masks * basis[:, None]).flatten(0, 1))
        return audio.view(batch, self.n_sources, -1)[..., step : step + n_samples]


class Block(nn.Module):
    """1-D convolutional block with its residual and skip outputs.

    The last block's residual goes nowhere; the paper counts its weights all the same.
    """

    def __init__(self, B: int, H: int, Sc: int, P: int, dilation: int):
        super().__init__()
        self.inside = nn.Sequential(
            nn.Conv1d(B, H, 1),
            nn.PReLU(),
            nn.GroupNorm(1, H, eps=1e-8),
            nn.Conv1d(H, H, P, padding="same", dilation=dilation, groups=H),
            nn.PReLU(),
            nn.GroupNorm(1, H, eps=1e-8),
        )
        self.residual = nn.Conv1d(H, B, 1)
        self.skip = nn.Conv1d(H, Sc, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Turn float32[batch, B, frames] into float32[batch, B, frames] and float32[batch, Sc, frames]."""
        inside = self.inside(features)
        return self.residual(inside), self.skip(inside)

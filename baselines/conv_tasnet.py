"""Conv-TasNet: masks on a learnt time-domain basis, by dilated convolutions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ucr.methods.contract import Meta

from ._shared.supervised import Supervised

META = Meta(
    name="conv_tasnet",
    kind="supervised",
    paper="Luo & Mesgarani, Conv-TasNet: surpassing ideal time-frequency magnitude masking for speech separation, "
    "IEEE/ACM TASLP 27(8), 2019",
    summary="Masks on a learnt basis of waveforms, by a temporal convolutional network",
    weights="trained",
)


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
        Blocks a repeat, with dilations 1 to 2^(X-1), and repeats.
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


class Method(Supervised):
    """Conv-TasNet, trained for scale-invariant SNR of the labelled sources, on remixed music."""

    @staticmethod
    def make_network(n_sources: int, sample_rate: int, **sizes) -> nn.Module:
        """Build it; `sizes` are `ConvTasNet`'s."""
        return ConvTasNet(n_sources, **sizes)

    @staticmethod
    def loss(estimates: Tensor, sources: Tensor) -> Tensor:
        """Negative scale-invariant SNR in dB, averaged.

        For zero-mean signals it is -10 log10(|t|^2 / |e - t|^2), with t = s <e, s> / |s|^2.
        """
        estimates = estimates - estimates.mean(dim=-1, keepdim=True)
        sources = sources - sources.mean(dim=-1, keepdim=True)
        scale = (estimates * sources).sum(-1, keepdim=True) / (sources.square().sum(-1, keepdim=True) + 1e-8)
        target = scale * sources
        power, error = target.square().sum(-1), (estimates - target).square().sum(-1)
        return -10 * torch.log10((power + 1e-8) / (error + 1e-8)).mean()

    def separate_batch(self, mixtures: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """See `Baseline.separate_batch`.

        The loss leaves every estimate's scale (and sign) open. It is set to that of uncorrelated sources:
        the scale at which the estimate explains most of the mixture, times n_sources, since the mixture
        is a mean.
        """
        estimates = super().separate_batch(mixtures, sample_rate, n_sources)
        common = (estimates * mixtures[:, None]).sum(axis=-1, keepdims=True)
        power = (estimates**2).sum(axis=-1, keepdims=True)
        return n_sources * estimates * np.divide(common, power, out=np.zeros_like(power), where=power > 0)

"""Conv-TasNet: masks on a learnt time-domain basis, by dilated convolutions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ucr.methods.contract import Meta

from ._shared.conv_tasnet import ConvTasNet
from ._shared.supervised import Supervised

META = Meta(
    name="conv_tasnet",
    kind="supervised",
    paper="Luo & Mesgarani, Conv-TasNet: surpassing ideal time-frequency magnitude masking for speech separation, "
    "IEEE/ACM TASLP 27(8), 2019",
    summary="Masks on a learnt basis of waveforms, by a temporal convolutional network",
    weights="trained",
)


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

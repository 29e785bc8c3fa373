"""MixIT: the network of Conv-TasNet, trained on mixtures of mixtures without true sources."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ucr.methods.contract import Meta

from ._shared.conv_tasnet import ConvTasNet
from ._shared.supervised import WaveformNetwork

META = Meta(
    name="mixit",
    kind="unsupervised",
    paper="Wisdom, Tzinis, Erdogan, Weiss, Wilson & Hershey, Unsupervised sound separation using mixture invariant "
    "training, NeurIPS 2020",
    summary="The network of `conv_tasnet` with two outputs per source, trained on sums of two mixtures.",
    weights="trained",
)
N_FFT = 2048
TINY = 1e-12


class Consistent(nn.Module):
    """A network whose outputs are made to add up to its input: each gets an even part of what is missing."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, mixtures: Tensor) -> Tensor:
        """Turn float32[batch, n_samples] into float32[batch, n_outputs, n_samples]."""
        outputs = self.network(mixtures)
        return outputs + (mixtures - outputs.sum(dim=1))[:, None] / outputs.shape[1]


class Method(WaveformNetwork):
    """Separate into two outputs per source, then join them into as many as there are sources, without labels.

    The paper joins outputs by the true sources. Here the two whose joining loses least are joined until no more are
    left than sources (`joined`). Takes the options of the supervised networks.
    """

    @staticmethod
    def make_network(n_sources: int, sample_rate: int, **sizes) -> nn.Module:
        """Build it for mixtures of two mixtures of `n_sources` each; `sizes` are `ConvTasNet`'s."""
        return Consistent(ConvTasNet(2 * n_sources, **sizes))

    def estimate(self, mixtures: Tensor) -> Tensor:
        """See `Trained.estimate`; a mixture is the mean of its sources, which outputs add up to."""
        outputs = super().estimate(mixtures)
        return self.n_sources * torch.stack([joined(each, self.n_sources) for each in outputs])


def joined(outputs: Tensor, n_sources: int) -> Tensor:
    """Add up outputs until `n_sources` are left: float32[n_outputs, n_samples] -> float32[n_sources, n_samples].

    The next two to be added are those with the least min(e_i, e_j) (1 - c_ij), with the energies e and the cosine
    similarity c of magnitude spectrograms: what is quiet, or sounds at the same times and frequencies as another.
    """
    while len(outputs) > n_sources:
        window = torch.hann_window(N_FFT, device=outputs.device)
        spectra = torch.stft(outputs, N_FFT, window=window, pad_mode="constant", return_complex=True)
        magnitudes = spectra.abs().flatten(1)
        energies = magnitudes.square().sum(dim=1)
        similar = magnitudes @ magnitudes.T / (energies[:, None] * energies).sqrt().clamp_min(TINY)
        losses = torch.minimum(energies[:, None], energies) * (1 - similar)
        losses = losses.masked_fill(torch.ones_like(losses, dtype=torch.bool).tril(), torch.inf)
        first, second = divmod(int(losses.argmin()), len(outputs))
        rest = [i for i in range(len(outputs)) if i not in (first, second)]
        outputs = torch.cat([(outputs[first] + outputs[second])[None], outputs[rest]])
    return outputs

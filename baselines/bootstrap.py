"""A plain mask network that learns from what teaches `ucr`: the blind grouping, without latents and composition."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from ucr.codecs import same_codec
from ucr.codecs.mel import MelCodec
from ucr.foundation.checkpoints import fill
from ucr.foundation.errors import UserError
from ucr.foundation.network_params import UNetParams
from ucr.foundation.params import CodecParams
from ucr.methods.contract import Meta
from ucr.methods.trained import Trained
from ucr.model.networks import UNet

from ._shared.supervised import open_weights

META = Meta(
    name="bootstrap",
    kind="unsupervised",
    paper="Seetharaman, Wichern, Le Roux & Pardo, Bootstrapping deep music separation from primitive auditory grouping "
    "principles, ICASSP 2019 (the idea; network, pseudo-labels and remixes are those of `ucr`)",
    summary="The U-Net of `ucr` giving masks from the mixture, trained on the same pseudo-labels and remixes.",
    weights="trained",
)


class MaskNetwork(nn.Module):
    """The denoiser of `ucr` without noise, conditioned on the mixture in the place of a component's latent.

    Parameters
    ----------
    n_sources
        Masks to give.
    bands, power
        Channels of the codec's latents and their compression exponent.
    sizes
        As `decomposition.denoiser` of the parameters.
    """

    def __init__(self, n_sources: int, bands: int, power: float, **sizes):
        super().__init__()
        self.n_sources, self.power = n_sources, power
        self.unet = UNet(bands, bands, UNetParams(**sizes))
        self.out = nn.Conv1d(bands, n_sources * bands, 1)

    def forward(self, mixtures: Tensor) -> Tensor:
        """Latents of mixtures [b, bands, frames] to those of sources [b, n, bands, frames], magnitudes adding up."""
        level = mixtures.square().mean(dim=(1, 2), keepdim=True).sqrt().clamp_min(1e-4)
        normalised = mixtures / level
        hidden = self.unet(normalised, mixtures.new_ones(len(mixtures)), normalised)
        shares = self.out(hidden).float().unflatten(1, (self.n_sources, -1)).log_softmax(dim=1)
        return mixtures[:, None] * (self.power * shares).exp()


class Method(Trained):
    """The masks of every source, decoded by the codec as the components of `ucr` are."""

    network: nn.Module
    codec: MelCodec

    @staticmethod
    def make_network(n_sources: int, bands: int, power: float, **sizes) -> nn.Module:
        """Build it; the arguments are `MaskNetwork`'s."""
        return MaskNetwork(n_sources, bands, power, **sizes)

    def load(self, weights: Path, sources: list[str]) -> None:
        """Load the weights in a folder; a `UserError` if they are not this method's for these sources and codec."""
        tensors, config, described = open_weights(weights, META.name, sources)
        self.n_sources, self.sample_rate = len(described.sources), described.sample_rate
        try:
            codec_params = CodecParams.model_validate(config["codec"])
            self.network = self.make_network(
                self.n_sources, codec_params.bands, codec_params.power, **config["network"]
            )
        except Exception as error:  # damaged sizes make a network fail in many ways
            reason = f"{type(error).__name__}: {error}"
            raise UserError(
                f"{weights} describes no network of bootstrap ({reason}): train it again"
            ) from None
        codec = same_codec(
            codec_params, self.sample_rate, config["codec_fingerprint"], weights, str(self.device)
        )
        assert isinstance(codec, MelCodec)
        self.codec = codec
        fill(self.network, tensors, weights)
        self.network.to(self.device)

    def estimate(self, mixtures: Tensor) -> Tensor:
        """See `Trained.estimate`."""
        return self.codec.decode_components(self.network(self.codec.encode(mixtures)), mixtures)

"""Codecs: between audio and the latents in which mixtures are taken apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ucr.foundation.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from ucr.foundation.params import CodecParams


class Codec(Protocol):
    """What every codec offers.

    Attributes
    ----------
    name
        Its name in `params.yaml`.
    sample_rate
        In Hz, of the mono audio that it takes and gives.
    channels
        Of a latent.
    frame_rate
        Latent frames per second.
    fingerprint
        Short hexadecimal digest of its configuration and weights: two codecs whose latents may meet
        have the same.
    """

    name: str
    sample_rate: int
    channels: int
    frame_rate: float
    fingerprint: str

    def n_frames(self, n_samples: int) -> int:
        """Latent frames of `n_samples` samples of audio."""

    def encode(self, audio: Tensor) -> Tensor:
        """Turn float32[batch, n_samples] into float32[batch, channels, frames]."""

    def decode(self, latents: Tensor, n_samples: int) -> Tensor:
        """Turn float32[batch, channels, frames] back into float32[batch, n_samples]."""

    def decode_variation(self, latents: Tensor, song: Tensor, strength: float) -> Tensor:
        """Turn the latents of a variation of a song into sound, with the song at hand.

        Parameters
        ----------
        latents : float32[batch, channels, frames]
        song : float32[batch, n_samples]
        strength
            From 0, the song itself, to 1, nothing of it.

        Returns
        -------
        float32[batch, n_samples]
        """

    def decode_components(self, latents: Tensor, mixture: Tensor) -> Tensor:
        """Turn components' latents into sound, with the mixture that they were taken from at hand.

        Parameters
        ----------
        latents : float32[batch, n_components, channels, frames]
            On the scale of the sources' own latents.
        mixture : float32[batch, n_samples]
            Mean of the sources.

        Returns
        -------
        float32[batch, n_components, n_samples]
            On the scale of the sources.
        """


def same_codec(
    params: CodecParams,
    sample_rate: int,
    fingerprint: str,
    user: object,
    device: str,
    remedy: str = "train it again",
) -> Codec:
    """`make_codec` for weights or latents that are of its latent space.

    Raises
    ------
    UserError
        As `make_codec`, and if it is not the codec of this fingerprint any more; `user` names what needs it,
        `remedy` says how to make that again.
    """
    codec = make_codec(params, sample_rate, device)
    if codec.fingerprint != fingerprint:
        raise UserError(f"{user} was made in the latent space of another {codec.name} codec: {remedy}")
    return codec


def make_codec(params: CodecParams, sample_rate: int, device: str = "cpu") -> Codec:
    """Build the codec that `params` names, on `device`.

    Raises
    ------
    UserError
        If the codec has no such rate, band count or bandwidth, or its weights can't be had.
    """
    if params.name == "mel":
        from ucr.codecs.mel import MelCodec

        return MelCodec(sample_rate, params.bands, params.power, device)
    from ucr.codecs.encodec import EncodecCodec, pretrained
    from ucr.codecs.encodec_mini import load_mini

    if params.name == "encodec_mini":
        return EncodecCodec(load_mini(params.needs, sample_rate), device)
    return EncodecCodec(pretrained(params.name, sample_rate, params.bandwidth, params.weights), device)

"""EnCodec (Défossez, Copet, Synnaeve and Adi, High Fidelity Neural Audio Compression, 2022) as a codec.

A latent is the quantiser's decoding of the codes, so that it lies where the decoder was trained.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor

from ucr.foundation.checkpoints import download_weights, fill, read_weights
from ucr.foundation.errors import UserError
from ucr.foundation.hashes import bytes_hash, short_hash
from ucr.foundation.without_torchaudio import torchaudio_or_an_empty_module

CHECKPOINTS = {"encodec_24khz": "encodec_24khz-d7cc33bc.th", "encodec_48khz": "encodec_48khz-7e698e3e.th"}

with torchaudio_or_an_empty_module():
    from encodec import EncodecModel
    from encodec.model import ROOT_URL
    from encodec.utils import _linear_overlap_add


class EncodecCodec:
    """A model of the encodec package: 128 channels at 75 Hz for 24 kHz, 129 at 150 Hz for the one of 48 kHz.

    The 48 kHz model is stereo and works on chunks of 1 s, 10 ms of which overlap, each divided by its
    RMS. Mono audio goes in as two equal channels, and the mean of the two that come out is taken. The
    chunks' latents follow one another, and channel 128 holds each chunk's RMS as its decimal
    logarithm (-1 for 0.1), constant over the chunk, without which the loudness could not be decoded.

    Parameters
    ----------
    model
        With its weights, in evaluation mode; its bandwidth None stands for all of its codebooks.
    device
        Where the model runs; audio and latents must lie there too.
    """

    def __init__(self, model: EncodecModel, device: str | torch.device = "cpu"):
        self.name = model.name
        self.model = model.requires_grad_(False).to(device)
        self.sample_rate = model.sample_rate
        self.frame_rate = float(self.model.frame_rate)
        self.channels = self.model.quantizer.dimension + self.model.normalize
        self.hop = int(self.model.encoder.hop_length)
        self.fingerprint = short_hash(
            {"name": self.name, "bandwidth": model.bandwidth, "weights": state_digest(model.state_dict())}
        )

    def n_frames(self, n_samples: int) -> int:
        """Latent frames of `n_samples` samples of audio: one for each hop begun, chunk by chunk."""
        return sum(self._frames(n_samples))

    def _frames(self, n_samples: int) -> list[int]:
        """Latent frames of each chunk; the last two may be shorter than the others."""
        length, stride = self._chunk() or (n_samples, n_samples)
        return [-(-min(length, n_samples - start) // self.hop) for start in range(0, n_samples, stride)]

    def encode(self, audio: Tensor) -> Tensor:
        """Turn float32[batch, n_samples] into float32[batch, channels, frames]."""
        latents = []
        for codes, rms in self.model.encode(audio[:, None].expand(-1, self.model.channels, -1)):
            latent = self.model.quantizer.decode(codes.transpose(0, 1))
            if rms is not None:
                level = rms.log10()[:, :, None].expand(-1, 1, latent.shape[-1])
                latent = torch.cat([latent, level], dim=1)
            latents.append(latent)
        return torch.cat(latents, dim=-1)

    def decode(self, latents: Tensor, n_samples: int) -> Tensor:
        """Turn float32[batch, channels, frames] back into float32[batch, n_samples]."""
        if latents.shape[-1] != self.n_frames(n_samples):
            raise ValueError(f"{latents.shape[-1]} frames are no latent of {n_samples} samples")
        chunk = self._chunk()
        if chunk is None:
            return self.model.decoder(latents)[:, 0, :n_samples]
        _, stride = chunk
        sounds = []
        for latent in latents.split(self._frames(n_samples), dim=-1):
            level = latent[:, -1:].mean(dim=-1, keepdim=True)
            sounds.append(self.model.decoder(latent[:, :-1]) * 10**level)
        # with a last chunk of up to 320 samples, the one before may reach beyond it, which the package can't add
        total = stride * (len(sounds) - 1) + sounds[-1].shape[-1]
        sounds = [sound[..., : total - stride * i] for i, sound in enumerate(sounds)]
        return _linear_overlap_add(sounds, stride).mean(dim=1)[:, :n_samples]

    def decode_variation(self, latents: Tensor, song: Tensor, strength: float) -> Tensor:
        """`decode`: of `song`, float32[batch, n_samples], only the length is used."""
        return self.decode(latents, song.shape[-1])

    def decode_components(self, latents: Tensor, mixture: Tensor) -> Tensor:
        """Decode each of float32[batch, n_components, channels, frames] by itself.

        Of `mixture`, float32[batch, n_samples], only the length is used.

        Returns
        -------
        float32[batch, n_components, n_samples]
        """
        return self.decode(latents.flatten(0, 1), mixture.shape[-1]).unflatten(0, latents.shape[:2])

    def _chunk(self) -> tuple[int, int] | None:
        """Length and stride in samples of the chunks that audio is cut into; None if it isn't."""
        length, stride = self.model.segment_length, self.model.segment_stride
        return None if length is None or stride is None else (length, stride)


def untrained(name: str) -> EncodecModel:
    """Build the architecture called `name`, randomly initialised, in evaluation mode."""
    build = {
        "encodec_24khz": EncodecModel.encodec_model_24khz,
        "encodec_48khz": EncodecModel.encodec_model_48khz,
    }
    with warnings.catch_warnings():  # of PyTorch, on encodec's way of weight normalisation
        warnings.simplefilter("ignore")
        model = build[name](pretrained=False)
    model.name = name
    return model


def pretrained(name: str, sample_rate: int, bandwidth: float, weights: str | None) -> EncodecModel:
    """One of the package's own models, with its weights.

    Parameters
    ----------
    name
        `encodec_24khz` or `encodec_48khz`.
    sample_rate
        In Hz: the model's.
    bandwidth
        In kbit/s, of those that the model was trained for.
    weights
        A state dictionary, as safetensors or as encodec's own file; None downloads the latter.

    Raises
    ------
    UserError
        If the model has no such rate or bandwidth, or the weights are missing, damaged, of another
        shape, or can't be downloaded.
    """
    model = untrained(name)
    check_rate(model, sample_rate)
    if bandwidth not in model.target_bandwidths:
        offered = ", ".join(f"{value:g}" for value in model.target_bandwidths)
        raise UserError(
            f"codec.bandwidth: {name} has {offered} kbit/s, not {bandwidth:g}: choose one of them"
        )
    path = Path(weights) if weights else download(name)
    state = read_weights(path, "codec.weights")
    if any(key.startswith("encoder.layers.") for key in state):
        raise UserError(
            f"codec.weights: {path} holds EnCodec under the names of the transformers library, not of the encodec "
            f"package: name the package's own file, {ROOT_URL}{CHECKPOINTS[name]}, or leave codec.weights out"
        )
    fill(model, state, path)
    model.set_target_bandwidth(bandwidth)
    return model


def check_rate(model: EncodecModel, sample_rate: int) -> None:
    """Raise a `UserError` if `model` does not work at `sample_rate` Hz."""
    if sample_rate != model.sample_rate:
        raise UserError(
            f"segments.sample_rate: the codec {model.name} works at {model.sample_rate} Hz, not {sample_rate} Hz"
        )


def download(name: str) -> Path:
    """Encodec's own weights, whose file is named after the start of its checksum."""
    file = CHECKPOINTS[name]
    remedy = (
        "connect to the network, or name a file that holds them as codec.weights, or choose the codec mel, which "
        "needs none"
    )
    return download_weights(ROOT_URL + file, Path(file).stem.split("-")[1], remedy)


def state_digest(state: dict[str, Tensor]) -> str:
    """SHA-256 over a state dictionary's names and values, in hexadecimal."""
    parts = ((name.encode(), state[name].cpu().contiguous().numpy().tobytes()) for name in sorted(state))
    return bytes_hash(part for pair in parts for part in pair)

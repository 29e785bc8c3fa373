"""A small neural codec with EnCodec's latent, that the project trains itself.

At 24 kHz, mono, 128 channels at 75 Hz and a residual vector quantiser, as the published model, whose package gives
model and quantiser. It has no strided convolutions: those that it had gave drums back at 8.9 dB SI-SDR, after 1,500
steps, even with the quantiser left out. The encoder is one lapped transform, windows of 640 samples in steps of 320 on
the 128 principal directions of the MDCT (Princen, Johnson and Bradley, Subband/Transform Coding Using Filter Bank
Designs Based on Time Domain Aliasing Cancellation, 1987). It is linear, so that latents add before they are quantised.
The decoder is the transform back and a residual network at the frame rate, as in Vocos (Siuzdak, Vocos: Closing the Gap
between Time-Domain and Fourier-Based Neural Vocoders, 2023), which learns what quantising took away.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ucr.codecs.encodec import EncodecModel, check_rate
from ucr.foundation.checkpoints import fill, load_model
from ucr.foundation.errors import UserError

SAMPLE_RATE = 24000
DIMENSION = 128
HOP = 320  # samples of a latent frame
BLOCKS = 3  # of the decoder's network
ITERATIONS = 8  # of k-means for each codebook
FFT_SIZES = (2048, 512, 128)
EPSILON = 1e-4  # amplitude under which spectra count as equal: -80 dB of full scale
QUIET = 0.01  # RMS under which errors are no longer taken relative to the crop's own
SPECTRAL_WEIGHT = 0.02


class Encoder(nn.Module):
    """One lapped transform: float32[batch, 1, n_samples] to float32[batch, 128, frames], a frame for each hop begun."""

    ratios, hop_length = [HOP], HOP

    def __init__(self) -> None:
        super().__init__()
        self.transform = nn.Conv1d(1, DIMENSION, 2 * HOP, HOP, bias=False).requires_grad_(False)

    def forward(self, audio: Tensor) -> Tensor:
        return self.transform(_whole_frames(audio))


class Decoder(nn.Module):
    """The transform back, and what a network adds to it that sees each frame relative to the level around it."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.transform = nn.ConvTranspose1d(DIMENSION, 1, 2 * HOP, HOP, bias=False)
        self.first = nn.Conv1d(DIMENSION, filters, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.GELU(),
                nn.Conv1d(filters, filters, 3, padding=1),
                nn.GELU(),
                nn.Conv1d(filters, filters, 1),
            )
            for _ in range(BLOCKS)
        )
        self.last = nn.ConvTranspose1d(filters, 1, 2 * HOP, HOP, bias=False)
        nn.init.zeros_(self.last.weight)

    def forward(self, latents: Tensor) -> Tensor:
        power = functional.avg_pool1d(latents.square().mean(dim=1, keepdim=True), 5, 1, padding=2)
        level = (power + EPSILON**2).sqrt()
        hidden = self.first(latents / level)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        sound = self.transform(latents) + self.last(hidden * level)
        return sound[..., HOP // 2 : -(HOP // 2)]


def build(filters: int, codebooks: int, codebook_size: int) -> EncodecModel:
    """A model that gives back what lies under 4.8 kHz, in evaluation mode; its codebooks are empty until `fit`.

    Parameters
    ----------
    filters
        Channels of the decoder's network.
    codebooks
        Of the residual vector quantiser.
    codebook_size
        Entries of each, a power of two.
    """
    from encodec.quantization import ResidualVectorQuantizer  # once ucr.codecs.encodec could import encodec

    encoder: Any = Encoder()
    decoder: Any = Decoder(filters)
    model = EncodecModel(
        encoder,
        decoder,
        ResidualVectorQuantizer(DIMENSION, codebooks, codebook_size),
        [],
        SAMPLE_RATE,
        1,
        name="encodec_mini",
    )
    for codebook in _codebooks(model):
        codebook.inited.fill_(1)
        for unused in ("cluster_size", "embed_avg"):  # of the moving averages, which nothing here takes
            codebook.register_buffer(unused, None)
    _put_transform(model, mdct()[:DIMENSION])
    return model.eval()


@torch.no_grad()
def fit(model: EncodecModel, audio: Tensor, seed: int) -> None:
    """Find the transform by principal components and each codebook by k-means on what those before it leave.

    Crops count relative to their own power, as errors do in SI-SDR.

    Parameters
    ----------
    model
        Changed in place.
    audio : float32[crops, n_samples]
        With at least as many frames as a codebook has entries.
    seed
        Of the codebooks' first entries.
    """
    from sklearn.cluster import KMeans  # slow to import

    frames = _whole_frames(audio[:, None]).unfold(2, 2 * HOP, HOP)[:, 0]
    weight = 1 / audio.square().mean(dim=1).clamp_min(QUIET**2)
    weights = weight[:, None].expand(-1, frames.shape[1]).flatten()
    basis = mdct()
    vectors = frames.flatten(0, 1) @ basis.T
    _, directions = torch.linalg.eigh((vectors * weights[:, None]).T.double() @ vectors.double())
    principal = directions.flip(1)[:, :DIMENSION].float()
    _put_transform(model, principal.T @ basis)

    rest, importance = (vectors @ principal).numpy(), weights.numpy()
    rng = np.random.default_rng(seed)
    for codebook in _codebooks(model):
        share = np.square(rest, dtype=float).sum(axis=1) * importance + 1e-12
        chosen = rng.choice(len(rest), codebook.codebook_size, replace=False, p=share / share.sum())
        means = KMeans(codebook.codebook_size, init=rest[chosen], n_init=1, max_iter=ITERATIONS, tol=0)
        entries = means.fit(rest, sample_weight=importance).cluster_centers_
        codebook.embed.copy_(torch.from_numpy(entries))
        rest = rest - entries[means.labels_]


def mdct() -> Tensor:
    """The MDCT with a sine window, orthonormal: float32[320, 640]."""
    window = torch.sin(math.pi * (torch.arange(2 * HOP) + 0.5) / (2 * HOP))
    times, frequencies = torch.arange(2 * HOP) + 0.5 + HOP / 2, torch.arange(HOP)[:, None] + 0.5
    return math.sqrt(2 / HOP) * torch.cos(math.pi / HOP * times * frequencies) * window


def _whole_frames(audio: Tensor) -> Tensor:
    """Silence around audio, so that every sample lies in two windows but for half a hop at both ends."""
    return functional.pad(audio, (HOP // 2, -audio.shape[-1] % HOP + HOP // 2))


def _put_transform(model: EncodecModel, rows: Tensor) -> None:
    networks: Any = (model.encoder, model.decoder)
    with torch.no_grad():
        for network in networks:
            network.transform.weight.copy_(rows[:, None])


def _codebooks(model: EncodecModel) -> list:
    return [layer._codebook for layer in model.quantizer.vq.layers]


def load_mini(folder: str | Path, sample_rate: int) -> EncodecModel:
    """Read a trained model.

    Raises
    ------
    UserError
        If `folder` holds no such weights, or they are damaged or work at another rate than `sample_rate` Hz.
    """
    tensors, config, _ = load_model(folder)
    try:
        model = build(**config)
    except (TypeError, ValueError, AssertionError):
        raise UserError(
            f"codec.needs: {folder} holds no weights of encodec_mini: name a folder that train_codec wrote"
        ) from None
    check_rate(model, sample_rate)
    fill(model, tensors, folder)
    return model


def reconstruct(model: EncodecModel, audio: Tensor) -> Tensor:
    """Put float32[batch, n_samples] through encoder, quantiser and decoder; the decoder alone has gradients."""
    with torch.no_grad(), torch.autocast(audio.device.type, enabled=False):  # codes need float32
        codes = model.quantizer.encode(model.encoder(audio[:, None]), model.frame_rate)
        latents = model.quantizer.decode(codes)
    return model.decoder(latents)[:, 0, : audio.shape[-1]].float()


def error(sound: Tensor, audio: Tensor) -> Tensor:
    """Errors of the waveform and of spectra, as EnCodec's without its adversary (Défossez et al. 2022, section 3.4).

    The waveform's is its RMS relative to the waveform's own, as SI-SDR's; the paper's is of amplitudes. Spectra are
    three instead of seven, of logarithmic magnitudes and not on the mel scale; the weight is fixed, where the paper
    balances gradients. An adversary helps the ear rather than SI-SDR: it rewards energy that is not the waveform's.

    Parameters
    ----------
    sound, audio : float32[batch, n_samples]

    Returns
    -------
    float32[]
    """
    norms = torch.linalg.vector_norm(torch.stack([sound - audio, audio]), dim=2)
    relative = norms[0] / norms[1].clamp_min(QUIET * audio.shape[1] ** 0.5)
    spectral = torch.stack([_spectral_error(sound, audio, size) for size in FFT_SIZES])
    return relative.mean() + SPECTRAL_WEIGHT * spectral.mean()


def _spectral_error(sound: Tensor, audio: Tensor, size: int) -> Tensor:
    window = torch.hann_window(size, device=audio.device)
    spectra = torch.stft(torch.cat([sound, audio]), size, size // 4, window=window, return_complex=True)
    found, true = (spectra.abs() / window.sum()).clamp_min(EPSILON).log().chunk(2)
    return functional.l1_loss(found, true)

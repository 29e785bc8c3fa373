"""A small EnCodec, built of the encodec package's own modules, that the project trains itself.

At 24 kHz, mono, 128 channels at 75 Hz, as the published model. It has fewer filters, no LSTM and smaller codebooks, is
not causal, skips by identity, and its encoder strides by 8 first, since most time goes into layers at the full rate.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ucr.codecs.encodec import EncodecModel, check_rate
from ucr.foundation.checkpoints import fill, load_model
from ucr.foundation.errors import UserError

SAMPLE_RATE = 24000
DIMENSION = 128
RATIOS = [2, 4, 5, 8]  # of the decoder; the encoder has them the other way round
FFT_SIZES = (2048, 512, 128)
EPSILON = 1e-4  # amplitude under which spectra count as equal: -80 dB of full scale
QUIET = 0.01  # mean amplitude under which errors are no longer taken relative to the crop's own
SPECTRAL_WEIGHT = 0.1


def build(filters: int, codebooks: int, codebook_size: int) -> EncodecModel:
    """A freshly initialised model, in evaluation mode.

    Parameters
    ----------
    filters
        Channels at the full rate; each of the four strides doubles them.
    codebooks
        Of the residual vector quantiser.
    codebook_size
        Entries of each, a power of two.
    """
    from encodec.modules import SEANetDecoder, SEANetEncoder  # once ucr.codecs.encodec could import encodec
    from encodec.quantization import ResidualVectorQuantizer

    sizes: dict[str, Any] = {
        "dimension": DIMENSION,
        "n_filters": filters,
        "ratios": RATIOS,
        "norm": "weight_norm",
        "true_skip": True,
        "lstm": 0,
    }
    with warnings.catch_warnings():  # of PyTorch, on encodec's way of weight normalisation
        warnings.simplefilter("ignore")
        encoder, decoder = SEANetEncoder(**sizes), SEANetDecoder(**sizes)
    _start_as_transpose(encoder, decoder)
    # the package's 50 iterations take minutes, and its batches, with a threshold of 2, are larger
    quantiser = ResidualVectorQuantizer(
        DIMENSION, codebooks, codebook_size, kmeans_iters=3, threshold_ema_dead_code=1
    )
    return EncodecModel(encoder, decoder, quantiser, [], SAMPLE_RATE, 1, name="encodec_mini").eval()


def _start_as_transpose(encoder: Any, decoder: Any) -> None:
    """Give the encoder's convolutions orthogonal rows of norm 1, the decoder's their transposes; nothing else acts yet.

    Residual blocks start as the identity, biases at 0. PyTorch's own initial weights make the chain nearly silent.
    In a trial without quantiser, drums / bass came back at 2 / 7 dB SI-SDR after 129 steps of 2 s of audio with the
    transposes, at -15 / -8 dB after 117 steps with random weights of unit gain.
    """
    from encodec.modules import SConv1d, SConvTranspose1d
    from encodec.modules.seanet import SEANetResnetBlock

    def convolutions(layers: nn.Sequential) -> list[Any]:
        found = [layer for layer in layers if isinstance(layer, SConv1d | SConvTranspose1d)]
        return [layer.conv.conv if isinstance(layer, SConv1d) else layer.convtr.convtr for layer in found]

    def put(convolution: Any, weight: Tensor) -> None:
        convolution.weight_v.copy_(weight)
        convolution.weight_g.copy_(weight.norm(dim=(1, 2), keepdim=True))

    with torch.no_grad():
        for name, parameter in [*encoder.named_parameters(), *decoder.named_parameters()]:
            if name.endswith("bias"):
                parameter.zero_()
        for layer in [*encoder.model, *decoder.model]:
            if isinstance(layer, SEANetResnetBlock):
                last: Any = layer.block[-1]
                last.conv.conv.weight_g.zero_()
        pairs = zip(convolutions(encoder.model), reversed(convolutions(decoder.model)), strict=True)
        for forth, back in pairs:
            weight = nn.init.orthogonal_(torch.empty_like(forth.weight_v))
            weight /= weight.norm(dim=(1, 2), keepdim=True).mean()
            put(forth, weight)
            redundancy = weight.shape[0] / (weight.shape[1] * forth.stride[0])
            if not isinstance(back, nn.ConvTranspose1d):
                weight = weight.transpose(0, 1).flip(2)
            put(back, weight / max(1.0, redundancy))


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


def reconstruct(model: EncodecModel, audio: Tensor, quantise: bool) -> tuple[Tensor, Tensor]:
    """Put audio through a model that is being trained: float32[batch, n_samples] and the commitment loss.

    In training mode the codebooks follow the latents; in evaluation mode there is no commitment loss.
    """
    latents, penalty = model.encoder(audio[:, None]), audio.new_zeros(())
    if quantise:
        with torch.autocast(audio.device.type, enabled=False):  # distances to codes need float32
            result = model.quantizer(latents.float(), model.frame_rate)
        latents, penalty = result.quantized, result.penalty
    return model.decoder(latents)[:, 0, : audio.shape[-1]].float(), penalty


def has_codes(model: EncodecModel) -> bool:
    """Whether the codebooks hold anything yet: they are filled from the first latents that are quantised."""
    layer: Any = model.quantizer.vq.layers[0]
    return bool(layer._codebook.inited)


def error(sound: Tensor, audio: Tensor) -> Tensor:
    """Errors of the waveform and of spectra, as EnCodec's without its adversary (Défossez et al. 2022, section 3.4).

    The waveform's is relative to its own mean amplitude. Spectra are three instead of seven, of logarithmic magnitudes
    and not on the mel scale; the weight is fixed, where the paper balances gradients.

    Parameters
    ----------
    sound, audio : float32[batch, n_samples]

    Returns
    -------
    float32[]
    """
    relative = (sound - audio).abs().mean(dim=1) / audio.abs().mean(dim=1).clamp_min(QUIET)
    spectral = torch.stack([_spectral_error(sound, audio, size) for size in FFT_SIZES])
    return relative.mean() + SPECTRAL_WEIGHT * spectral.mean()


def _spectral_error(sound: Tensor, audio: Tensor, size: int) -> Tensor:
    window = torch.hann_window(size, device=audio.device)
    spectra = torch.stft(torch.cat([sound, audio]), size, size // 4, window=window, return_complex=True)
    found, true = (spectra.abs() / window.sum()).clamp_min(EPSILON).log().chunk(2)
    return functional.l1_loss(found, true)

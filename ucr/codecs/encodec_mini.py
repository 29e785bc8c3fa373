"""A small EnCodec, built of the encodec package's own modules, that the project trains itself.

At 24 kHz, mono, 128 channels at 75 Hz, as the published model. It has fewer filters, no LSTM and smaller codebooks, is
not causal, skips by identity, and its encoder strides by 8 first, since most time goes into layers at the full rate.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from ucr.codecs.encodec import EncodecModel, check_rate
from ucr.errors import UserError
from ucr.models import fill, load_model

SAMPLE_RATE = 24000
DIMENSION = 128
RATIOS = [2, 4, 5, 8]  # of the decoder; the encoder has them the other way round
FFT_SIZES = (2048, 512, 128)
EPSILON = 1e-5  # amplitude under which spectra count as equal: -100 dB of full scale
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

    sizes = {
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
    # kmeans_iters: the package's 50 take minutes before the first step
    quantiser = ResidualVectorQuantizer(DIMENSION, codebooks, codebook_size, kmeans_iters=3)
    return EncodecModel(encoder, decoder, quantiser, [], SAMPLE_RATE, 1, name="encodec_mini").eval()


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


def training_loss(model: EncodecModel, audio: Tensor) -> Tensor:
    """Errors of the waveform and of spectra, and the quantiser's commitment loss (Défossez et al. 2022, section 3.4).

    As there, without the adversary. The spectra are those of `eval.distances`, a fourth of the paper's transforms, and
    the weights are fixed: the paper's balancer is left out.

    Parameters
    ----------
    model
        In training mode, where its codebooks follow the latents; in evaluation mode there is no commitment loss.
    audio : float32[batch, n_samples]

    Returns
    -------
    float32[]
    """
    latents = model.encoder(audio[:, None])
    with torch.autocast(audio.device.type, enabled=False):  # distances to codes need float32
        quantised = model.quantizer(latents.float(), model.frame_rate)
    sound = model.decoder(quantised.quantized)[:, 0, : audio.shape[-1]].float()
    error = (sound - audio).abs().mean(dim=1) / audio.abs().mean(dim=1).clamp_min(QUIET)
    spectral = torch.stack([_spectral_error(audio, sound, size) for size in FFT_SIZES])
    return error.mean() + SPECTRAL_WEIGHT * spectral.mean() + quantised.penalty


def _spectral_error(audio: Tensor, sound: Tensor, size: int) -> Tensor:
    window = torch.hann_window(size, device=audio.device)
    spectra = torch.stft(torch.cat([audio, sound]), size, size // 4, window=window, return_complex=True)
    true, found = (spectra.abs() / window.sum()).clamp_min(EPSILON).chunk(2)
    convergence = (true - found).norm(dim=(1, 2)) / true.norm(dim=(1, 2))
    return convergence.mean() + functional.l1_loss(found.log(), true.log())

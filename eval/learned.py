"""Embedding spaces of networks trained elsewhere, from weights that the user has: VGGish and CLAP."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import soxr
import torch
from torch import Tensor, nn

from ucr.foundation.checkpoints import fill, read_weights
from ucr.foundation.errors import UserError
from ucr.foundation.params import LearnedSpace
from ucr.foundation.without_torchaudio import torchaudio_or_an_empty_module


class Space(Protocol):
    """An embedding of clips."""

    def embed(self, clips: np.ndarray, sample_rate: int) -> np.ndarray:
        """Clips float32[b, n_samples] -> features float32[b, d, frames]."""


class Vggish(nn.Module):
    """VGGish: 128 values each 0.96 s (Hershey et al., CNN architectures for large-scale audio classification, 2017).

    Its input as AudioSet's authors make it: 16 kHz, windows of 25 ms every 10 ms, 64 mel bands, logarithms. The
    values are those before the principal components and the quantisation of AudioSet's own features. Parameters have
    the names of the package torchvggish, whose file of weights is the usual one.
    """

    RATE, WINDOW, HOP, N_FFT, FRAMES = 16000, 400, 160, 512, 96

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for block in ((64,), (128,), (256, 256), (512, 512)):
            for width in block:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            *(nn.Linear(512 * 6 * 4, 4096), nn.ReLU()),
            *(nn.Linear(4096, 4096), nn.ReLU()),
            *(nn.Linear(4096, 128), nn.ReLU()),
        )

    def forward(self, examples: Tensor) -> Tensor:
        """Log-mel examples float32[n, 96, 64] -> float32[n, 128]."""
        return self.embeddings(self.features(examples[:, None]).permute(0, 2, 3, 1).flatten(1))

    @torch.no_grad()
    def embed(self, clips: np.ndarray, sample_rate: int) -> np.ndarray:
        """See `Space.embed`; a clip shorter than an example is filled up with silence."""
        audio = torch.from_numpy(resampled(clips, sample_rate, self.RATE))
        least = self.WINDOW + (self.FRAMES - 1) * self.HOP
        audio = nn.functional.pad(audio, (0, max(0, least - audio.shape[-1])))
        frames = audio.unfold(-1, self.WINDOW, self.HOP) * torch.hann_window(self.WINDOW)
        mel = torch.fft.rfft(frames, self.N_FFT).abs() @ self.mel_bands().T
        examples = (mel + 0.01).log().unfold(1, self.FRAMES, self.FRAMES).transpose(2, 3)
        return self(examples.flatten(0, 1)).unflatten(0, examples.shape[:2]).mT.numpy()

    @classmethod
    def mel_bands(cls) -> Tensor:
        """Triangles on the mel scale m(f) = 1127 ln(1 + f / 700) from 125 to 7500 Hz: float32[64, 257]."""
        low, high = 1127 * np.log1p(np.array([125.0, 7500.0]) / 700)
        edges = np.linspace(low, high, 66)[:, None]
        bins = 1127 * np.log1p(np.linspace(0, cls.RATE / 2, cls.N_FFT // 2 + 1) / 700)
        rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
        falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
        return torch.from_numpy(np.clip(np.minimum(rising, falling), 0, None)).float()


class Clap:
    """CLAP (Wu et al., Large-scale contrastive language-audio pretraining, ICASSP 2023): 512 values per clip.

    Parameters
    ----------
    folder
        Of a model of `transformers`, such as a copy of laion/clap-htsat-unfused.
    """

    def __init__(self, folder: Path) -> None:
        try:
            with torchaudio_or_an_empty_module():
                from transformers import ClapFeatureExtractor, ClapModel
        except ImportError:
            raise UserError(
                "generation.spaces: clap needs transformers: run `pip install -c constraints.txt -e '.[clap]'`"
            ) from None
        try:
            self.extractor = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
            self.model = ClapModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(
                f"generation.weights.clap: {folder} holds no CLAP model of transformers ({error}): copy one there: "
                "model.safetensors, config.json, preprocessor_config.json"
            ) from None

    @torch.no_grad()
    def embed(self, clips: np.ndarray, sample_rate: int) -> np.ndarray:
        """See `Space.embed`: one frame."""
        rate = self.extractor.sampling_rate
        inputs = self.extractor(
            list(resampled(clips, sample_rate, rate)), sampling_rate=rate, return_tensors="pt"
        )
        audio = self.model.audio_model(**inputs).pooler_output
        return self.model.audio_projection(audio)[..., None].numpy()


def load_vggish(path: Path) -> Vggish:
    """VGGish with the weights in a file, safetensors or PyTorch's own."""
    model = Vggish()
    fill(model, read_weights(path, "generation.weights.vggish"), path)
    return model


SPACES: dict[LearnedSpace, Callable[[Path], Space]] = {"vggish": load_vggish, "clap": Clap}


@cache
def load_space(name: LearnedSpace, path: str | None) -> Space:
    """The space called `name`, from the user's weights; they are read once in a process.

    Raises
    ------
    UserError
        If the weights are not named, are missing or damaged, or a library is.
    """
    if path is None:
        raise UserError(
            f"generation.spaces: {name} needs learned weights, which do not ship with this project: name yours as "
            f"generation.weights.{name}, or take {name} out"
        )
    return SPACES[name](Path(path))


def resampled(clips: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """float32[b, n_samples] at another rate."""
    return np.stack([soxr.resample(clip, rate, wanted) for clip in clips]).astype(np.float32)

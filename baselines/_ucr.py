"""What `ucr`, `ucr_masked` and `ucr_pretrained` share: separation by a trained decomposition model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from baselines.base import Baseline
from ucr.codecs import Codec
from ucr.decomposition import DecompositionModel, load_decomposition
from ucr.errors import UserError
from ucr.models import device_named
from ucr.params import Params

PAPER = "Bindi & Esling, Unsupervised Composable Representations for Audio, ISMIR 2024"


class Decomposition(Baseline):
    """Separation by a trained decomposition model; all components and segments of a batch go through it together.

    Parameters
    ----------
    steps
        Sampling steps; the paper's are 50.
    seed
        Of the noise that every component starts from.
    batch_size
        Segments at once.
    device
        Where the model runs; None: the first GPU, or the CPU.
    """

    model: DecompositionModel
    codec: Codec

    def __init__(
        self, steps: int = 10, seed: int = 0, batch_size: int = 8, device: str | None = None
    ) -> None:
        if steps < 1:
            raise ValueError("steps must be at least 1")
        self.steps = steps
        self.seed = seed
        self.batch_size = batch_size
        self.device = device_named(device)

    def load(self, needs: Path, params: Params) -> None:
        self.model, setting, _ = load_decomposition(needs)
        if sorted(setting.sources) != sorted(params.sources):
            raise UserError(
                f"{needs} separates {'+'.join(setting.sources)}, not {params.task}: name other weights"
            )
        self.sample_rate = setting.sample_rate
        self.model.to(self.device)
        self.codec = setting.make_codec(needs, self.device)

    def separate(
        self, mixture: np.ndarray, sample_rate: int, n_sources: int, references: np.ndarray | None = None
    ) -> np.ndarray:
        return self.separate_batch(mixture[None], sample_rate, n_sources)[0]

    @torch.no_grad()
    def separate_batch(self, mixtures: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        if n_sources != self.model.n_components:
            raise ValueError(
                f"the model has {self.model.n_components} components, {n_sources} sources were asked for"
            )
        if sample_rate != self.sample_rate:
            raise ValueError(f"the model works at {self.sample_rate} Hz, the mixture has {sample_rate} Hz")
        audio = torch.from_numpy(mixtures).to(self.device)
        components = self.model.separate(self.codec.encode(audio), self.steps, self.seed)
        return self.codec.decode_components(components, audio).cpu().numpy()

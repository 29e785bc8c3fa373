"""What methods with published weights of four-source models share: their files, their rate, their stereo."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from torch import Tensor

from ucr.foundation.checkpoints import download_weights
from ucr.foundation.errors import UserError
from ucr.methods.contract import NotAvailable
from ucr.methods.trained import Trained

SOURCES = ("drums", "bass", "other", "vocals")  # MUSDB18's


class Pretrained(Trained):
    """A model of stereo music at 44.1 kHz, trained elsewhere on the four sources of MUSDB18.

    A mixture is resampled to its rate and given to both channels; an estimate is the mean of both, resampled back, on
    the scale of the sources. A source that the model does not know is its `other`; the task's `other` is the sum of all
    that the task does not name.

    Parameters
    ----------
    weights
        File or folder with the published weights; None downloads them once.
    batch_size, device
        As for `Trained`.
    """

    sample_rate = 44100
    model: Any

    def __init__(self, weights: str | None = None, batch_size: int = 8, device: str | None = None):
        super().__init__(batch_size, device)
        self.weights = None if weights is None else Path(weights)

    @abstractmethod
    def open_model(self) -> torch.nn.Module:
        """The model with its weights."""

    @abstractmethod
    def stems(self, mixtures: Tensor) -> Tensor:
        """float32[batch, 2, n_samples] -> float32[batch, 4, 2, n_samples], which add up to it, as `names` says."""

    @property
    @abstractmethod
    def names(self) -> Sequence[str]:
        """The model's sources in the order of its estimates."""

    def load(self, weights: Path, sources: list[str]) -> None:
        """Load the published weights; nothing under `weights` is read.

        Raises
        ------
        NotAvailable
            If they can be had neither from a file nor by the network, or tell these sources not apart.
        UserError
            If the file that the user names is missing or damaged.
        """
        wanted = [source if source in SOURCES else "other" for source in sources]
        if wanted.count("other") > 1:
            unknown = [source for source, name in zip(sources, wanted, strict=True) if name == "other"]
            raise NotAvailable(
                f"the model does not tell {' from '.join(unknown)}, all of which are its other"
            )
        self.model = self.open_model().to(self.device).eval()
        self.n_sources = len(sources)
        rest = [name for name in self.names if name == "other" or name not in sources]
        parts = [rest if source == "other" else [name] for source, name in zip(sources, wanted, strict=True)]
        self.shares = torch.tensor([[float(name in part) for name in self.names] for part in parts])

    def estimate(self, mixtures: Tensor) -> Tensor:
        """See `Trained.estimate`."""
        stems = self.stems(mixtures[:, None].expand(-1, 2, -1).contiguous())
        return self.n_sources * torch.einsum("sn,bnt->bst", self.shares.to(stems), stems.mean(dim=2))

    def separate_batch(self, mixtures: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """See `Baseline.separate_batch`."""
        faster = _resampled(mixtures, sample_rate, self.sample_rate)
        estimates = super().separate_batch(faster, self.sample_rate, n_sources)
        slower = _resampled(estimates.reshape(-1, faster.shape[1]), self.sample_rate, sample_rate)
        n_samples = mixtures.shape[1]
        fitted = np.pad(slower, ((0, 0), (0, max(0, n_samples - slower.shape[1]))))[:, :n_samples]
        return fitted.reshape(len(mixtures), n_sources, n_samples)


def _resampled(audio: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    return audio if rate == new_rate else np.ascontiguousarray(soxr.resample(audio.T, rate, new_rate).T)


def download(url: str, sha256: str = "") -> Path:
    """The published file at `url`, as `download_weights`; `NotAvailable` if it can't be had."""
    try:
        return download_weights(
            url, sha256, "give `weights` a file that you have, or try again with a connection"
        )
    except UserError as error:
        raise NotAvailable(str(error)) from None

"""What the methods `ucr` and `ucr_*` share: separation by a trained decomposition model."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ucr.codecs import Codec
from ucr.foundation.errors import UserError
from ucr.methods.trained import Trained
from ucr.model.decomposition import DecompositionModel, load_decomposition

from .shipped import task_weights

PAPER = "Bindi & Esling, Unsupervised Composable Representations for Audio, ISMIR 2024"


class Decomposition(Trained):
    """Separation by a trained decomposition model; all components of a batch go through it together.

    Parameters
    ----------
    steps
        Sampling steps; the paper's are 50.
    seed
        Of the noise that every component starts from.
    batch_size, device
        As for `Trained`.
    """

    model: DecompositionModel
    codec: Codec

    def __init__(
        self, steps: int = 10, seed: int = 0, batch_size: int = 8, device: str | None = None
    ) -> None:
        if steps < 1:
            raise ValueError("steps must be at least 1")
        super().__init__(batch_size, device)
        self.steps, self.seed = steps, seed

    def load(self, weights: Path, sources: list[str]) -> None:
        self.model, setting, _ = load_decomposition(weights)
        if sorted(setting.sources) != sorted(sources):
            found, wanted = ("+".join(names) for names in (setting.sources, sources))
            raise UserError(f"{weights} separates {found}, not {wanted}: name other weights")
        self.n_sources, self.sample_rate = len(setting.sources), setting.sample_rate
        self.model.to(self.device)
        self.codec = setting.make_codec(weights, self.device)

    def estimate(self, mixtures: Tensor) -> Tensor:
        """See `Trained.estimate`."""
        components = self.model.separate(self.codec.encode(mixtures), self.steps, self.seed)
        return self.codec.decode_components(components, mixtures)


class Shipped(Decomposition):
    """`ucr` with the weights of the run's task in the folder `needs`; takes the options of `ucr`."""

    def load(self, weights: Path, sources: list[str]) -> None:
        super().load(task_weights(weights, sources), sources)

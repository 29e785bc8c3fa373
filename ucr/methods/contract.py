"""The contract that every separation method of the benchmark keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ucr.foundation.errors import UserError

Kind = Literal["oracle", "bound", "blind", "unsupervised", "supervised"]
Weights = Literal["none", "trained", "shipped", "published"]


@dataclass(frozen=True)
class Meta:
    """A method's card.

    Attributes
    ----------
    name
        The method's name: its file's.
    kind
        `oracle` sees the true sources, `bound` separates nothing, `blind` learns nothing before it hears the
        mixture, `unsupervised` learnt to separate from mixtures alone (a codec of its own may have learnt from any
        sound), `supervised` was trained on true sources.
    paper
        Author, title, year and venue of where the method comes from.
    summary
        One line that says what it does.
    licence
        Of its code: this project's, and that of a package that does its work.
    weights
        `none`; `trained`: a folder of weights that a training made, for one task; `shipped`: a folder of such
        folders by their tasks, as `ucr/weights`; `published`: others' weights, which it downloads itself.
    shipped
        Of a `shipped` method, the folder in `ucr/weights` that holds its folders by their tasks.
    n_sources
        How many sources it can give; None: any number. With weights their own number counts.
    steps
        Whether it takes an option `steps`, of a sampler.
    """

    name: str
    kind: Kind
    paper: str
    summary: str
    licence: str = "MIT"
    weights: Weights = "none"
    shipped: str = ""
    n_sources: int | None = None
    steps: bool = False

    @property
    def labelled(self) -> bool:
        """Whether estimate i is source i; otherwise scoring finds the best permutation."""
        return self.kind in ("oracle", "supervised")

    def inapplicable(self, n_sources: int) -> str:
        """Why the method can't be asked for so many sources; empty if it can."""
        if self.n_sources in (None, n_sources):
            return ""
        return f"{self.name} gives {self.n_sources} sources, not {n_sources}"


class NotAvailable(UserError):
    """What `load` raises where a method lacks something that no stage makes, such as a download: a run goes on."""


class Loading:
    """What a method does once before it separates."""

    def load(self, weights: Path, sources: list[str]) -> None:
        """Load what the method needs beside the mixtures, such as trained weights; blind methods need nothing.

        Parameters
        ----------
        weights
            The path under `methods.NAME.needs` of the parameters; an empty one for a method without weights outside of
            a run, as in `ucr separate`.
        sources
            The task's, in its order.

        Raises
        ------
        NotAvailable
            If what it needs can be had neither here nor by the network, or knows none of these sources.
        """


class Baseline(Loading, ABC):
    """One separation method.

    A method's module has `META` (a `Meta`) and one subclass named `Method`. Its constructor takes the options found
    under `methods.NAME` in `params.yaml`, `code` and `needs` left out, as keywords.
    """

    @abstractmethod
    def separate(self, mixture: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """Separate one mixture.

        Parameters
        ----------
        mixture : float32[n_samples]
            Mean of the sources. It must not be changed.
        sample_rate
            In Hz.
        n_sources
            How many estimates to return, what `Meta.n_sources` allows. A method that fails raises `ValueError`.

        Returns
        -------
        float32[n_sources, n_samples]
            Estimates on the scale of the mixture: they add up to about `n_sources` times the mixture
            (the mixture is the mean of the sources).
        """

    def separate_batch(self, mixtures: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """Separate float32[batch, n_samples] into float32[batch, n_sources, n_samples]; override if faster."""
        return np.stack([self.separate(mixture, sample_rate, n_sources) for mixture in mixtures])

    def products(self, n_samples: int) -> int:
        """Multiply-accumulates of separating a mixture that no counter sees: of NumPy's products, by formulas."""
        return 0


class Oracle(Loading, ABC):
    """A method that sees the true sources: a limit of others, of no use on songs. Otherwise as `Baseline`."""

    @abstractmethod
    def separate(self, mixture: np.ndarray, sample_rate: int, references: np.ndarray) -> np.ndarray:
        """Separate one mixture, knowing its sources.

        Parameters
        ----------
        mixture : float32[n_samples]
            Mean of the sources. Neither array must be changed.
        sample_rate
            In Hz.
        references : float32[n_sources, n_samples]
            The true sources.

        Returns
        -------
        float32[n_sources, n_samples]
            As `Baseline.separate`, in the order of the references.
        """


def check_estimates(estimates: np.ndarray, *shape: int) -> None:
    """Raise `ValueError` for what a method returned if it is not float32 of this shape, with finite samples."""
    if not isinstance(estimates, np.ndarray):
        raise ValueError(f"returned {type(estimates).__name__}, not a NumPy array float32{list(shape)}")
    if estimates.shape != shape or estimates.dtype != np.float32:
        raise ValueError(f"returned {estimates.dtype}{list(estimates.shape)}, not float32{list(shape)}")
    if not np.isfinite(estimates).all():
        raise ValueError("returned samples that are not finite")

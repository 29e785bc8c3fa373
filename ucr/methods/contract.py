"""The contract that every separation method of the benchmark keeps, and how a method is found by its name."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from ucr.foundation.errors import UserError

if TYPE_CHECKING:
    from ucr.foundation.params import Params

FOLDER = Path(__file__).parent
NOT_METHODS = {"__init__", "base"}
Kind = Literal["oracle", "bound", "blind", "supervised", "ours"]


@dataclass(frozen=True)
class Meta:
    """A method's card.

    Attributes
    ----------
    name
        The method's name: its file's, its key's under `methods` in `params.yaml`.
    kind
        `oracle` sees the true sources, `bound` separates nothing, `blind` learns nothing, `supervised`
        was trained on true sources, `ours` learnt to separate from mixtures only; a codec of its own may
        have learnt from any sound.
    paper
        Author, title, year and venue of where the method comes from.
    summary
        One line that says what it does.
    licence
        Of its code: this project's, and that of a package that does its work.
    """

    name: str
    kind: Kind
    paper: str
    summary: str
    licence: str = "MIT"

    @property
    def labelled(self) -> bool:
        """Whether estimate i is source i; otherwise scoring finds the best permutation."""
        return self.kind in ("oracle", "supervised")


class Baseline(ABC):
    """One separation method.

    A method's module has `META` (a `Meta`) and one subclass named `Method`. Its constructor takes the
    options found under `methods.NAME` in `params.yaml`, `needs` left out, as keywords.
    """

    def load(self, needs: Path, params: Params) -> None:  # noqa: B027  (blind methods have nothing to load)
        """Load what the method needs beside the mixtures, such as trained weights; called once before separating.

        Parameters
        ----------
        needs
            The path under `methods.NAME.needs`.
        params
            The whole parameters of the run.
        """

    @abstractmethod
    def separate(
        self, mixture: np.ndarray, sample_rate: int, n_sources: int, references: np.ndarray | None = None
    ) -> np.ndarray:
        """Separate one mixture.

        Parameters
        ----------
        mixture : float32[n_samples]
            Mean of the sources. It must not be changed.
        sample_rate
            In Hz.
        n_sources
            How many estimates to return. A method that can't give as many raises `ValueError` saying so.
        references : float32[n_sources, n_samples], optional
            The true sources. Given to oracles only; None to every other method.

        Returns
        -------
        float32[n_sources, n_samples]
            Estimates on the scale of the mixture: they add up to about `n_sources` times the mixture
            (the mixture is the mean of the sources).
        """

    def separate_batch(self, mixtures: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """Separate float32[batch, n_samples] into float32[batch, n_sources, n_samples]; override if faster."""
        return np.stack([self.separate(mixture, sample_rate, n_sources) for mixture in mixtures])


def check_estimates(estimates: np.ndarray, *shape: int) -> None:
    """Raise `ValueError` for what a method returned if it is not float32 of this shape, with finite samples."""
    if not isinstance(estimates, np.ndarray):
        raise ValueError(f"returned {type(estimates).__name__}, not a NumPy array float32{list(shape)}")
    if estimates.shape != shape or estimates.dtype != np.float32:
        raise ValueError(f"returned {estimates.dtype}{list(estimates.shape)}, not float32{list(shape)}")
    if not np.isfinite(estimates).all():
        raise ValueError("returned samples that are not finite")


def names() -> list[str]:
    """Names of the methods that have a file here, sorted; a leading underscore hides one."""
    return sorted(
        path.stem
        for path in FOLDER.glob("*.py")
        if path.stem not in NOT_METHODS and not path.stem.startswith("_")
    )


def method_file(name: str) -> Path:
    """Where the method called `name` is; a `UserError` if there is no such file."""
    path = FOLDER / f"{name}.py"
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or name in NOT_METHODS or not path.is_file():
        raise UserError(f"no method is called {name!r}: baselines/ has {', '.join(names())}")
    return path


def import_method(name: str) -> tuple[Meta, type[Baseline]]:
    """Find the method called `name`.

    Returns
    -------
    meta, class

    Raises
    ------
    UserError
        If there is no such file, if importing it fails, or if it does not keep the contract.
    """
    path = method_file(name)
    try:
        module = sys.modules.get(f"baselines.{name}") or importlib.import_module(f"baselines.{name}")
    except Exception as error:  # a plug-in may fail in any way
        raise UserError(f"{path} fails to import ({type(error).__name__}: {error}): mend it") from error
    meta, method = getattr(module, "META", None), getattr(module, "Method", None)
    if not isinstance(meta, Meta) or not (isinstance(method, type) and issubclass(method, Baseline)):
        raise UserError(f"{path} needs a META (ucr.methods.contract.Meta) and a class Method(Baseline)")
    if meta.name != name.lstrip("_"):
        raise UserError(f"{path}: META.name is {meta.name!r}, which must be the file's name, {name!r}")
    if meta.kind not in get_args(Kind):
        raise UserError(
            f"{path}: META.kind is {meta.kind!r}, which must be one of {', '.join(get_args(Kind))}"
        )
    if missing := sorted(getattr(method, "__abstractmethods__", ())):
        raise UserError(f"{path}: Method lacks {', '.join(missing)}: write it")
    return meta, method


def make_method(name: str, options: dict) -> tuple[Meta, Baseline]:
    """Build the method called `name` with its options (`needs` is left out).

    Raises
    ------
    UserError
        As `import_method`, and for an option that the method doesn't take.
    """
    meta, method = import_method(name)
    chosen = {key: value for key, value in options.items() if key != "needs"}
    known = inspect.signature(method)
    try:
        known.bind(**chosen)
        return meta, method(**chosen)
    except Exception as error:  # a plug-in may fail in any way
        takes = ", ".join(known.parameters) or "no options"
        raise UserError(f"methods.{name} in the params file: {error} ({name} takes {takes})") from None


def check_methods(params: Params) -> None:
    """Find mistakes in the methods of `params` before hours of work.

    Raises
    ------
    UserError
        As `make_method`, and if what a method needs is there neither now nor after the trainings.
    """
    trained = {Path("models") / name for name in ("decomposition", "prior", *params.supervised)}
    for name in params.supervised:
        import_method(name)
    for name, options in params.methods.items():
        make_method(name, options)
        needs = Path(options["needs"])
        if needs not in {Path("segments"), *trained} and not needs.exists():
            raise UserError(
                f"methods.{name}.needs: {needs} does not exist: choose segments, "
                f"{', '.join(sorted(map(str, trained)))} or the path of weights"
            )


def load_method(name: str, params: Params) -> tuple[Meta, Baseline]:
    """Build the method called `name` as `params` say, and load what it needs.

    Raises
    ------
    UserError
        As `make_method`, and if `params` have no such method or what it needs is missing or of other sources.
    """
    options = params.methods.get(name)
    if options is None:
        raise UserError(
            f"params.yaml: methods lacks {name!r}: add it, or choose from {', '.join(params.methods)}"
        )
    meta, method = make_method(name, options)
    needs = Path(options["needs"])
    if not needs.exists():
        raise UserError(
            f"{needs} does not exist, which {name} needs: run its stage (`dvc repro`) or mend the path"
        )
    method.load(needs, params)
    return meta, method

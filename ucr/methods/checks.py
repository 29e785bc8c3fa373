"""Checks of the contract in `ucr.methods.contract` on any loaded method, for tests and `benchmarks.check`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ucr.methods.contract import Baseline, Meta, Oracle, check_estimates

SCALE = 0.2  # how far the estimates' sum may be from the sources' sum, as a share of it
BATCH_DIFFERENCE = 1e-4  # between samples of a mixture separated alone and in a batch


class Broken(Exception):
    """How a method breaks the contract, in one sentence."""


class Skipped(Exception):
    """Why a check does not apply to a method."""


@dataclass(frozen=True)
class Subject:
    """A loaded method, and music to check it with.

    Attributes
    ----------
    meta, method
        Its card, and the method.
    sources : float32[n_sources, n_samples]
        Two or more, of at least 1.1 s.
    sample_rate
        In Hz.
    """

    meta: Meta
    method: Baseline | Oracle
    sources: np.ndarray
    sample_rate: int

    def separated(self, sources: np.ndarray) -> np.ndarray:
        """Estimates from the mean of `sources`, which only an oracle sees."""
        return self._call(sources)[0]

    def whole(self, sources: np.ndarray) -> np.ndarray:
        """The same, `Broken` if they are not float32 of the sources' shape with finite samples."""
        estimates = self.separated(sources)
        try:
            check_estimates(estimates, *sources.shape)
        except ValueError as error:
            raise Broken(f"separate {error}") from None
        return estimates

    @property
    def second(self) -> np.ndarray:
        """The first second of the sources."""
        return self.sources[:, : self.sample_rate]

    @cached_property
    def first(self) -> tuple[np.ndarray, bool]:
        """What `separate` returned for that second, and whether it left its input as it was."""
        return self._call(self.second)

    def _call(self, sources: np.ndarray) -> tuple[np.ndarray, bool]:
        mixture, true = sources.mean(axis=0), sources.copy()
        given = mixture.copy()
        if isinstance(self.method, Oracle):
            estimates = self.method.separate(given, self.sample_rate, true)
        else:
            estimates = self.method.separate(given, self.sample_rate, len(sources))
        return estimates, np.array_equal(given, mixture) and np.array_equal(true, sources)


def _card(subject: Subject) -> str:
    meta = subject.meta
    for key in ("paper", "summary", "licence"):
        if not getattr(meta, key).strip() or "\n" in getattr(meta, key):
            raise Broken(f"META.{key} must be one line of text")
    if not type(subject.method).__doc__:
        raise Broken("the class Method has no docstring")
    return "it names its paper and licence, and says what it does"


def _shape(subject: Subject) -> str:
    estimates, expected = subject.first[0], subject.second.shape
    if not isinstance(estimates, np.ndarray):
        raise Broken(f"separate returned {type(estimates).__name__}, not a NumPy array")
    if estimates.shape != expected:
        raise Broken(f"separate returned an array of shape {estimates.shape}, not {expected}")
    return f"{expected[0]} sources of {expected[1]} samples come back as {expected}"


def _dtype(subject: Subject) -> str:
    if (dtype := getattr(subject.first[0], "dtype", None)) != np.float32:
        raise Broken(f"separate returned {dtype}, not float32")
    return "samples are float32"


def _finite(subject: Subject) -> str:
    if wrong := int(np.sum(~np.isfinite(subject.first[0]))):
        raise Broken(f"{wrong} samples are NaN or infinite")
    return "no sample is NaN or infinite"


def _any_length(subject: Subject) -> str:
    rate = subject.sample_rate
    lengths = [
        rate + 1,
        (rate // 512 + 1) * 512 + 1,
    ]  # a second, and a number of the STFT's hops, each and one more
    for length in lengths:
        subject.whole(subject.sources[:, :length])
    return f"mixtures of {' and '.join(map(str, lengths))} samples come back whole"


def _twice_the_same(subject: Subject) -> str:
    first, again = subject.first[0], subject.separated(subject.second)
    if not np.array_equal(first, again, equal_nan=True):
        raise Broken(
            f"two calls with one mixture differ by up to {np.abs(first - again).max():.1e}: seed what is random"
        )
    return "two calls with one mixture give the same samples"


def _input_unchanged(subject: Subject) -> str:
    if not subject.first[1]:
        raise Broken("separate changed the array that it was given: copy it first")
    return "the mixture is as it was"


def _a_segment(subject: Subject) -> str:
    subject.whole(subject.sources)
    return f"a segment of {subject.sources.shape[1] / subject.sample_rate:.3g} s comes back whole"


def _silence(subject: Subject) -> str:
    subject.whole(np.zeros_like(subject.second))
    return "silence comes back as numbers"


def _batch(subject: Subject) -> str:
    method, sources = subject.method, subject.second
    if isinstance(method, Oracle):
        raise Skipped("oracles take no batches")
    if type(method).separate_batch is Baseline.separate_batch:
        return "batches are separated one by one"
    mixtures = np.stack([sources.mean(axis=0), sources[:, ::-1].mean(axis=0)])
    together = method.separate_batch(mixtures, subject.sample_rate, len(sources))
    try:
        check_estimates(together, len(mixtures), *sources.shape)
    except ValueError as error:
        raise Broken(f"separate_batch {error}") from None
    apart = np.stack([subject.first[0], subject.separated(sources[:, ::-1])])
    if (difference := float(np.abs(together - apart).max())) > BATCH_DIFFERENCE:
        raise Broken(f"a batch of two differs by up to {difference:.1e} from its mixtures one by one")
    return f"a batch of two is its mixtures one by one, to {difference:.0e}"


def _scale(subject: Subject) -> str:
    found = subject.first[0].sum(axis=0).astype(np.float64)
    expected = subject.second.sum(axis=0).astype(np.float64)
    gain = (found @ expected) / (expected @ expected)
    said = f"the estimates add up to {gain:.2f} times the sum of the sources"
    if abs(gain - 1) > SCALE:
        raise Broken(f"{said}: the mixture is their mean, so scale the estimates up to it")
    return said


def _three_sources(subject: Subject) -> str:
    if subject.meta.inapplicable(3) or subject.meta.weights != "none":
        raise Skipped("its card or its weights fix the number of sources")
    third = np.roll(subject.second[-1:], subject.sample_rate // 3, axis=1)
    subject.whole(np.concatenate([subject.second[:2], third]))
    return "three sources come back as three"


CHECKS: dict[str, Callable[[Subject], str]] = {
    "card": _card,
    "shape": _shape,
    "dtype": _dtype,
    "finite": _finite,
    "any length": _any_length,
    "a segment": _a_segment,
    "twice the same": _twice_the_same,
    "mixture unchanged": _input_unchanged,
    "silence": _silence,
    "batch": _batch,
    "scale": _scale,
    "three sources": _three_sources,
}


@dataclass(frozen=True)
class Result:
    """What came of a check: `ok`, `failed` or `skipped`, and a sentence that says what was found."""

    name: str
    status: str
    sentence: str


def check(subject: Subject, name: str) -> Result:
    """Run the check called `name`, a key of `CHECKS`; a method may fail it by any exception."""
    try:
        return Result(name, "ok", CHECKS[name](subject))
    except Skipped as reason:
        return Result(name, "skipped", str(reason))
    except Broken as reason:
        return Result(name, "failed", str(reason))
    except Exception as error:
        return Result(name, "failed", " ".join(f"separate raised {type(error).__name__}: {error}".split()))


def level_dependence(subject: Subject) -> float:
    """By how much estimates of the music 6 dB quieter differ from the estimates 6 dB quieter, in dB of these."""
    quieter = np.float64(subject.separated(subject.second / 2))
    expected = np.float64(subject.first[0]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(10 * np.log10(np.sum((quieter - expected) ** 2) / np.sum(expected**2)))

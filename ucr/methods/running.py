"""A loaded method at work on segments: in batches or one by one, timed; a segment that fails costs itself only."""

from __future__ import annotations

import contextlib
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ucr.data.held_out import HeldOut, held_out_stores
from ucr.data.segments import Segment
from ucr.foundation.errors import UserError
from ucr.foundation.params import Params
from ucr.methods.contract import Baseline, Meta, NotAvailable, Oracle, check_estimates
from ucr.methods.registry import load_method, make_method

SEGMENTS = Path("segments")
BATCH = 8  # of a method that separates batches and has no `batch_size` of its own
WARM_UP_SECONDS = 1.0


@dataclass(frozen=True)
class Outcome:
    """What became of a segment; `estimates` is None where it failed, for `reason`, raised at `traceback`."""

    segment: str
    estimates: np.ndarray | None
    reason: str
    seconds: float
    batch: int
    traceback: str = ""


@dataclass(frozen=True)
class MethodRun:
    """A loaded method and the segments that it shall separate; `lacks` says why it could not be loaded."""

    meta: Meta
    method: Baseline | Oracle
    store: HeldOut
    lacks: str = ""

    @property
    def absence(self) -> tuple[str, str]:
        """`not applicable` or `not available`, and the reason; empty if the method can be run."""
        if reason := self.meta.inapplicable(len(self.store.sources)):
            return "not applicable", reason
        return ("not available", self.lacks) if self.lacks else ("", "")

    @property
    def batched(self) -> bool:
        """Whether the method has a way of its own to separate several mixtures at once."""
        return (
            isinstance(self.method, Baseline)
            and type(self.method).separate_batch is not Baseline.separate_batch
        )

    def chunks(self) -> list[range]:
        """Indices of the segments of each call, which are of one set."""
        size = getattr(self.method, "batch_size", BATCH) if self.batched else 1
        return [
            range(start, min(start + size, places.stop))
            for places in self.store.sets.values()
            for start in range(places.start, places.stop, size)
        ]

    def run(self, chunk: range) -> list[Outcome]:
        """Separate some segments in one call or, if it fails, in one call each.

        Raises
        ------
        UserError
            If a mixture holds NaN or infinite samples.
        """
        segments = [self.store[index] for index in chunk]
        for segment in segments:
            if not np.isfinite(segment.mixture).all():
                raise UserError(f"{SEGMENTS}: {segment.name} holds samples that are not finite: cut it again")
        return self._attempt(segments)

    def warm_up(self) -> None:
        """Separate a second of the first segment, so that no segment's time holds one-off costs."""
        length = round(WARM_UP_SECONDS * self.store.sample_rate)
        first = self.store[0]
        with contextlib.suppress(Exception):  # what fails here fails again where it is recorded
            self._separate(
                [replace(first, mixture=first.mixture[:length], sources=first.sources[:, :length])]
            )

    def _attempt(self, segments: list[Segment]) -> list[Outcome]:
        try:
            estimates, seconds = self._separate(segments)
        except Exception as error:  # a method may fail in any way
            if len(segments) > 1:
                return [outcome for segment in segments for outcome in self._attempt([segment])]
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            return [Outcome(segments[0].name, None, reason, np.nan, 1, traceback.format_exc())]
        share, size = seconds / len(segments), len(segments)
        return [Outcome(s.name, e, "", share, size) for s, e in zip(segments, estimates, strict=True)]

    def _separate(self, segments: list[Segment]) -> tuple[np.ndarray, float]:
        mixtures = np.stack([segment.mixture for segment in segments])
        rate, n_sources = self.store.sample_rate, len(self.store.sources)
        if reason := self.meta.inapplicable(n_sources):
            raise ValueError(reason)
        references = segments[0].sources.copy()
        began = time.perf_counter()
        if isinstance(self.method, Oracle):
            estimates = self.method.separate(mixtures[0], rate, references)[None]
        elif self.batched:
            estimates = self.method.separate_batch(mixtures, rate, n_sources)
        else:
            estimates = self.method.separate(mixtures[0], rate, n_sources)[None]
        seconds = time.perf_counter() - began
        check_estimates(estimates, len(segments), n_sources, mixtures.shape[-1])
        return estimates, seconds


def open_run(name: str, params: Params) -> MethodRun:
    """Build and load the method called `name`, if it is available, and open the test segments.

    Raises
    ------
    UserError
        If the parameters, the segments and the method don't go together, or something is missing.
    """
    store = HeldOut(held_out_stores(SEGMENTS))
    if list(store.sources) != params.sources:
        holds, asks = ", ".join(store.sources), ", ".join(params.sources)
        raise UserError(f"{SEGMENTS} holds {holds} but params.yaml asks for {asks}: run `dvc repro segments`")
    try:
        return MethodRun(*load_method(name, params), store)
    except NotAvailable as error:
        return MethodRun(*make_method(name, params.methods[name]), store, str(error))

"""Stage `separate@METHOD`: test mixtures -> estimates/METHOD, timed; a segment that fails costs itself only."""

from __future__ import annotations

import argparse
import contextlib
import logging
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from eval.provenance import code_version, libraries, machine
from ucr.data.segments import Segment, SegmentStore
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import replacing, write_audio, write_csv, write_json
from ucr.foundation.params import Params, load_params
from ucr.foundation.workers import in_workers
from ucr.methods.contract import Baseline, Meta, check_estimates, load_method

SEGMENTS = Path("segments")
OUT = Path("estimates")
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
class Work:
    """A loaded method and the segments that it shall separate."""

    meta: Meta
    method: Baseline
    store: SegmentStore

    @property
    def batched(self) -> bool:
        """Whether the method has a way of its own to separate several mixtures at once."""
        return type(self.method).separate_batch is not Baseline.separate_batch

    def chunks(self) -> list[range]:
        """Indices of the segments of each call."""
        size = getattr(self.method, "batch_size", BATCH) if self.batched else 1
        return [range(start, min(start + size, len(self.store))) for start in range(0, len(self.store), size)]

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
        oracle = self.meta.kind == "oracle"
        references = segments[0].sources.copy() if oracle else None
        began = time.perf_counter()
        if self.batched:
            estimates = self.method.separate_batch(mixtures, rate, n_sources)
            seconds = time.perf_counter() - began
            check_estimates(estimates, len(segments), n_sources, mixtures.shape[-1])
            return estimates, seconds
        estimate = self.method.separate(mixtures[0], rate, n_sources, references)
        seconds = time.perf_counter() - began
        check_estimates(estimate, n_sources, mixtures.shape[-1])
        return estimate[None], seconds


def make_work(name: str, params: Params) -> Work:
    """Build and load the method called `name`, and open the test segments.

    Raises
    ------
    UserError
        If the parameters, the segments and the method don't go together, or something is missing.
    """
    store = SegmentStore(SEGMENTS, "test")
    if list(store.sources) != params.sources:
        holds, asks = ", ".join(store.sources), ", ".join(params.sources)
        raise UserError(f"{SEGMENTS} holds {holds} but params.yaml asks for {asks}: run `dvc repro segments`")
    return Work(*load_method(name, params), store)


@lru_cache(maxsize=1)
def _own_work(name: str, params: str) -> Work:
    """One worker process's own method and segments, warmed up."""
    logging.captureWarnings(True)
    work = make_work(name, Params.model_validate_json(params))
    work.warm_up()
    return work


def _run_in_worker(name: str, params: str, chunk: range) -> list[Outcome]:
    return _own_work(name, params).run(chunk)


def outcomes(name: str, params: Params, work: Work) -> Iterator[Outcome]:
    """Separate every segment, in order.

    Methods that separate batches run in this process with all threads, the others in one process a
    core with one thread each.
    """
    if work.batched:
        work.warm_up()
        for chunk in work.chunks():
            yield from work.run(chunk)
        return
    recipe = params.model_dump_json()
    for results in in_workers(_run_in_worker, [(name, recipe, chunk) for chunk in work.chunks()]):
        yield from results


def separate(name: str, params: Params) -> None:
    """Write the estimates of the method called `name` for every test segment, with times and card."""
    work = make_work(name, params)
    sources, rate = list(work.store.sources), work.store.sample_rate
    labels = sources if work.meta.labelled else [f"component_{i}" for i in range(len(sources))]
    rows, first_failure = [], ""
    with replacing(OUT / name) as folder:
        folder.mkdir()
        for outcome in tqdm(
            outcomes(name, params, work), f"separating {name}", len(work.store), unit="segment"
        ):
            status = "failed" if outcome.estimates is None else "ok"
            rows.append((outcome.segment, status, outcome.reason, outcome.seconds, outcome.batch))
            first_failure = first_failure or outcome.traceback
            if outcome.estimates is not None:
                for label, estimate in zip(labels, outcome.estimates, strict=True):
                    write_audio(folder / outcome.segment / f"{label}.wav", estimate, rate)
        timing = pd.DataFrame(rows, columns=["segment", "status", "reason", "seconds", "batch"])
        write_csv(folder / "timing.csv", timing.round({"seconds": 6}))
        if first_failure:
            (folder / "traceback.txt").write_text(first_failure)
        card = {
            "card": {**asdict(work.meta), "labelled": work.meta.labelled},
            "options": params.methods[name],
            "sources": sources,
            "sample_rate": rate,
            "segments": work.store.fingerprint,
            "provenance": {"code": code_version(), "libraries": libraries(), "machine": machine()},
        }
        write_json(folder / "method.json", card)
    failed = timing[timing.status == "failed"]
    if len(failed):
        logging.warning(
            f"{name} failed on {len(failed)} of {len(timing)} segments, first with {failed.reason.iloc[0]!r}: "
            f"see {OUT / name / 'timing.csv'} and traceback.txt"
        )


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.separate", description=__doc__)
    parser.add_argument("method", help="a key of `methods` in params.yaml")
    separate(parser.parse_args().method, load_params())


if __name__ == "__main__":
    from pipelines import separate as stage  # worker processes find functions by a name other than __main__

    stage.main()

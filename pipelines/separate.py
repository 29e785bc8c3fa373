"""Stage `separate@METHOD`: test mixtures -> estimates/METHOD, timed; a segment that fails costs itself only."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ucr.foundation.errors import command
from ucr.foundation.files import replacing, write_audio, write_csv, write_json
from ucr.foundation.hashes import files_hash, values_hash
from ucr.foundation.params import Params, load_params
from ucr.foundation.provenance import made_with
from ucr.foundation.workers import in_workers
from ucr.methods.running import MethodRun, Outcome, open_run

OUT = Path("estimates")


@lru_cache(maxsize=1)
def _own_work(name: str, params: str) -> MethodRun:
    """One worker process's own method and segments, warmed up."""
    logging.captureWarnings(True)
    work = open_run(name, Params.model_validate_json(params))
    work.warm_up()
    return work


def _run_in_worker(name: str, params: str, chunk: range) -> list[Outcome]:
    return _own_work(name, params).run(chunk)


def outcomes(name: str, params: Params, work: MethodRun) -> Iterator[Outcome]:
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
    work = open_run(name, params)
    sources, rate = list(work.store.sources), work.store.sample_rate
    labels = sources if work.meta.labelled else [f"component_{i}" for i in range(len(sources))]
    rows, first_failure = [], ""
    absence, why = work.absence
    results = outcomes(name, params, work) if not absence else ()
    with replacing(OUT / name) as folder:
        folder.mkdir()
        if absence:
            rows = [(segment, absence, why, np.nan, 1) for segment in work.store.names]
        for outcome in tqdm(results, f"separating {name}", len(work.store), unit="segment"):
            status = "failed" if outcome.estimates is None else "ok"
            rows.append((outcome.segment, status, outcome.reason, outcome.seconds, outcome.batch))
            first_failure = first_failure or outcome.traceback
            if outcome.estimates is not None:
                for label, estimate in zip(labels, outcome.estimates, strict=True):
                    write_audio(folder / outcome.segment / f"{label}.wav", estimate, rate)
        made = values_hash([files_hash(folder), [row[:3] for row in rows]])
        timing = pd.DataFrame(rows, columns=["segment", "status", "reason", "seconds", "batch"])
        write_csv(folder / "timing.csv", timing.round({"seconds": 6}))
        if first_failure:
            (folder / "traceback.txt").write_text(first_failure)
        card = {
            "card": {**asdict(work.meta), "labelled": work.meta.labelled},
            "options": params.methods[name],
            "sources": sources,
            "sample_rate": rate,
            "segments": work.store.fingerprints,
            "hash": made,
            "provenance": made_with(),
        }
        write_json(folder / "method.json", card)
    if absence:
        logging.warning(f"{absence}: {why}")
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

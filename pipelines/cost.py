"""Stage `cost@METHOD`: what separating by a method costs on this machine -> costs/METHOD.json."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

import numpy as np

from eval import cost
from ucr.foundation.errors import command
from ucr.foundation.files import write_json
from ucr.foundation.params import Params, load_params
from ucr.foundation.provenance import libraries, machine
from ucr.methods.contract import Oracle, check_estimates
from ucr.methods.running import open_run
from ucr.weights import weights_of

OUT = Path("costs")
BATCH = 8


def measure(name: str, params: Params) -> dict:
    """Measure one method in this process, which should be a fresh one: its peak memory counts.

    A method that can't separate these segments, or is not available, has no times; `failed` says why.
    """
    work = open_run(name, params)
    needs = Path(params.methods[name]["needs"])
    needs = weights_of(params.task, needs) or needs
    store = work.store
    rate, n_sources = store.sample_rate, len(store.sources)
    first = next(iter(store.sets.values()))  # a set's segments are equally long
    sources = np.stack([store[first[i % len(first)]].sources for i in range(BATCH)])
    seconds = sources.shape[-1] / rate

    def separate(count: int) -> np.ndarray:
        references = sources[:count].copy()
        mixtures = references.mean(axis=1)
        if isinstance(work.method, Oracle):
            calls = zip(mixtures, references, strict=True)
            return np.stack([work.method.separate(mixture, rate, true) for mixture, true in calls])
        return work.method.separate_batch(mixtures, rate, n_sources)

    result: dict = {"method": name, "kind": work.meta.kind, "failed": ": ".join(filter(None, work.absence))}
    if result["failed"]:
        return result
    try:
        check_estimates(separate(1), 1, *sources.shape[1:])
    except Exception as error:  # a method may fail in any way
        return result | {"failed": " ".join(f"{type(error).__name__}: {error}".split())}
    result["peak_memory_mb"] = round(cost.peak_memory_mb(), 1)
    result["real_time_factor_1"] = cost.real_time_factor(
        cost.repeated(lambda: separate(1), _synchronise), seconds
    )
    if work.batched:
        separate(BATCH)
        result["real_time_factor_8"] = cost.real_time_factor(
            cost.repeated(lambda: separate(BATCH), _synchronise), BATCH * seconds
        )
    result["parameters"] = cost.parameter_count(work.method)
    macs = cost.multiply_accumulates(lambda: separate(1))
    if not isinstance(work.method, Oracle):
        macs += work.method.products(sources.shape[-1])
    result["macs_per_second"] = round(macs / seconds) or None
    result |= cost.training_cost(needs, params.cost.watts)
    result["size_on_disk_mb"] = round(cost.size_on_disk_mb(needs), 3)
    return result


def _synchronise() -> None:
    with contextlib.suppress(ImportError):
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()


def _setting() -> dict:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {
        "device": device,
        "threads": torch.get_num_threads(),
        "machine": machine(),
        "libraries": libraries(),
    }


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.cost", description=__doc__)
    parser.add_argument("method", help="a key of `methods` in params.yaml")
    name = parser.parse_args().method
    result = measure(name, load_params())
    write_json(OUT / f"{name}.json", result | _setting())


if __name__ == "__main__":
    main()

"""Mean SI-SDR and SI-SIR of methods on a split of a task's segments -> benchmarks/tasks.csv.

    python -m pipelines.preset params/weights/TASK.yaml -- dvc repro segments
    python -m pipelines.preset params/weights/TASK.yaml -- python -m benchmarks.tasks METHOD... [--split validation]

The segments are those in `segments/` of the task's folder, `runs/TASK`. Rows of other tasks stay in the table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from benchmarks.projects import keep_rows
from eval.quick import mean_si_scores
from ucr.data.segments import SegmentStore
from ucr.foundation.errors import UserError, command
from ucr.foundation.params import load_params
from ucr.methods.registry import load_method

SEGMENTS = Path("segments")
TABLE = Path("benchmarks/tasks.csv")
METRICS = ("si_sdr", "si_sir")


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tasks", description=__doc__.split("\n")[0])
    parser.add_argument(
        "methods", nargs="+", metavar="METHOD", help="unlabelled ones among `methods` in params.yaml"
    )
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    arguments = parser.parse_args()
    store = SegmentStore(SEGMENTS, arguments.split)
    params = load_params().model_copy(update={"sources": store.sources})
    rows = []
    for name in arguments.methods:
        meta, method = load_method(name, params)
        if meta.labelled:
            raise UserError(f"{name} knows the sources: name blind or unsupervised methods")
        means, _ = mean_si_scores(method.separate_batch, store)
        rows += [
            {"task": params.task, "split": arguments.split, "method": name, "n": len(store), "source": source}
            | {metric: means[metric][source] for metric in METRICS}
            for source in store.sources
        ]
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    order = table.sort_values(["task", "source", "si_sdr"], ascending=[True, True, False])
    keep_rows(order, TABLE, "task", "split", "method")


if __name__ == "__main__":
    main()

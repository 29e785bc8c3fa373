"""What a training step costs: eager and compiled, on one process and on more -> benchmarks/training.csv.

    python -m benchmarks.training [--steps 30] [--processes 1 2] [--trainings decomposition conv_tasnet]

Needs `segments/` and `latents/`; run it on an otherwise idle machine. Every row is a training of its own by
`ucr.training.trainer.train`, with the parameters of `params.yaml`, started anew: so many steps to warm up, and to
compile, then as many that count. On N processes each takes its share of the same batch. A training that is in bfloat16
on this processor has a row in float32 too, as on others. `peak_memory_mb` is that of the tensors on a GPU, or the first
process's own on the CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from eval.cost import peak_memory_mb
from ucr.data.segments import SegmentStore
from ucr.foundation.checkpoints import default_device
from ucr.foundation.errors import command
from ucr.foundation.files import write_csv, write_json
from ucr.foundation.params import load_params
from ucr.methods.registry import find
from ucr.training import decomposition, supervised
from ucr.training.latents import open_latents
from ucr.training.results import fit_threads
from ucr.training.trainer import Job, finish, in_bfloat16, is_first, train

TABLE = Path("benchmarks/training.csv")
DECOMPOSITION = "decomposition"


def make_job(name: str) -> Job:
    """The training called `name` as its stage makes it; the decomposition model's grouping, which takes minutes
    and doesn't change the work of a step, is replaced by even shares."""
    params = load_params()
    if name != DECOMPOSITION:
        splits = (SegmentStore("segments", split) for split in ("train", "validation"))
        return supervised.make_job(name, find(name).method, params, *splits)[0]
    torch.manual_seed(params.seed)
    training, validation = (open_latents("latents", split) for split in ("train", "validation"))
    setting = decomposition.make_setting(params, training.meta)
    model = setting.build()
    fit_threads(model)
    n = len(params.sources)
    share = n**-model.power
    even = (np.stack([training.mixture(i)] * n) * share for i in range(len(training)))
    groups = np.stack([each.astype(np.float16) for each in even]) if params.decomposition.guided else None
    return decomposition.make_job(model, setting, training, validation, groups, params.seed)


def measure(name: str, steps: int, compiled: bool, full_precision: bool, out: Path) -> None:
    """Train, and write how long the second half of the steps took."""
    job, device = make_job(name), default_device()
    job = replace(job, cpu_bfloat16=job.cpu_bfloat16 and not full_precision)
    optim = job.optim.model_copy(update={"validate_every": steps, "patience": 0})
    loss = torch.compile(job.loss) if compiled else job.loss
    job = replace(
        job,
        name="benchmark",
        loss=loss,
        optim=optim,
        steps=2 * steps,
        validate=dict,
        identity={"out": str(out)},
    )
    first, last = train(job, device)
    if is_first():
        finish(job)
        figures = {
            "step_seconds": round((last["seconds"] - first["seconds"]) / steps, 4),
            "first_steps_seconds": first["seconds"],
            "loader_share": last["loader_share"],
            "batch": optim.batch,
            "precision": "bfloat16" if in_bfloat16(job) else "float32",
            "threads": torch.get_num_threads(),
            "peak_memory_mb": round(
                torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else peak_memory_mb()
            ),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        }
        write_json(out, figures)


def row(name: str, steps: int, processes: int, compiled: bool = False, full_precision: bool = False) -> dict:
    """One line of the table, from processes of its own; a failure's last words are in `note`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        launch = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
        arguments = ["--trainings", name, "--steps", str(steps), "--measure", str(out)]
        done = subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    *(launch if processes > 1 else []),
                    "benchmarks.training",
                    *arguments,
                ),
                *(["--compiled"] if compiled else []),
                *(["--full-precision"] if full_precision else []),
            ],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TORCHINDUCTOR_CACHE_DIR": folder},  # nothing compiled before counts
        )
        figures = json.loads(out.read_text()) if out.is_file() else {"note": _why(done.stderr)}
    return {"training": name, "processes": processes, "compiled": compiled, **figures}


def _why(log: str) -> str:
    """The first error in a log; torch.compile needs a C++ compiler, which not every machine has."""
    if "InvalidCxxCompiler" in log or "No working C++ compiler found" in log:
        return "torch.compile needs a C++ compiler: install g++ or name one by CXX"
    errors = [line for line in log.splitlines() if "Error" in line or line.startswith("error:")]
    return errors[0][:200] if errors else "no reason was given"


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__.split("\n")[0])
    parser.add_argument("--trainings", nargs="+", default=[DECOMPOSITION, "conv_tasnet"])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--compiled", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--full-precision", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        name, full = arguments.trainings[0], arguments.full_precision
        measure(name, arguments.steps, arguments.compiled, full, arguments.measure)
        return
    rows = [
        row(name, arguments.steps, processes, compiled)
        for name in arguments.trainings
        for processes in arguments.processes
        for compiled in (False, True)
    ]
    lower = {
        each["training"]
        for each in rows
        if each.get("precision") == "bfloat16" and each["device"] == platform.machine()
    }
    rows += [row(name, arguments.steps, 1, full_precision=True) for name in sorted(lower)]
    write_csv(TABLE, pd.DataFrame(rows))
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()

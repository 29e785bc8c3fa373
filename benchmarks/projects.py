"""Projects that benchmarks make: parameters in a folder, and stages run there."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import yaml

from ucr.foundation.errors import UserError
from ucr.foundation.files import read_table, write_csv
from ucr.foundation.params import Params, check_params
from ucr.foundation.schema import merge, read_yaml

ROOT = Path(__file__).resolve().parents[1]
# For a table that a benchmark keeps.
REMEDY = "restore it from git, or delete it and run its benchmark again"
POLL = 0.05  # seconds between looks at a process's memory


def setting(file: str, changes: dict) -> Params:
    """`params.yaml`, or a file of differences from it, with further ones."""
    values = read_yaml(ROOT / "params.yaml")
    return check_params(merge(merge(values, read_yaml(ROOT / "params" / file)) if file else values, changes))


def write_params(folder: Path, changes: dict) -> Params:
    """Parameters of a project in `folder`."""
    params = setting("", changes)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params.model_dump()))
    return params


def keep_rows(rows: pd.DataFrame, path: Path, *keys: str) -> None:
    """Write rows into the table at `path`, in place of older ones with the same values of `keys`."""
    if path.is_file():
        old = read_table(path, list(keys), remedy=REMEDY)
        new = set(rows[list(keys)].itertuples(index=False, name=None))
        kept = [row not in new for row in old[list(keys)].itertuples(index=False, name=None)]
        rows = pd.concat([old[kept], rows])
    write_csv(path, rows)


def run_stage(stage: str, project: Path, *arguments: str) -> dict[str, float]:
    """Run a stage as a process of its own: seconds, and the most memory that it held, in MB."""
    peaks = {"RssAnon": 0, "RssFile": 0}
    began = time.perf_counter()
    with (project / f"{stage}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"pipelines.{stage}", *arguments],
            cwd=project,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )
        while process.poll() is None:
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{process.pid}/status").read_text()
                for name, value in re.findall(r"(RssAnon|RssFile):\s+(\d+)", status):
                    peaks[name] = max(peaks[name], int(value))
            time.sleep(POLL)
    taken = time.perf_counter() - began
    if process.returncode:
        raise UserError(f"the stage {stage} failed: see the end of {log.name}")
    return {
        "seconds": taken,
        "peak_private_mb": peaks["RssAnon"] / 1024,
        "peak_mapped_mb": peaks["RssFile"] / 1024,
    }

"""Projects that benchmarks make: parameters in a folder, and stages run there."""

from __future__ import annotations

import contextlib
import os
import re
import resource
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
PROGRAMS = Path(sys.executable).parent  # dvc's stages start `python`
POLL = 0.05  # seconds between looks at a process's memory
KINDS_OF_MEMORY = {"RssAnon": "private", "RssFile": "mapped", "VmRSS": "resident"}  # in /proc/PID/status


def setting(file: str, changes: dict) -> Params:
    """`params.yaml`, or a file of differences from it, with further ones."""
    values = read_yaml(ROOT / "params.yaml")
    return check_params(merge(merge(values, read_yaml(ROOT / "params" / file)) if file else values, changes))


# Beside `codec`, for one whose latents are no magnitudes: no pseudo-labels, and no methods that want them.
WITHOUT_MAGNITUDES: dict = {
    "decomposition": {"composition": "mean", "guided": 0.0},
    "unsupervised": {},
    "variants": {},
    "methods": {"mixture": {"code": "baselines/mixture.py", "needs": "segments"}},
}


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


def run_module(module: str, *arguments: str | Path, folder: Path, root: Path = ROOT) -> dict[str, float]:
    """Run a module as a process of its own, as a user would.

    Parameters
    ----------
    module, arguments
        As after `python -m`.
    folder
        Where it runs; what it writes to the terminal goes there into MODULE.log.
    root
        The checkout that it is of.

    Returns
    -------
    dict
        `seconds`, `cpu_seconds`, and the most memory that it and its children held at once, in MB: `peak_private_mb` of
        their own, `peak_mapped_mb` of files, `peak_resident_mb` of both.

    Raises
    ------
    UserError
        If it fails, with the last line that it wrote.
    """
    peaks = dict.fromkeys(KINDS_OF_MEMORY, 0.0)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with (folder / f"{module}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(root), "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"},
            stdout=log,
            stderr=log,
        )
        while process.returncode is None:
            held = [_memory(pid) for pid in _family(process.pid)]
            for kind in peaks:
                peaks[kind] = max(peaks[kind], sum(each.get(kind, 0) for each in held) / 1024)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(POLL)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        (*_, last) = ["", *Path(log.name).read_text(errors="replace").splitlines()]
        raise UserError(f"{module} of {root} failed ({last}): see {log.name}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    memory = {f"peak_{name}_mb": peaks[kind] for kind, name in KINDS_OF_MEMORY.items()}
    return {"seconds": seconds, "cpu_seconds": cpu, **memory}


def _family(pid: int) -> list[int]:
    """A process and all that it has started."""
    found, queue = [], [pid]
    while queue:
        found.append(queue.pop())
        with contextlib.suppress(OSError):  # it may end meanwhile
            for path in Path(f"/proc/{found[-1]}/task").glob("*/children"):
                queue += map(int, path.read_text().split())
    return found


def _memory(pid: int) -> dict[str, int]:
    """What a process holds of each kind, in kB; nothing where there is no /proc."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        return {kind: int(size) for kind, size in re.findall(r"(RssAnon|RssFile|VmRSS):\s+(\d+)", status)}
    return {}


def run_stage(stage: str, project: Path, *arguments: str) -> dict[str, float]:
    """Run a stage in a project's folder: see `run_module`."""
    return run_module(f"pipelines.{stage}", *arguments, folder=project)

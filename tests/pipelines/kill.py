"""Kill each stage of the smoke run at random instants, run it again, and compare with an unbroken run.

    python -m tests.pipelines.kill                        # 20 kills in each stage: hours
    python -m tests.pipelines.kill --kills 2 --stage segments --stage separate@hpss

What `make repro` calls, and everything that it started, gets SIGKILL, then it runs again, in a copy of the project.
What a stage measures of time is left out of the comparison, by name: the column and key `seconds`, and the values
in `costs/`. Ends with code 1 if an output differs.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lmdb
import pandas as pd
import yaml

from tests.helpers import ROOT

MEASURED = ["seconds", "loader_share"]  # columns and keys that no two runs share
BEGUN = "Running stage"
GONE_AFTER = 3000  # hundredths of a second
# As `make repro` calls it:
REPRO = [sys.executable, "-m", "pipelines.preset", "params.yaml", "--", "dvc", "repro"]


def environment(folder: Path) -> dict[str, str]:
    """Of commands that shall use the project in `folder`."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": str(folder), "PYTHONUNBUFFERED": "1"}


def copy_project(folder: Path) -> None:
    """Copy the project's files, as they are now, into a git repository of their own."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for file in listed.splitlines():
        if (ROOT / file).is_file():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, folder / file)
    author = ["-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=folder, check=True)


def killed(command: Sequence[str], folder: Path, instant: float, begun: str = "") -> float:
    """Kill a command and all its processes `instant` seconds after it printed `begun`.

    Returns how many seconds after that it ended by itself, or infinity if it was killed.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout as printed:
        if begun:
            next((line for line in printed if begun in line), None)
        since = time.monotonic()
        try:
            process.communicate(timeout=None if instant == math.inf else instant)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                for _ in range(
                    GONE_AFTER
                ):  # DVC looks for the processes that it noted, so wait for the last child
                    os.killpg(process.pid, 0)
                    time.sleep(0.01)
            return math.inf
    assert process.returncode == 0, f"{command} failed"
    return time.monotonic() - since


def contents(path: Path) -> dict[str, str]:
    """What is in each file at or below `path`, without times measured: a digest by its name."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return {str(file): hashlib.sha256(_content(file)).hexdigest() for file in files}


def _content(path: Path) -> bytes:
    if path.suffix == ".lmdb":  # pages lie in another order after a kill, what they hold is the same
        with lmdb.open(str(path), subdir=False, readonly=True, lock=False) as env, env.begin() as transaction:
            return b"".join(
                hashlib.sha256(key + b"\0" + value).digest() for key, value in transaction.cursor()
            )
    if path.suffix == ".json":
        value = json.loads(path.read_text())
        return json.dumps(sorted(value) if path.parent.name == "costs" else _timeless(value)).encode()
    if path.suffix == ".csv":
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        return table.drop(columns=MEASURED, errors="ignore").to_csv(index=False).encode()
    return path.read_bytes()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in MEASURED}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Files that are missing, new or other than before."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def run(command: Sequence[str], folder: Path) -> str:
    """What a command printed, which must succeed."""
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def outputs_of(folder: Path) -> dict[str, list[Path]]:
    """The outputs of each stage that ran, in order."""
    ran = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    names = run(["dvc", "stage", "list", "--name-only"], folder).split()
    return {name: [folder / out["path"] for out in ran[name]["outs"]] for name in names if name in ran}


def torture(stage: str, outputs: list[Path], folder: Path, instants: Iterator[float], kills: int) -> bool:
    """Kill a stage again and again; says what came of it, and returns whether all outputs were always the same."""

    def found() -> dict[str, str]:
        return {name: digest for out in outputs for name, digest in contents(out).items()}

    again = [*REPRO, "--single-item", "--force", stage]  # from the stage itself, not from DVC's cache
    before = found()
    lasts = killed(again, folder, math.inf, BEGUN)
    other, hit = set(differences(before, found())), 0
    if other:
        print(f"{stage}: not the same without a kill: {', '.join(sorted(other))}", flush=True)
    for _ in range(kills):
        hit += killed(again, folder, lasts * next(instants), BEGUN) == math.inf
        run(again, folder)
        other |= set(differences(before, found()))
    kept = {path.name for path in folder.glob("runs/*")}
    result = f"OTHER OUTPUTS: {', '.join(sorted(other))}" if other else "the same outputs"
    print(
        f"{stage}: {hit} of {kills} kills hit it in {lasts:.0f} s; {result}; kept in runs/: {kept or 'nothing'}",
        flush=True,
    )
    return not other


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.pipelines.kill", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--kills", type=int, default=20, help="in each stage (default: 20)")
    parser.add_argument(
        "--stage", action="append", help="such as separate@hpss; may be repeated (default: all)"
    )
    parser.add_argument(
        "--params", default="params/smoke.yaml", help="laid over params.yaml (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    chosen = parser.parse_args()
    rng = random.Random(chosen.seed)
    instants = iter(rng.random, None)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        copy_project(folder)
        folder /= run([sys.executable, "-m", "pipelines.preset", chosen.params], folder).strip()
        run([*REPRO, *(chosen.stage or [])], folder)
        outputs = outputs_of(folder)
        same = [
            torture(stage, outputs[stage], folder, instants, chosen.kills)
            for stage in chosen.stage or outputs
        ]
    raise SystemExit(0 if all(same) else 1)


if __name__ == "__main__":
    main()

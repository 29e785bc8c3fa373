"""Where the project is, and the parameters of tests, which no change of the user's `params.yaml` touches."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARAMS = ROOT / "tests/params.yaml"
TEN_SECONDS = {"train": 10.0, "validation": 10.0, "test": 10.0}  # the least that songs of `slakh_mini` last


def kill_when(process: subprocess.Popen, reached: Callable[[], object], seconds: float = 60.0) -> None:
    """Send SIGKILL to a process as soon as `reached` says so, which is to be before the process ends."""
    until = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()

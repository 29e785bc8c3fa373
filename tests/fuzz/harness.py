"""Running a command line on spoilt input: in a forked process, so that a crash, a hang or a full memory is seen."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

WORK = 30  # seconds of the processor, which a busy machine does not stretch
HANG = 120.0  # seconds by the clock, for what waits
MEMORY = 3 << 30  # bytes beyond those of the test itself
DEFECT = 99


class Bomb:
    """Leaves a folder behind where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


PICKLE = pickle.dumps(Bomb())
YAML_BOMB = b"!!python/object/apply:os.mkdir ['ran']"


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, negative for a signal's number, and what it wrote to stderr."""

    code: int
    said: str


def run(main: Callable[[], None], arguments: list[str], folder: Path) -> Ended:
    """Call a command line's `main` in `folder`.

    Raises
    ------
    AssertionError
        If it takes longer than `HANG`, or more of the processor than `WORK`.
    """
    log = folder.parent / "stderr"
    child = os.fork()
    if not child:
        _child(main, arguments, folder, log)
    deadline = time.monotonic() + HANG
    while not (found := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise AssertionError(f"a hang: over {HANG:g} s; {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.002)
    ended = Ended(os.waitstatus_to_exitcode(found[1]), log.read_text(errors="replace"))
    assert ended.code != -signal.SIGXCPU, f"a hang: over {WORK} s of the processor; {ended.said[-2000:]}"
    return ended


def _child(main: Callable[[], None], arguments: list[str], folder: Path, log: Path) -> None:
    code = DEFECT
    try:
        os.chdir(folder)
        with open(log, "wb") as file, open(os.devnull, "wb") as nothing:
            os.dup2(file.fileno(), 2)
            os.dup2(nothing.fileno(), 1)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        sys.argv = ["command", *arguments]
        torch.set_num_threads(1)  # a fork has none of the others
        used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY, used + MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (WORK, WORK + 10))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def tree(folder: Path, allowed: set[str]) -> dict[str, tuple[int, int]]:
    """Size and time of each file below `folder`'s parent, but for Python's cache and what may change in `folder`."""
    files = (
        path
        for path in folder.parent.rglob("*")
        if path.is_file() and path.name != "stderr" and "__pycache__" not in path.parts
    )
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
        if not (path.is_relative_to(folder) and path.relative_to(folder).parts[0] in allowed)
    }


def holds_up(main: Callable[[], None], arguments: list[str], folder: Path, allowed: set[str]) -> Ended:
    """Run a command and require what is required of every command on any input.

    It succeeds, or ends with one sentence and code 1 (2 for usage); it writes nothing but what is `allowed`; it
    runs nothing that its input holds.
    """
    before = tree(folder, allowed)
    ended = run(main, arguments, folder)
    assert ended.code in (0, 1, 2), f"code {ended.code}: {ended.said[-3000:]}"
    assert "Traceback" not in ended.said, ended.said[-3000:]
    if ended.code == 1:
        lines = ended.said.replace("\r", "\n").splitlines()
        assert sum(line.startswith("error: ") for line in lines) == 1, ended.said[-3000:]
    assert tree(folder, allowed) == before
    assert not (folder / "ran").exists()
    return ended

"""Run a command with a params file laid over `params.yaml`: `python -m pipelines.preset FILE [-- COMMAND...]`.

With a command, `params.yaml` holds the merged parameters while it runs and is put back after, even if
it is killed (then by the next call); before it, what a killed DVC left half-written is put right. Without,
the merged parameters are kept, for a long run that is continued by hand with `dvc repro`. Of several at
once in one folder, all but the first are refused.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from ucr.foundation.errors import UserError, command
from ucr.foundation.files import replacing
from ucr.foundation.params import PARAMS_FILE, check_params
from ucr.foundation.schema import merge, read_yaml
from ucr.methods.registry import check_methods

BACKUP = Path("runs/params.before-preset.yaml")
LOCK = Path("runs/preset.lock")
DVC_LOCK = Path("dvc.lock")
DVC_RUNNING = Path(".dvc/tmp/rwlock")  # which processes use which files


def _restore() -> None:
    if BACKUP.is_file():
        shutil.move(BACKUP, PARAMS_FILE)


def _lock() -> int:
    """Claim `params.yaml` for as long as this process, or one that is given the descriptor, lives."""
    LOCK.parent.mkdir(exist_ok=True)
    descriptor = os.open(LOCK, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            f"another run uses {PARAMS_FILE} of this folder: wait until it has ended, or run in a copy of the project"
        ) from None
    return descriptor


def _mend_dvc() -> None:
    """Delete what DVC was writing, in place, when it was killed, and could not read again.

    What had run it finds in its cache, but for the tables and the report, which are made again.
    """
    if (
        DVC_LOCK.is_file() and b"<<<<<<<" not in DVC_LOCK.read_bytes()
    ):  # a conflict of git's is the user's to solve
        from dvc.schema import COMPILED_LOCKFILE_SCHEMA  # slow to import
        from dvc.utils.serialize import YAMLFileCorruptedError, load_yaml
        from voluptuous import Invalid

        try:
            COMPILED_LOCKFILE_SCHEMA(load_yaml(str(DVC_LOCK)))
        except (Invalid, YAMLFileCorruptedError):
            DVC_LOCK.unlink()
            print(f"{DVC_LOCK} was cut short by a kill: DVC makes it anew from its cache", file=sys.stderr)
    if DVC_RUNNING.is_file():
        try:
            json.loads(DVC_RUNNING.read_text())
        except ValueError:
            DVC_RUNNING.unlink()


def _usage() -> None:
    print("usage: python -m pipelines.preset FILE [-- COMMAND...]", file=sys.stderr)
    raise SystemExit(2)


def _run(run: list[str], lock: int) -> int:
    """The command's exit code; it holds the lock too, should this process be killed."""
    _mend_dvc()
    try:
        return subprocess.run(run, pass_fds=[lock]).returncode
    except FileNotFoundError:
        raise UserError(f"{run[0]} does not exist: name a command that does") from None


@command
def main() -> None:
    arguments = sys.argv[1:]
    if arguments and arguments[0] in ("-h", "--help"):
        print(__doc__)
        return
    if not arguments or (len(arguments) > 1 and (arguments[1] != "--" or len(arguments) == 2)):
        _usage()
    file, run = arguments[0], arguments[2:]
    lock = _lock()
    _restore()
    base = read_yaml(PARAMS_FILE)
    merged = base if Path(file).resolve() == Path(PARAMS_FILE).resolve() else merge(base, read_yaml(file))
    params = check_params(merged, file)
    check_methods(params)
    if left_out := [name for name in base.get("methods", {}) if name not in params.methods]:
        print(f"{file} leaves out the methods {', '.join(left_out)}", file=sys.stderr)
    if merged == base:
        if run:
            raise SystemExit(_run(run, lock))
        return
    if run:
        with replacing(BACKUP) as temporary:
            shutil.copy(PARAMS_FILE, temporary)
    with replacing(PARAMS_FILE) as temporary:
        temporary.write_text(
            f"# params.yaml with {file} laid over it\n{yaml.safe_dump(merged, sort_keys=False)}"
        )
    if not run:
        return
    try:
        code = _run(run, lock)
    finally:
        _restore()
        print(f"{PARAMS_FILE} is as it was before {file}", file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main()

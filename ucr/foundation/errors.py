"""What a user sees when something goes wrong: one sentence and an exit code."""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ucr.foundation.memory import keep_freed_memory

OURS = ("ucr", "baselines", "eval", "pipelines", "benchmarks")


class UserError(Exception):
    """A mistake that the user can fix; the message names the file, track or key and the remedy."""


def vanished(path: Path) -> UserError:
    """What to say of a file or folder that was there a moment ago."""
    return UserError(f"{path} vanished while it was read: mount or restore it and run again")


def check_name(path: Path) -> None:
    """Raise `UserError` if a path is not UTF-8, in which lists of files and libraries have it."""
    if os.fsencode(path) != str(path).encode(errors="replace"):
        raise UserError(f"the name {os.fsencode(path)!r} is not UTF-8: rename the file or its folder")


def command(main: Callable[..., None]) -> Callable[..., None]:
    """Turn what a user can fix into one sentence on stderr and exit code 1.

    Parameters
    ----------
    main
        The function behind a command line. A `UserError`, an `OSError`, a `MemoryError` or a package that is
        missing ends the process with code 1, an interrupt with 130; every other exception is a defect of this
        project and keeps its traceback. It runs with `ucr.foundation.memory.keep_freed_memory`.
    """

    @functools.wraps(main)
    def run(*args, **kwargs):
        keep_freed_memory()
        try:
            main(*args, **kwargs)
        except UserError as error:
            _stop(str(error))
        except OSError as error:
            _stop(_sentence(error))
        except MemoryError as error:
            _stop(
                f"memory ran out ({str(error) or 'no more can be had'}): free some, or ask for something smaller"
            )
        except ModuleNotFoundError as error:
            package = (error.name or "ucr").partition(".")[0]
            if package in OURS:
                raise
            _stop(
                f"{package} is not installed: install ucr-benchmark with its extra `benchmark`, "
                "in a clone by pip install '.[benchmark]'"
            )
        except RuntimeError as error:  # PyTorch has no type of its own for the CPU's memory
            if "can't allocate memory" not in str(error) and "out of memory" not in str(error):
                raise
            _stop("memory ran out: free some, or ask for something smaller")
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise SystemExit(130) from None

    return run


def _stop(sentence: str) -> None:
    print(f"error: {' '.join(sentence.split())}", file=sys.stderr)
    raise SystemExit(1)


def _sentence(error: OSError) -> str:
    where = error.filename or "a file that this command writes"
    remedies = {
        errno.ENOSPC: f"no space is left on the disk that holds {where}: free some and run again",
        errno.EDQUOT: f"the disk quota of {where} is used up: free some and run again",
        errno.EROFS: f"{where} is on a read-only file system: make it writable or choose another folder",
        errno.EACCES: f"no permission to use {where}: change its permissions or choose another folder",
        errno.EPERM: f"no permission to use {where}: change its permissions or choose another folder",
        errno.ENOTDIR: f"a file stands in the way of {where}: choose another place",
        errno.EEXIST: f"a file stands in the way of {where}: choose another place",
        errno.ENOENT: f"{where} does not exist: fix the path, or run the stage that makes it (`dvc repro`)",
        errno.EISDIR: f"a folder stands in the way of {where}: choose another place",
        errno.EPIPE: "what read this command's output has ended: save it to a file first",
    }
    return remedies.get(error.errno or 0, f"{where}: {error.strerror or error}")

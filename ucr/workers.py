"""Calling a function many times on every core, and ending in good order when something is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from ucr.errors import UserError


def in_workers(
    function: Callable,
    arguments: Sequence[tuple],
    kind: Literal["loky", "threading"] = "loky",
    at_most: int | None = None,
) -> Iterator[Any]:
    """Yield `function(*each)` for each of `arguments`, in their order.

    After an error that the user can mend, a worker's or the caller's own, nothing new is begun and what is
    running ends first: joblib would kill its processes, which then warn after the error's sentence.

    Parameters
    ----------
    function
        Of a module, since processes find it by its name.
    arguments
        Of each call.
    kind
        `loky`: processes of one thread each. `threading`: for work that releases the interpreter's lock.

    at_most
        How many at once; None is one a core. One is called in this process.

    Raises
    ------
    UserError, OSError
        What a call raised first; a `UserError` too if a worker process was killed, as for want of memory.
    """
    stopped = False

    def tasks() -> Iterator:
        for each in arguments:
            if stopped:
                return
            yield delayed(_attempt)(function, each)

    threads = {"inner_max_num_threads": 1} if kind == "loky" else {}
    with parallel_config(backend=kind, **threads):
        n_jobs = min(cpu_count(), len(arguments), at_most or len(arguments))
        parallel = Parallel(n_jobs=max(n_jobs, 1), return_as="generator")
    results = parallel(tasks())
    try:
        for result in results:
            if isinstance(result, Exception):
                raise result
            yield result
    except (GeneratorExit, UserError, OSError):
        stopped = True
        for _ in results:
            pass
        raise
    except TerminatedWorkerError:
        raise UserError(
            "a worker process was killed, most likely because memory ran out: free some and run again, or use fewer "
            "processes (LOKY_MAX_CPU_COUNT=1)"
        ) from None


def _attempt(function: Callable, arguments: tuple) -> Any:
    """What the function returns or, if the user can mend it, raises."""
    try:
        return function(*arguments)
    except (UserError, OSError) as error:
        return error

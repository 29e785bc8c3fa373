"""Calling a function many times, on every core or over a cluster, and ending in good order when something is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from ucr.foundation.cluster import over_cluster
from ucr.foundation.errors import UserError
from ucr.foundation.executor import read_executor


def in_workers(
    function: Callable,
    arguments: Sequence[tuple],
    kind: Literal["loky", "threading"] = "loky",
) -> Iterator[Any]:
    """Yield `function(*each)` for each of `arguments`, in their order.

    The `executor` of `params.yaml` says where: on this machine, or in the processes of a Dask cluster whatever the
    `kind`. There a call whose process dies is made again, so it returns its result or writes it by
    `ucr.foundation.files.replacing`.

    After an error that the user can fix, a worker's or the caller's own, nothing new is begun and what is
    running ends first: joblib would kill its processes, which then warn after the error's sentence.

    Parameters
    ----------
    function
        Of a module, since processes find it by its name.
    arguments
        Of each call.
    kind
        `loky`: processes of one thread each. `threading`: for work that releases the interpreter's lock.

    Raises
    ------
    UserError, OSError
        What a call raised first; a `UserError` too if a worker process was killed, as for want of memory, or if the
        cluster can't be used.
    """
    stopped = False

    def tasks() -> Iterator[tuple]:
        for each in arguments:
            if stopped:
                return
            yield function, each

    n_calls = len(arguments)
    executor = read_executor()
    if executor.backend == "dask" and executor.scheduler and n_calls > 1:
        results = over_cluster(executor.scheduler, _attempt, tasks())
    else:
        threads = {"inner_max_num_threads": 1} if kind == "loky" else {}
        with parallel_config(backend=kind, **threads):
            parallel = Parallel(n_jobs=max(min(cpu_count(), n_calls), 1), return_as="generator")
        results = parallel(delayed(_attempt)(*each) for each in tasks())
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
    """What the function returns or, if the user can fix it, raises."""
    try:
        return function(*arguments)
    except (UserError, OSError) as error:
        return error

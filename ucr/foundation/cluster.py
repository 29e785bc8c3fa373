"""Calls over a Dask cluster whose workers share this project's folder (docs/cluster.md).

joblib's own Dask backend (1.6.0) is not used: it waits for ever for a call that Dask gave up.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from ucr.foundation.errors import UserError

if TYPE_CHECKING:
    from distributed import Client, Future

PATIENCE = 10.0  # seconds for a scheduler to answer, and for its first worker to come
RESTART = 60.0  # seconds for all workers to start anew
AHEAD = 4  # calls per worker that are under way or done before the oldest result is taken: bounds the memory


def over_cluster(scheduler: str, function: Callable, arguments: Iterable[tuple]) -> Iterator[Any]:
    """Yield `function(*each)` for each of `arguments`, in their order, from one-threaded processes of a Dask cluster.

    A call whose process dies is made again by another.

    Parameters
    ----------
    scheduler
        Address of the cluster's scheduler.
    function
        Of a module, since workers find it by its name.
    arguments
        Of each call.

    Raises
    ------
    UserError
        If the cluster can't be used, its scheduler is lost, or a call ends one worker after another.
    """
    with _client(scheduler) as client:
        waiting: deque[Future] = deque()
        for each in arguments:
            waiting.append(client.submit(partial(function, *each), pure=False))
            if len(waiting) > AHEAD * len(client.nthreads()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def _client(scheduler: str) -> Iterator[Client]:
    try:
        from distributed import Client, KilledWorker
        from distributed.client import CancelledError
        from distributed.comm import CommClosedError
    except ImportError:
        raise UserError(
            "params.yaml: executor.backend: dask is not installed: run `pip install 'ucr-benchmark[cluster]'`"
        ) from None
    logging.getLogger("distributed.client").setLevel(
        logging.CRITICAL
    )  # its tracebacks end in a sentence below
    try:
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"params.yaml: executor.scheduler: no Dask scheduler answers at {scheduler} ({error}): start it by "
            "`dask scheduler` or fix the address"
        ) from None
    with client:
        try:
            _start_anew(client, scheduler)
            yield client
        except KilledWorker:
            raise UserError(
                f"one call ended several workers of {scheduler} in turn, most likely because memory ran out: give "
                "each worker more (`--memory-limit`) and run again"
            ) from None
        except (CancelledError, CommClosedError):
            raise UserError(
                f"the Dask scheduler {scheduler} was lost during the run: start it and its workers again, and run again"
            ) from None


def _start_anew(client: Client, scheduler: str) -> None:
    """Restart the workers, so that they hold neither code nor data of an earlier run, and check where they work."""
    home = os.getcwd()
    start = f"start workers by `cd {home} && dask worker {scheduler} --nthreads 1`"
    try:
        client.wait_for_workers(1, PATIENCE)
    except TimeoutError:
        raise UserError(f"the Dask scheduler {scheduler} has no workers: {start}") from None
    workers = client.scheduler_info()["workers"]
    for address, worker in workers.items():
        if worker["nthreads"] != 1:
            raise UserError(
                f"the Dask worker {address} has {worker['nthreads']} threads, but must have one: {start}"
            )
        if not worker["nanny"]:
            raise UserError(f"the Dask worker {address} has no nanny that could restart it: {start}")
    try:
        client.restart_workers(list(workers), timeout=RESTART)
    except TimeoutError:
        raise UserError(
            f"workers of {scheduler} did not come back from a restart: see their logs, {start}"
        ) from None
    folders = client.run(os.getcwd)
    with NamedTemporaryFile(prefix=".executor.", dir=home) as mark:
        shared = client.run(os.path.exists, mark.name)
    installed = client.run(importlib.util.find_spec, "ucr")
    for address, folder in folders.items():
        if folder != home or not shared[address]:
            raise UserError(
                f"the Dask worker {address} works in {folder}, not in the folder of this run on a file system that all "
                f"machines share: {start}"
            )
        if installed[address] is None:
            raise UserError(
                f"the Dask worker {address} can't import `ucr`: use the Python in which this project is installed, "
                f"and {start}"
            )

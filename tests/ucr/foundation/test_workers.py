"""Work on every core: the results' order, and how an error ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.helpers import ROOT
from ucr.foundation.errors import UserError
from ucr.foundation.workers import in_workers

MISTAKES = {
    "user": UserError("S01.flac is damaged"),
    "disk": OSError(28, "No space left on device", "S01.flac"),
}


def double(number: int, mistake: str = "") -> int:
    if mistake == "memory":  # as Linux ends a process that takes too much
        os.kill(os.getpid(), signal.SIGKILL)
    if mistake:
        raise MISTAKES[mistake]
    return 2 * number


@pytest.mark.parametrize("kind", ["loky", "threading"])
def test_results_come_in_order_and_an_error_comes_through(kind):
    assert list(in_workers(double, [(i,) for i in range(20)], kind)) == list(range(0, 40, 2))
    assert list(in_workers(double, [], kind)) == []
    found = in_workers(double, [(1,), (2, "disk"), (3,)], kind)
    assert next(found) == 2
    with pytest.raises(OSError, match="No space left") as caught:
        next(found)
    assert caught.value.filename == "S01.flac"
    assert list(in_workers(double, [(4,)], kind)) == [8]


COMMAND = """
from tests.ucr.foundation.test_workers import double, in_workers
from ucr.foundation.errors import UserError, command


@command
def main():
    for found in in_workers(double, [(i, "user" if i == {worker} else "") for i in range(50)], {kind!r}):
        if found == 2 * {caller}:
            raise UserError("S01.flac is damaged")


main()
"""


@pytest.mark.parametrize("kind", ["loky", "threading"])
@pytest.mark.parametrize(("worker", "caller"), [(9, None), (-1, 9)], ids=["worker", "caller"])
def test_the_sentence_is_all_that_a_command_says(kind, worker, caller):
    text = COMMAND.format(kind=kind, worker=worker, caller=caller if caller is not None else "float('nan')")
    ended = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (1, "error: S01.flac is damaged\n")


def test_a_killed_worker_is_one_sentence():
    text = COMMAND.format(kind="loky", worker=9, caller="float('nan')").replace('"user"', '"memory"')
    ended = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith(
        "error: a worker process was killed, most likely because memory ran out: free"
    )
    assert ended.stderr.count("\n") == 1

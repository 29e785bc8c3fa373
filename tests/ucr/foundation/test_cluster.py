"""The executor `dask`: the same results as on this machine, also if a worker is killed, and sentences for bad input.

Workers import this module, so it imports what is large where it is used.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers import TEN_SECONDS
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_audio, replacing
from ucr.foundation.workers import in_workers

COUNT = 30


def write(folder: Path, number: int) -> tuple[int, int]:
    """Leave a file; the number and the process."""
    with replacing(folder / f"{number}.txt") as temporary:
        time.sleep(0.05)
        temporary.write_text(str(number))
    return number, os.getpid()


def deadly(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def calls(folder: Path, count: int = COUNT) -> list[tuple[Path, int]]:
    return [(folder, number) for number in range(count)]


def start_cluster(n_workers: int, **options):
    import dask
    from distributed import LocalCluster

    settings = {"deploy.lost-worker-timeout": "1 day", "scheduler.allowed-failures": 1}  # docs/cluster.md
    dask.config.set({f"distributed.{key}": value for key, value in settings.items()})
    options = {"threads_per_worker": 1, "dashboard_address": ":0", "host": "127.0.0.1"} | options
    return LocalCluster(n_workers=n_workers, **options)


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Address of a cluster of two processes."""
    with start_cluster(2) as cluster:
        yield cluster.scheduler_address


def dask_at(address: str | None) -> dict:
    return {"executor": {"backend": "dask", "scheduler": address}}


@pytest.mark.slow
def test_a_killed_worker_costs_no_result_and_repeats_none(project, scheduler):
    folder = project()
    expected = [number for number, _ in in_workers(write, calls(folder / "here"))]
    project(**dask_at(scheduler))
    found = in_workers(write, calls(folder / "there"))
    results = [next(found)]
    victim = results[0][1]
    os.kill(victim, signal.SIGKILL)
    results += found
    assert [number for number, _ in results] == expected
    assert victim not in {process for _, process in results[COUNT // 2 :]}
    texts = {name: (folder / "here" / name).read_text() for name in os.listdir(folder / "here")}
    assert len(texts) == COUNT
    left = [path for path in (folder / "there").iterdir() if not path.name.startswith(".")]
    assert {path.name: path.read_text() for path in left} == texts
    later = {process for _, process in in_workers(write, calls(folder / "later", 4))}
    assert not later & {process for _, process in results}  # nothing of an earlier run is left in a worker


@pytest.mark.slow
def test_stages_write_the_same_bytes_on_a_cluster(project, scheduler, monkeypatch):
    from pipelines import data, segments
    from pipelines.separate import separate
    from ucr.foundation.params import load_params

    monkeypatch.setattr("ucr.foundation.workers.cpu_count", lambda: 1)
    tiny = {"tracks": {"train": 1, "validation": 1, "test": 1}, "seconds": TEN_SECONDS}
    outputs = []
    for executor in ({}, dask_at(scheduler)):
        folder = project(data=tiny, segments={"seconds": 2.0}, **executor)
        data.main()
        segments.main()
        separate("irm", load_params())
        files = [*folder.glob("data/**/*.*"), *folder.glob("segments/*")]
        contents = {path.relative_to(folder): path.read_bytes() for path in files if path.is_file()}
        for path in folder.glob("estimates/irm/*/*.wav"):  # whose headers hold the time
            contents[path.relative_to(folder)] = read_audio(path)[0].tobytes()
        outputs.append(contents)
    assert len([path for path in outputs[0] if path.name == "drums.wav"]) > 1
    assert outputs[0].keys() == outputs[1].keys()
    assert [path for path in outputs[0] if outputs[0][path] != outputs[1][path]] == []


@pytest.mark.slow
def test_scores_are_the_same_on_a_cluster(project, scheduler, monkeypatch):
    import numpy as np
    import pandas as pd
    import soundfile

    from eval import folders

    monkeypatch.setattr(folders, "TOGETHER", 4000)  # a song at once
    folder, rng = project(), np.random.default_rng(0)
    for number in range(6):
        for source in ("drums", "bass"):
            true, noise = 0.1 * rng.standard_normal((2, 4000))
            for place, audio in (("true", true), ("found", true + 0.3 * noise)):
                path = folder / place / f"Track00001_{number}" / f"{source}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, audio, 4000)
    songs, sources = folders.find_songs({"waveform": folder / "true"}, folder / "found")
    options = {"method": "mine", "ordered": False, "window": 0.5, "hop": 0.25}
    expected = folders.score_songs(songs, sources, **options)
    project(**dask_at(scheduler))
    found = folders.score_songs(songs, sources, **options)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    songs[3].estimates[0].write_bytes(b"RIFF")
    with pytest.raises(UserError, match=r"Track00001_3/bass\.wav can't be read as audio"):
        folders.score_songs(songs, sources, **options)


@pytest.mark.slow
def test_a_call_that_ends_every_worker_ends_the_run(project, scheduler):
    project(**dask_at(scheduler))
    found = in_workers(deadly, [(number,) for number in range(4)])
    with pytest.raises(UserError, match="one call ended several workers"):
        list(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"threads_per_worker": 2, "processes": False, "protocol": "tcp://"},
            "has 2 threads, but must have one: start workers by `cd .* && dask worker tcp:",
        ),
        ({"processes": False, "protocol": "tcp://"}, "has no nanny that could restart it"),
        ({"preload": "import os; os.chdir('/')"}, "works in /, not in the folder of this run"),
    ],
    ids=["threads", "nanny", "folder"],
)
def test_an_unfit_worker_is_named(project, options, sentence):
    with start_cluster(1, **options) as cluster:
        project(**dask_at(cluster.scheduler_address))
        with pytest.raises(UserError, match=sentence):
            next(in_workers(deadly, [(0,), (0,)]))


@pytest.fixture
def sentence(project, make_track, capsys) -> Callable[[dict], str]:
    """The last that the stage `segments` says on standard error, before it ends with code 1."""
    from pipelines import data, segments

    def end(executor: dict) -> str:
        changes = {"data": {"name": "slakh2100", "path": "set"}, "segments": {"seconds": 1.0}}
        folder = project(**changes)
        for number, split in enumerate(["train", "validation", "test"], start=1):
            make_track(folder / "set" / split / f"Track{number:05d}", {"S00": ("Bass", 0.1)})
        data.main()
        project(**changes, **executor)
        with pytest.raises(SystemExit) as ended:
            segments.main()
        assert ended.value.code == 1
        return capsys.readouterr().err.splitlines()[-1]

    return end


def test_dask_without_a_scheduler_is_a_sentence(sentence):
    assert sentence(dask_at(None)) == (
        "error: params.yaml: executor: dask needs `scheduler`, its address, such as tcp://host:8786"
    )


def test_an_unknown_backend_is_a_sentence(sentence):
    assert sentence({"executor": {"backend": "ray"}}).startswith("error: params.yaml: executor.backend: ")


def test_a_scheduler_that_does_not_answer_is_a_sentence(sentence, monkeypatch):
    monkeypatch.setattr("ucr.foundation.cluster.PATIENCE", 0.5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        said = sentence(dask_at(address))
    assert said.startswith(
        f"error: params.yaml: executor.scheduler: no Dask scheduler answers at {address} ("
    )
    assert said.endswith("start it by `dask scheduler` or fix the address")


def test_dask_that_is_not_installed_is_a_sentence(sentence, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert sentence(dask_at("tcp://127.0.0.1:8786")) == (
        "error: params.yaml: executor.backend: dask is not installed: run `pip install 'ucr-benchmark[cluster]'`"
    )


def test_without_a_params_file_work_is_done_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [number for number, _ in in_workers(write, calls(tmp_path, 2), "threading")] == [0, 1]

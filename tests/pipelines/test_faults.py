"""Data that vanish in the middle of a run: a sentence, and a run that goes on once they are back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines import data, segments
from ucr.data.slakh import read
from ucr.foundation.files import read_json

TRACKS = 30


def slow_segments() -> subprocess.Popen:
    """The stage `segments`, stopped after a few of many tracks are done."""
    command = [sys.executable, "-m", "pipelines.segments"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while True:
        time.sleep(0.01)
        assert process.poll() is None
        journal = next(Path().glob("runs/*/tracks.jsonl"), None)
        if journal and journal.read_bytes().count(b"\n") >= 2:
            process.send_signal(signal.SIGSTOP)
            return process


@pytest.fixture(params=["a network mount", "a folder"])
def place(request, tmp_path):
    """Where data can lie, with what makes it go and come."""
    here, there = tmp_path / "set", tmp_path / "away"
    here.mkdir()
    if request.param == "a folder":
        yield here, lambda: here.rename(there), lambda: there.rename(here)
        return
    there.mkdir()

    def mount() -> int:
        return subprocess.run(["mount", "--bind", there, here], capture_output=True).returncode

    def leave() -> None:
        subprocess.run(["umount", "--lazy", here], check=True)

    if shutil.which("mount") is None or os.geteuid() or mount():
        pytest.skip("mounting is not allowed here")
    yield here, leave, mount
    subprocess.run(["umount", "--lazy", here], capture_output=True)


def make_set(folder: Path, make_track, tracks: int = TRACKS) -> None:
    for number in range(tracks):
        split = ("train", "validation", "test")[number % 3]
        stems = {"S00": ("Drums", 0.1), "S01": ("Bass", 0.1)}
        make_track(folder / split / f"Track{number:05d}", stems, seconds=4)


def test_data_that_vanish_end_in_one_sentence_and_the_run_goes_on(place, project, make_track):
    here, leave, come = place
    make_set(here, make_track)
    project(data={"name": "slakh2100", "path": "set"}, segments={"seconds": 1.0})
    data.main()
    process = slow_segments()
    leave()
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "set/" in line
    assert not Path("segments").exists()
    come()
    segments.main()
    assert sum(read_json("segments/segments.json")["counts"].values()) == 4 * TRACKS


def test_a_track_that_vanishes_while_it_is_read_is_no_track_without_stems(
    project, make_track, monkeypatch, capsys
):
    make_set(
        project(data={"name": "slakh2100", "path": "set"}, segments={"seconds": 1.0}) / "set", make_track, 3
    )
    data.main()
    stems = read._stems

    def last_read(path: Path) -> dict:
        found = stems(path)
        shutil.rmtree("set")
        return found

    monkeypatch.setattr(read, "_stems", last_read)
    monkeypatch.setattr("ucr.foundation.workers.cpu_count", lambda: 1)
    with pytest.raises(SystemExit):
        segments.main()
    assert "vanished while it was read: mount or restore it" in capsys.readouterr().err

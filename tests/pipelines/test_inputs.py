"""The user's folders as dependencies: what changes in them, and what runs for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from pipelines import inputs
from tests.pipelines.kill import copy_project, environment
from ucr.foundation.hashes import scan_hash


@pytest.fixture
def songs(project) -> Path:
    folder = project(
        data={"name": "midi", "path": "songs"},
        methods={"mine": {"code": "mine.py", "needs": "segments", "weights": "mine.bin"}},
        tests={"real": {"name": "stems", "path": "~/none"}},
    )
    (folder / "songs/more").mkdir(parents=True)
    (folder / "songs/one.mid").write_bytes(b"one")
    (folder / "songs/more/two.mid").write_bytes(b"two")
    return folder / "songs"


def scan() -> dict[str, str]:
    inputs.main()
    return {str(path.relative_to("inputs")): path.read_text() for path in Path("inputs").rglob("*.json")}


def set_time(path: Path) -> None:
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


@pytest.mark.parametrize(
    ("change", "file"),
    [
        (lambda songs: (songs / "three.mid").touch(), "data.json"),
        (lambda songs: (songs / "more/two.mid").unlink(), "data.json"),
        (lambda songs: (songs / "one.mid").rename(songs / "four.mid"), "data.json"),
        (lambda songs: (songs / "one.mid").write_bytes(b"longer"), "data.json"),
        (lambda songs: set_time(songs / "one.mid"), "data.json"),
        (lambda songs: (songs.parent / "mine.bin").touch(), "methods/mine.json"),
    ],
)
def test_a_change_shows_in_the_file_of_what_depends_on_it(songs, change, file):
    before = scan()
    assert scan() == before
    assert {"data.json", "tests.json", "codec.json", "generation.json", "methods/mine.json"} <= before.keys()
    change(songs)
    after = scan()
    assert [name for name in before if after[name] != before[name]] == [file]


def test_a_large_folder_takes_a_moment_and_no_file_is_opened(tmp_path, monkeypatch):
    for folder in range(50):
        (tmp_path / str(folder)).mkdir()
        for file in range(100):
            (tmp_path / str(folder) / f"{file}.flac").touch()
    (tmp_path / "0/link").symlink_to(tmp_path)
    monkeypatch.setattr("pathlib.Path.open", lambda *_: pytest.fail("a file was opened"))
    began = time.process_time()
    first = scan_hash(tmp_path)
    assert time.process_time() - began < 2
    os.utime(tmp_path / "7/9.flac", ns=(1, 1))
    assert scan_hash(tmp_path) != first
    assert scan_hash(tmp_path / "none") == scan_hash(tmp_path / "neither")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_changed_stem_makes_dvc_cut_the_songs_again(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    copy_project(project)
    values = yaml.safe_load((project / "params.yaml").read_text())
    values["data"] |= {"name": "stems", "path": "../band"}
    values["segments"]["seconds"] = 1.0
    (project / "params.yaml").write_text(yaml.safe_dump(values))

    def write(song: int, seed: int) -> None:
        folder = tmp_path / f"band/{song}"
        folder.mkdir(parents=True, exist_ok=True)
        for i, name in enumerate(["drums", "bass"]):
            audio = np.random.default_rng([seed, i]).uniform(-0.5, 0.5, 24000)
            soundfile.write(str(folder / f"{name}.wav"), audio, 24000)

    def ran() -> set[str]:
        command = [sys.executable, "-m", "dvc", "repro", "segments"]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment(project))
        assert done.returncode == 0, done.stdout + done.stderr
        return set(re.findall(r"Running stage '([^']+)'", done.stdout + done.stderr))

    for song in range(6):
        write(song, song)
    assert ran() == {"inputs", "data", "segments"}
    index = (project / "segments/index.csv").read_text()
    assert ran() == {"inputs"}
    write(3, 33)  # as large as before
    assert ran() == {"inputs", "data", "segments"}
    assert (project / "segments/index.csv").read_text() != index

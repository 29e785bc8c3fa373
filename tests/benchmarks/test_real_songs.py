"""`benchmarks/real_songs.py`: songs of a package, made here, as a folder to train on."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from benchmarks import real_songs
from pipelines import data, segments
from ucr.data.songs import find_songs
from ucr.foundation.files import write_audio

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="Debian's packages need dpkg-deb")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """`apt-get download band-music` gives a package of two songs, a stem and a sound of the game."""
    contents = tmp_path / "contents"
    songs = contents / "usr/share/games/band"
    for name, seconds in (("one/song", 8), ("two/song", 8), ("one/guitar", 8), ("jump", 0.1)):
        audio = np.random.default_rng(len(name)).normal(0, 0.1, int(seconds * 24000)).astype(np.float32)
        write_audio(songs / f"{name}.flac", audio, 24000)
    licence = contents / "usr/share/doc/band-music/copyright"
    licence.parent.mkdir(parents=True)
    licence.write_text("CC-BY-SA-3.0\n")
    control = contents / "DEBIAN/control"
    control.parent.mkdir()
    control.write_text(
        "Package: band-music\nVersion: 1\nArchitecture: all\nMaintainer: A <a@b.c>\nDescription: songs\n"
    )
    made = tmp_path / "band-music_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", contents, made], check=True, capture_output=True)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "apt-get").write_text(f'#!/bin/sh\n[ "$2" = band-music ] && cp {made} .\n')
    (programs / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setattr(real_songs, "SHORTEST", 100_000)
    monkeypatch.setattr(real_songs, "LEFT_OUT", {"guitar.flac"})


def test_songs_come_with_their_licence_and_without_stems_and_sounds(tmp_path, monkeypatch, package, capsys):
    monkeypatch.setattr("sys.argv", ["real_songs", str(tmp_path / "real"), "--packages", "band-music"])
    real_songs.main()
    folder = tmp_path / "real" / "songs"
    assert sorted(path.name for path in (folder / "band-music").iterdir()) == [
        "copyright",
        "one-song.flac",
        "two-song.flac",
    ]
    assert len(find_songs(folder)) == 2
    assert "band-music 2 songs" in capsys.readouterr().out


def test_mixtures_of_a_run_lie_beside_them(tmp_path, monkeypatch, package, project, make_track):
    root = project(data={"name": "slakh2100", "path": "set"}, segments={"seconds": 1.0})
    for number, split in enumerate(["train", "validation", "test"], start=1):
        stems = {"S00": ("Drums", 0.2), "S01": ("Bass", 0.3)}
        make_track(root / "set" / split / f"Track{number:05d}", stems, seconds=3.0)
    data.main()
    segments.main()
    arguments = ["real_songs", "both", "--packages", "band-music", "--beside", "segments"]
    monkeypatch.setattr("sys.argv", arguments)
    real_songs.main()
    assert len(find_songs(root / "both" / "songs")) == 2 + 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["new", "--packages", "no-such-music"], "no-such-music could not be fetched"),
        (["new", "--packages", "band-music", "no-such-music"], "no-such-music could not be fetched"),
        (["there"], "there is there already"),
    ],
)
def test_what_can_t_be_had_is_said_in_a_sentence(tmp_path, monkeypatch, package, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    monkeypatch.setattr("sys.argv", ["real_songs", *arguments])
    with pytest.raises(SystemExit):
        real_songs.main()
    assert words in capsys.readouterr().err
    assert not (tmp_path / "new").exists()

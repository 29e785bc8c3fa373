"""`benchmarks/preprocessing.py`: the set that it links, its table, and a run of a few seconds of sound."""

from __future__ import annotations

import pytest

from benchmarks import preprocessing
from ucr.data.slakh.read import find_tracks


@pytest.fixture
def songs(tmp_path, make_track):
    for number in (1, 2, 3):
        stems = {"S00": ("Drums", 0.1 * number), "S01": ("Bass", 0.2)}
        make_track(tmp_path / "rendered" / f"Track{number:05d}", stems, seconds=15.0)
    return find_tracks(tmp_path / "rendered")


def test_linked_sets_are_as_long_as_told_and_take_no_space(tmp_path, songs):
    hours = preprocessing.link_songs(songs, 0.024, tmp_path / "linked")
    tracks = find_tracks(tmp_path / "linked")
    assert hours == pytest.approx(6 * 15 / 3600)
    assert [track.split for track in tracks] == ["train"] * 4 + ["validation", "test"]
    first, second = (track.folder / "stems" / "S00.flac" for track in tracks[:2])
    assert first.samefile(second)


@pytest.mark.slow
def test_stages_are_measured(tmp_path, monkeypatch, songs):
    monkeypatch.setattr(preprocessing, "CODEC_SECONDS", 0.5)
    table = preprocessing.measure(songs, [0.396], {"name": "mel"}, tmp_path).set_index("stage")
    assert table["segments"].eq(2 * 96).all()
    assert table["peak_private_mb"].between(20, 5000).all()
    assert table["audio_hours_per_hour"].gt(0).all()
    assert table.loc["both", "seconds"] == pytest.approx(table["seconds"].iloc[:2].sum(), abs=0.2)
    megabytes = 2 * 96 * 7 * 24000 * 2 * 2 / 1e6
    assert table.loc["segments", "disk_mb_per_hour"] * 96 * 15 / 3600 == pytest.approx(megabytes, rel=0.1)

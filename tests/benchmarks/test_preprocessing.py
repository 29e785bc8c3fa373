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


def test_speed_is_of_the_time_and_hours_that_a_start_does_not_have(tmp_path, monkeypatch):
    seconds = {"0h": {"segments": 2.0, "latents": 3.0}, "10h": {"segments": 20.0, "latents": 39.0}}

    def make_project(folder, songs, hours, codec):
        project = folder / f"{hours:g}h"
        for stage in preprocessing.STAGES:
            (project / stage).mkdir(parents=True)
        (project / "segments/segments.json").write_text('{"counts": {"train": 3600}}')
        return project, hours + 1

    monkeypatch.setattr(preprocessing, "make_project", make_project)
    monkeypatch.setattr(preprocessing, "codec_alone", lambda project: 0.011)
    monkeypatch.setattr(
        preprocessing, "run_stage", lambda stage, project: {"seconds": seconds[project.name][stage]}
    )
    table = preprocessing.measure([], [10], {"name": "mel"}, tmp_path).set_index("stage")
    assert table["audio_hours_per_hour"].tolist() == [2000.0, 1000.0, 666.7]  # 10 hours in 18, 36 and 54 s
    assert table["codec_alone"].tolist() == [1000.0] * 3  # 11 hours in 3,600 segments of 11 ms
    assert table["share_of_codec"].tolist() == [2.0, 1.0, 0.667]


@pytest.mark.slow
def test_stages_are_measured(tmp_path, monkeypatch, songs):
    monkeypatch.setattr(preprocessing, "CODEC_SECONDS", 0.5)
    table = preprocessing.measure(songs, [0.396], {"name": "mel"}, tmp_path).set_index("stage")
    assert table["segments"].eq(2 * 96).all()
    assert table["peak_private_mb"].between(20, 5000).all()
    assert table.loc["both", "seconds"] == pytest.approx(table["seconds"].iloc[:2].sum(), abs=0.2)
    megabytes = 2 * 96 * 7 * 24000 * 2 * 2 / 1e6
    assert table.loc["segments", "disk_mb_per_hour"] * 96 * 15 / 3600 == pytest.approx(megabytes, rel=0.1)

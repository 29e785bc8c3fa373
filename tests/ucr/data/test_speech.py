"""Speech is told from music."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.helpers import ROOT
from tests.ucr.program.helpers import make_song, make_speech
from ucr.data.speech import is_speech, unused

REAL = ROOT.parent / "shared" / "real"


@pytest.mark.parametrize("rate", [8000, 24000, 44100])
@pytest.mark.parametrize("gain", [1e-3, 1.0, 10.0])
def test_a_voice_with_pauses_is_speech(rate, gain):
    assert is_speech(gain * make_speech(7.0, rate), rate)


def test_a_song_is_not(tmp_path):
    audio, rate = soundfile.read(str(make_song(tmp_path / "song.wav", 7.0, channels=1)))
    assert not is_speech(audio, rate)


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(7 * 24000),
        np.full(7 * 24000, 0.1),
        np.random.default_rng(0).normal(0, 0.1, 7 * 24000),
        np.sin(np.arange(7 * 24000) / 20) * (np.arange(7 * 24000) % 12000 < 9000),  # one note, with pauses
        np.ones(100),
        make_speech(3.9, 24000),
    ],
)
def test_what_is_neither_is_no_speech(sound):
    assert not is_speech(sound, 24000)


def test_a_speaker_over_music_is_not_found(tmp_path):
    audio, rate = soundfile.read(str(make_song(tmp_path / "song.wav", 7.0, 24000, 1)))
    assert not is_speech(audio + make_speech(7.0, rate), rate)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real multitracks lie elsewhere")
@pytest.mark.parametrize(
    "piece", ["electronic", "funk", "live_band", "mastered_synth", "rock_80s", "rock_voice"]
)
def test_no_part_of_a_real_song_is_speech(piece: Path):
    stems = [soundfile.read(str(path)) for path in sorted((REAL / piece).glob("*.flac"))]
    mixture, rate = sum(audio for audio, _ in stems), stems[0][1]
    for seconds in (4.0, 7.0):
        size = round(seconds * rate)
        parts = [mixture[start : start + size] for start in range(0, len(mixture) - size + 1, rate // 2)]
        assert not any(is_speech(part, rate) for part in parts)


def test_what_is_said_of_a_song():
    assert unused(5, 0, 0) == ""
    assert unused(5, 2, 1) == "of 5 segments 2 too quiet, 1 speech"
    assert unused(5, 0, 3) == "of 5 segments 3 speech"

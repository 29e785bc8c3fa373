"""The user's MIDI files as songs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pretty_midi
import pytest

from ucr.data.slakh.midi import find_midi, read_midi, split_of
from ucr.foundation.errors import UserError

REAL = (
    Path(__file__).resolve().parents[5]
    / "shared"
    / "babyslakh"
    / "babyslakh_16k"
    / "Track00001"
    / "all_src.mid"
)


@pytest.fixture
def midi(tmp_path) -> Path:
    """Bass and drums in 3/4 at 90 quarter notes a minute; the bass's pedal is down from 1 to 3 s."""
    score = pretty_midi.PrettyMIDI(initial_tempo=90)
    score.time_signature_changes.append(pretty_midi.TimeSignature(3, 4, 0))
    bass = pretty_midi.Instrument(33)
    bass.notes = [pretty_midi.Note(90, 40, 0.0, 0.5), pretty_midi.Note(80, 43, 1.5, 2.0)]
    bass.control_changes = [pretty_midi.ControlChange(64, 127, 1.0), pretty_midi.ControlChange(64, 0, 3.0)]
    drums = pretty_midi.Instrument(0, is_drum=True)
    drums.notes = [pretty_midi.Note(100, 36, 0.0, 0.1)]
    score.instruments = [bass, drums, pretty_midi.Instrument(48)]
    score.write(str(tmp_path / "song.mid"))
    return tmp_path / "song.mid"


def test_programs_become_classes_and_tracks_stems(midi):
    song = read_midi(midi)
    assert [(stem.inst_class, stem.is_drum) for stem in song.stems] == [("Bass", False), ("Drums", True)]
    assert song.stems[0].patch.program == 33
    assert song.metre == (3, 4)
    assert song.tempos == [(0, pytest.approx(90, rel=1e-4))]
    assert song.origin == "song.mid"


def test_a_pedal_holds_notes(midi):
    first, second = read_midi(midi).stems[0].notes
    assert (first.start, first.length) == (0, pytest.approx(0.75, abs=0.01))
    assert (second.start, second.length) == (pytest.approx(2.25, abs=0.01), pytest.approx(2.25, abs=0.01))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 0.95])
def test_a_file_cut_short_is_named(midi, share):
    midi.write_bytes(midi.read_bytes()[: int(share * midi.stat().st_size)])
    with pytest.raises(UserError, match=r"song\.mid can't be read as MIDI"):
        read_midi(midi)


def test_a_file_without_notes_is_named(tmp_path):
    pretty_midi.PrettyMIDI().write(str(tmp_path / "empty.mid"))
    with pytest.raises(UserError, match=r"empty\.mid holds no note"):
        read_midi(tmp_path / "empty.mid")


def test_an_endless_file_is_refused(tmp_path):
    score = pretty_midi.PrettyMIDI()
    score.instruments = [pretty_midi.Instrument(0)]
    score.instruments[0].notes = [pretty_midi.Note(90, 60, 0, 1), pretty_midi.Note(90, 60, 4000, 4001)]
    score.write(str(tmp_path / "long.mid"))
    with pytest.raises(UserError, match=r"long\.mid lasts 67 minutes"):
        read_midi(tmp_path / "long.mid")


def test_the_split_is_the_names_own():
    splits = [split_of(f"{number}.mid") for number in range(2000)]
    assert 0.65 < splits.count("train") / 2000 < 0.75
    assert 0.07 < splits.count("validation") / 2000 < 0.13
    assert splits == [split_of(f"{number}.mid") for number in range(2000)]


def test_files_are_found_below_the_folder(midi):
    (midi.parent / "more").mkdir()
    (midi.parent / "more" / "B.MIDI").write_bytes(midi.read_bytes())
    (midi.parent / "notes.txt").write_text("no")
    assert [path.name for path in find_midi(midi.parent)] == ["B.MIDI", "song.mid"]
    with pytest.raises(UserError, match=r"does not exist: mend data\.path"):
        find_midi(midi.parent / "none")
    (midi.parent / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no \.mid file"):
        find_midi(midi.parent / "empty")


@pytest.mark.skipif(not REAL.is_file(), reason="no real MIDI here")
def test_a_real_song():
    song = read_midi(REAL)
    classes = [stem.inst_class for stem in song.stems]
    assert Counter(classes) == {
        "Guitar": 3, "Organ": 3, "Drums": 1, "Piano": 1, "Bass": 1, "Strings (continued)": 1, "Sound Effects": 1,
    }  # fmt: skip
    assert song.tempos[0][1] == pytest.approx(80, abs=0.1)

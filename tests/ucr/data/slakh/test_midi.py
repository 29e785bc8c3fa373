"""The user's MIDI files as songs."""

from __future__ import annotations

import os
import random
import struct
from collections import Counter
from pathlib import Path

import mido
import pretty_midi
import pytest

from tests.midi_bytes import BASS, DRUMS, NOTE, Event, track
from tests.midi_bytes import midi as midi_bytes
from ucr.data.slakh.midi import find_midi, read_midi, split_of
from ucr.data.slakh.song import Song
from ucr.foundation.errors import UserError

REAL = (
    Path(__file__).resolve().parents[5]
    / "shared"
    / "babyslakh"
    / "babyslakh_16k"
    / "Track00001"
    / "all_src.mid"
)
OPENMSX = sorted(Path("/usr/share/games/openttd/baseset/openmsx").glob("*.mid"))
FREEDOOM = sorted(Path("/usr/share/games/doom").glob("freedoom?.wad"))


@pytest.fixture
def midi(tmp_path) -> Path:
    """Bass and drums in 3/4 at 90 quarter notes per minute; the bass's pedal is down from 1 to 3 s."""
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
    (midi.parent / "song.kar").write_bytes(midi.read_bytes())
    (midi.parent / "song.rmi").write_bytes(midi.read_bytes())
    (midi.parent / "._song.mid").write_bytes(b"what macOS leaves")
    (midi.parent / ".trash").mkdir()
    (midi.parent / ".trash" / "old.mid").write_bytes(midi.read_bytes())
    (midi.parent.parent / "elsewhere").mkdir(exist_ok=True)
    (midi.parent.parent / "elsewhere" / "far.mid").write_bytes(midi.read_bytes())
    (midi.parent / "linked").symlink_to(midi.parent.parent / "elsewhere")
    (midi.parent / "more" / "circle").symlink_to(midi.parent)
    found = [path.relative_to(midi.parent).as_posix() for path in find_midi(midi.parent)]
    assert found == ["linked/far.mid", "more/B.MIDI", "song.kar", "song.mid", "song.rmi"]
    with pytest.raises(UserError, match=r"does not exist: fix data\.path"):
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


def read(folder: Path, data: bytes) -> Song:
    (folder / "odd.mid").write_bytes(data)
    return read_midi(folder / "odd.mid")


def notes(song: Song) -> list[tuple]:
    """Class, program, start, length, pitch and velocity of all notes."""
    return [
        (stem.inst_class, stem.patch.program, note.start, note.length, note.pitch, note.velocity)
        for stem in song.stems
        for note in stem.notes
    ]


def test_a_tempo_in_any_track_counts(tmp_path):
    slow = (0, [0xFF, 0x51, 3, 0x0F, 0x42, 0x40])
    assert read(tmp_path, midi_bytes(track(), track(slow, *NOTE))).tempos == [(0, 60)]
    later = read(tmp_path, midi_bytes(track(*NOTE), track((960, slow[1]), (480, [0x90, 60, 0]))))
    assert later.tempos == [(0, 120), (2, 60)]


def test_a_stroke_without_length_is_a_stroke(tmp_path):
    song = read(tmp_path, midi_bytes(track((0, [0x99, 36, 90]), (0, [0x89, 36, 0]), *DRUMS)))
    assert notes(song) == [("Drums", 0, 0, 0, 36, 90), ("Drums", 0, 0, 1, 36, 90)]


def test_a_note_has_the_program_in_force_when_it_begins(tmp_path):
    change = [(0, [0xC0, 33]), (0, [0x90, 60, 90]), (240, [0xC0, 40]), (240, [0x80, 60, 0]), *NOTE]
    song = read(tmp_path, midi_bytes(track(*change)))
    assert notes(song) == [("Bass", 33, 0, 1, 60, 90), ("Strings", 40, 1, 1, 60, 90)]


def test_a_program_in_another_track_counts_unless_a_track_has_its_own(tmp_path):
    setting, own = track((0, [0xC0, 33])), track((0, [0xC0, 40]), *NOTE)
    assert notes(read(tmp_path, midi_bytes(setting, track(*NOTE)))) == [("Bass", 33, 0, 1, 60, 90)]
    both = notes(read(tmp_path, midi_bytes(own, track((0, [0xC0, 33]), *NOTE))))
    assert [program for _, program, *_ in both] == [40, 33]


def exclusive(*data: int) -> Event:
    return 0, [0xF0, len(data) + 1, *data, 0xF7]


def bank(channel: int, number: int) -> Event:
    return 0, [0xB0 | channel, 0, number]


def melody(channel: int, program: int = 0) -> list[Event]:
    return [(0, [0xC0 | channel, program]), (0, [0x90 | channel, 38, 90]), (480, [0x80 | channel, 38, 0])]


GS_RESET = exclusive(0x41, 0x10, 0x42, 0x12, 0x40, 0x00, 0x7F, 0x00, 0x41)
XG_ON = exclusive(0x43, 0x10, 0x4C, 0x00, 0x00, 0x7E, 0x00)
GM_ON = exclusive(0x7E, 0x7F, 0x09, 0x01)


def gs_rhythm(part: int, use: int) -> Event:
    return exclusive(0x41, 0x10, 0x42, 0x12, 0x40, 0x10 | part, 0x15, use, 0)


def xg_mode(part: int, mode: int) -> Event:
    return exclusive(0x43, 0x10, 0x4C, 0x08, part, 0x07, mode)


@pytest.mark.parametrize(
    ("events", "drums"),
    [
        (melody(10), [False]),
        ([bank(10, 120), *melody(10)], [True]),  # General MIDI 2
        ([bank(10, 127), *melody(10)], [True]),  # XG
        ([XG_ON, bank(3, 126), *melody(3)], [True]),
        ([GS_RESET, bank(10, 127), *melody(10)], [False]),  # the sounds of the MT-32
        ([bank(9, 121), *melody(9)], [False]),
        ([bank(9, 0), *melody(9)], [True]),
        ([bank(10, 120), *NOTE], [False]),  # another channel
        ([*melody(10), bank(10, 120), *melody(10), bank(10, 0), *melody(10)], [False, True, False]),
        (
            [(0, [0xCA, 0]), bank(10, 120), (0, [0x9A, 38, 90]), (480, [0x8A, 38, 0])],
            [False],
        ),  # not in force yet
        ([gs_rhythm(11, 1), *melody(11)], [True]),  # parts 11 to 15 are channels 12 to 16
        ([gs_rhythm(1, 2), *melody(0)], [True]),  # parts 1 to 9 the first nine
        ([gs_rhythm(0, 0), *melody(9)], [False]),  # part 0 the tenth
        ([gs_rhythm(11, 1), gs_rhythm(11, 0), *melody(11)], [False]),
        ([xg_mode(5, 2), *melody(5)], [True]),
        ([xg_mode(5, 0), xg_mode(9, 0), *melody(9)], [False]),
        ([gs_rhythm(11, 1), GM_ON, *melody(11)], [False]),
        ([xg_mode(5, 1), XG_ON, *melody(5)], [False]),
        ([exclusive(0x41), exclusive(0x43, 0x10, 0x4C), exclusive(), *melody(5)], [False]),
    ],
)
def test_drums_are_what_the_file_makes_drums(tmp_path, events, drums):
    stems = read(tmp_path, midi_bytes(track(*events))).stems
    found = sorted(
        (note.start, stem.is_drum, stem.inst_class == "Drums") for stem in stems for note in stem.notes
    )
    assert [kinds for _, *kinds in found] == [[each, each] for each in drums]


def test_two_channels_of_drums_keep_their_kits(tmp_path):
    song = read(tmp_path, midi_bytes(track(bank(10, 120), *melody(10, 25), *melody(9, 8))))
    assert [(stem.inst_class, stem.patch.program) for stem in song.stems] == [("Drums", 25), ("Drums", 8)]


def test_a_note_without_an_end_lasts_as_long_as_its_track(tmp_path):
    song = read(tmp_path, midi_bytes(track((0, [0x90, 60, 90]), (480, [0x90, 64, 80]), (960, [0x80, 64, 0]))))
    assert notes(song) == [("Piano", 0, 0, 3, 60, 90), ("Piano", 0, 1, 2, 64, 80)]


@pytest.mark.parametrize(
    ("controller", "value", "length"),
    [(64, 0, 2), (64, 64, 4), (121, 0, 2), (120, 0, 2), (123, 0, 4), (7, 0, 4)],
)
def test_a_pedal_holds_until_something_lifts_it_or_the_file_ends(tmp_path, controller, value, length):
    """FluidSynth 1051: all notes off (123) ends no note that a pedal holds, all sound off (120) every one."""
    pressed = [(0, [0xB0, 64, 127]), (0, [0x90, 60, 90]), (480, [0x80, 60, 0])]
    song = read(tmp_path, midi_bytes(track(*pressed, (480, [0xB0, controller, value]), (960, [0xB0, 7, 9]))))
    assert notes(song) == [("Piano", 0, 0, length, 60, 90)]


@pytest.mark.parametrize(
    ("controller", "length"), [(120, 1), (121, 3), (123, 1), (124, 1), (127, 1), (119, 3)]
)
def test_what_ends_every_note(tmp_path, controller, length):
    events = [(0, [0x90, 60, 90]), (480, [0xB0, controller, 0]), (960, [0x80, 60, 0])]
    assert notes(read(tmp_path, midi_bytes(track(*events)))) == [("Piano", 0, 0, length, 60, 90)]


def test_a_key_pressed_twice(tmp_path):
    twice = [(0, [0x90, 60, 90]), (240, [0x90, 60, 80]), (240, [0x80, 60, 0])]
    lengths = [(0, 1), (0.5, 0.5)]
    assert [note[2:4] for note in notes(read(tmp_path, midi_bytes(track(*twice))))] == lengths
    ended = track(*twice, (240, [0x80, 60, 0]))
    assert [note[2:4] for note in notes(read(tmp_path, midi_bytes(ended)))] == [(0, 1), (0.5, 1)]
    stopped = track((0, [0x90, 60, 90]), (240, [0xB0, 123, 0]), (960, [0x80, 60, 0]))
    assert [note[2:4] for note in notes(read(tmp_path, midi_bytes(stopped)))] == [(0, 0.5)]


@pytest.mark.parametrize("error", [-3, 3])
def test_a_track_whose_length_is_wrong_costs_no_other(tmp_path, error):
    data = bytearray(midi_bytes(track(*NOTE), track(*BASS)))
    size = int.from_bytes(data[18:22])
    data[18:22] = (size + error).to_bytes(4)
    assert [note[0] for note in notes(read(tmp_path, bytes(data)))] == ["Piano", "Bass"]


def test_a_number_longer_than_the_format_has_them(tmp_path):
    """As Ardour writes some: 2^57 and the number that is meant."""
    data = midi_bytes(track(NOTE[0], (2**57 + 480, NOTE[1][1])))
    assert notes(read(tmp_path, data)) == [("Piano", 0, 0, 1, 60, 90)]


def test_a_name_that_is_not_utf_8(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mid"))
    path.write_bytes(midi_bytes(track(*NOTE)))
    assert split_of(path.name) in ("train", "validation", "test")
    with pytest.raises(UserError, match="is not UTF-8: rename the file or its folder"):
        read_midi(path)


@pytest.mark.parametrize(
    ("data", "metre"),
    [
        (midi_bytes(track((0, [0xFF, 0x58, 4, 4, 8, 24, 8]), *NOTE)), (4, 4)),  # denominator 256
        (midi_bytes(track((0, [0xFF, 0x58, 4, 0, 2, 24, 8]), *NOTE)), (4, 4)),  # numerator 0
        (midi_bytes(track((0, [0xFF, 0x58, 4, 7, 3, 24, 8]), *NOTE)), (7, 8)),
        (midi_bytes(track((0, [0xFF, 0x59, 2, 9, 5]), *NOTE)), (4, 4)),  # no such key
        (midi_bytes(track((0, [0xFF, 0x51, 0]), *NOTE)), (4, 4)),  # a tempo without a value
        (midi_bytes(track((0, [0xFF, 0x54, 1, 99]), *NOTE)), (4, 4)),
        (midi_bytes(track(*NOTE), n_tracks=3), (4, 4)),
        (midi_bytes(track(*NOTE), n_tracks=0), (4, 4)),
        (midi_bytes(b"XFIH\0\0\0\3abc", track(*NOTE)), (4, 4)),  # a chunk of another kind
        (
            midi_bytes(track((0, [0xF0, 3, 1, 2, 0xF7]), (0, [0x90, 60, 90]), (480, [60, 0]))),
            (4, 4),
        ),  # running
        (midi_bytes(track(*NOTE)) + bytes(5), (4, 4)),
    ],
)
def test_what_is_odd_beside_the_notes_costs_nothing(tmp_path, data, metre):
    song = read(tmp_path, data)
    assert notes(song) == [("Piano", 0, 0, 1, 60, 90)]
    assert song.metre == metre


@pytest.mark.parametrize(("frames", "per_second"), [(25, 1000), (30, 1200), (29, 1200 * 1000 / 1001)])
def test_time_in_frames(tmp_path, frames, per_second):
    slow = (0, [0xFF, 0x51, 3, 0x0F, 0x42, 0x40])  # which means nothing here
    song = read(tmp_path, midi_bytes(track(slow, *NOTE), division=(256 - frames) << 8 | 40))
    assert song.tempos == [(0, 120)]
    assert song.stems[0].notes[0].length / 2 == pytest.approx(480 / per_second)


def test_a_midi_file_within_another_is_read(tmp_path):
    plain = midi_bytes(track(*NOTE), track(*DRUMS))
    expected = read(tmp_path, plain)
    tail = struct.pack("<4sI", b"DISP", 4) + b"name"
    body = b"RMIDdata" + struct.pack("<I", len(plain)) + plain + tail
    for data in (b"RIFF" + struct.pack("<I", len(body)) + body, bytes(128) + plain):
        assert read(tmp_path, data).stems == expected.stems


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (midi_bytes(track(*NOTE))[:-3], "it ends too early"),
        (midi_bytes(track(*NOTE), kind=2), "its tracks are songs of their own, format 2"),
        (midi_bytes(track(*NOTE), division=0), "its header gives no ticks per beat"),
        (midi_bytes(track((0, [60, 90]))), "no event has the status"),
        (b"RIFF" + bytes(40), "it has no MIDI header"),
        (b"", "it is empty"),
    ],
)
def test_what_can_not_be_read_says_why(tmp_path, data, reason):
    with pytest.raises(UserError, match=rf"odd\.mid can't be read as MIDI \({reason}"):
        read(tmp_path, data)


def tenths(seconds: float) -> int:
    """Of a second, cut where no note of a metre falls."""
    return int(10 * (seconds + 0.0137))


def assert_as_mido_reads(path: Path) -> None:
    """Every stroke is at mido's time in seconds, which heeds all tempi, with its pitch and velocity."""
    theirs = Counter()
    now = 0.0
    for message in mido.MidiFile(path, clip=True):
        now += message.time
        if message.type == "note_on" and message.velocity:
            theirs[tenths(now), message.channel == 9, message.note, message.velocity] += 1
    song, ours = read_midi(path), Counter()
    beats = [beat for beat, _ in song.tempos]
    times = [0.0]
    for (beat, tempo), (later, _) in zip(song.tempos, song.tempos[1:], strict=False):
        times.append(times[-1] + (later - beat) * 60 / tempo)
    for stem in song.stems:
        for note in stem.notes:
            i = max(i for i, beat in enumerate(beats) if beat <= note.start)
            second = times[i] + (note.start - beats[i]) * 60 / song.tempos[i][1]
            ours[tenths(second), stem.is_drum, note.pitch, note.velocity] += 1
    assert ours == theirs


@pytest.mark.skipif(not OPENMSX, reason="Debian's openttd-openmsx is not here")
def test_debians_openmsx_is_read_as_mido_reads_it():
    for path in OPENMSX:
        assert_as_mido_reads(path)


@pytest.mark.skipif(not FREEDOOM, reason="Debian's freedoom is not here")
def test_debians_freedoom_is_read_as_mido_reads_it(tmp_path):
    songs = 0
    for wad in FREEDOOM:
        data = wad.read_bytes()
        _, count, place = struct.unpack_from("<4sii", data)
        for i in range(count):
            start, size = struct.unpack_from("<ii", data, place + 16 * i)
            if data[start : start + 4] == b"MThd":
                songs += 1
                (tmp_path / "lump.mid").write_bytes(data[start : start + size])
                assert_as_mido_reads(tmp_path / "lump.mid")
    assert songs > 60


@pytest.mark.parametrize("seed", range(20))
def test_generated_files_are_read_as_mido_reads_them(tmp_path, seed):
    chance = random.Random(seed)
    score = mido.MidiFile(ticks_per_beat=chance.choice([24, 96, 480]))
    for _ in range(chance.randint(1, 5)):
        score.tracks.append(mido.MidiTrack())
        for _ in range(200):
            channel, pitch = chance.choice([0, 1, 9]), chance.randint(30, 80)
            message = chance.choice(
                [
                    mido.Message("note_on", channel=channel, note=pitch, velocity=chance.randint(0, 127)),
                    mido.Message("note_off", channel=channel, note=pitch),
                    mido.Message("program_change", channel=channel, program=chance.randint(0, 127)),
                    mido.MetaMessage("set_tempo", tempo=chance.randint(200_000, 2_000_000)),
                    mido.Message("pitchwheel", channel=channel, pitch=chance.randint(-8192, 8191)),
                    mido.Message("sysex", data=[1, 2, 3]),
                ]
            )
            score.tracks[-1].append(message.copy(time=chance.choice([0, 0, 10, 100])))
    score.save(tmp_path / "made.mid")
    assert_as_mido_reads(tmp_path / "made.mid")

#!/bin/sh
# pretty_midi 0.2.11: tempi outside the first track are left out, strokes without length too, and a note is filed
# under the program that is set when it ends.
#
# One would guess: every tempo of a file counts, as for any sequencer or for mido; a drum stroke whose end stands at
# the tick of its beginning is a stroke; a note belongs to the instrument that began it.
# What happens: a song whose tempo stands in its second track is read at 120 beats per minute (with a warning that
# tools often silence); of four strokes of a drum, the two without length are gone; a note of the bass that lasts
# into a change of program is a note of the strings.
# Whom it hurts: who renders or trains on MIDI collections. Of the 67 songs of Debian's freedoom 0.12.1, 7 come out
# at another length.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pretty_midi==0.2.11 mido==1.3.3 numpy==1.26.4 setuptools==75.8.0
"$folder/venv/bin/python" - <<'PYTHON'
import io
import warnings

import mido
import pretty_midi
from mido import Message, MetaMessage

warnings.simplefilter("ignore")
tempo = mido.MidiTrack([Message("note_on", note=60, velocity=90), Message("note_off", note=60, time=960)])
tempo.insert(0, MetaMessage("set_tempo", tempo=1_000_000))
drums = mido.MidiTrack()
for length in (0, 120, 0, 120):
    drums.append(Message("note_on", channel=9, note=36, velocity=90, time=240 - length))
    drums.append(Message("note_off", channel=9, note=36, time=length))
change = mido.MidiTrack(
    [
        Message("program_change", channel=1, program=33),
        Message("note_on", channel=1, note=40, velocity=90),
        Message("program_change", channel=1, program=48, time=240),
        Message("note_off", channel=1, note=40, time=240),
    ]
)
song = mido.MidiFile(ticks_per_beat=480, tracks=[mido.MidiTrack(), tempo, drums, change])
data = io.BytesIO()
song.save(file=data)
data.seek(0)
read = pretty_midi.PrettyMIDI(data)
strokes = sum(len(part.notes) for part in read.instruments if part.is_drum)
programs = [part.program for part in read.instruments if not part.is_drum and part.notes[0].pitch == 40]
print("mido 1.3.3: the song lasts", round(song.length, 3), "s")
print("pretty_midi 0.2.11: the song lasts", round(read.get_end_time(), 3), "s;", strokes, "of 4 strokes;")
print("the note that program 33 began has the program", programs[0])
assert round(song.length, 3) == 2.0
assert round(read.get_end_time(), 3) == 1.0
assert strokes == 2
assert programs == [48]
PYTHON

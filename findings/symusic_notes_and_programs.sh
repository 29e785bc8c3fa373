#!/bin/sh
# symusic 0.5.9: a program set in another track of the same channel does not count, and a note that its track's end
# cuts off is gone.
#
# One would guess: the tracks of a format-1 file play together on 16 channels, so that a first track with the
# programs of all channels sets them; and a note that is on when its track ends sounds until then.
# What happens: the notes of the other tracks have program 0, piano; the held note is not among the notes.
# Whom it hurts: who takes stems' instruments from MIDI, such as labels of bass and drums: a bass is filed under piano.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet symusic==0.5.9 mido==1.3.3 numpy==2.2.6
"$folder/venv/bin/python" - "$folder/song.mid" <<'PYTHON'
import sys

import mido
import symusic
from mido import Message

setting = mido.MidiTrack([Message("program_change", channel=1, program=33)])
bass = mido.MidiTrack(
    [
        Message("note_on", channel=1, note=40, velocity=90),
        Message("note_off", channel=1, note=40, time=480),
        Message("note_on", channel=1, note=43, velocity=90),
        mido.MetaMessage("end_of_track", time=480),
    ]
)
mido.MidiFile(ticks_per_beat=480, tracks=[setting, bass]).save(sys.argv[1])
(track,) = symusic.Score(sys.argv[1]).tracks
print("symusic 0.5.9: program", track.program, "and", [(note.time, note.duration, note.pitch) for note in track.notes])
assert track.program == 0
assert [(note.time, note.duration, note.pitch) for note in track.notes] == [(0, 480, 40)]
PYTHON

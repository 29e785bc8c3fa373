#!/bin/sh
# mido 1.3.3: a MIDI file whose time is in SMPTE frames lasts less than nothing.
#
# One would guess: 2000 ticks, at 25 frames of 40 ticks in a second as the file's header has them, are 2 seconds; the
# Standard MIDI File specification has this way of counting beside the beats, and sequencers for film write it.
# What happens: the header's two bytes, -25 and 40, are taken as one number, of ticks per beat: -6360. The song's length
# is -0.157 s and its messages come at negative times. A tempo, which means nothing in such a file, changes them.
# Whom it hurts: who sorts, cuts or renders MIDI collections by length, or plays messages at their times: the song falls
# out of the set without a word.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mido==1.3.3
"$folder/venv/bin/python" - <<'PYTHON'
import io
import struct

import mido

note = b"\x00\x90\x3c\x5a" + b"\x8f\x50\x80\x3c\x00" + b"\x00\xff\x2f\x00"  # key 60 for 2000 ticks, end of track
header = struct.pack(">4sIHHbB", b"MThd", 6, 0, 1, -25, 40)
song = mido.MidiFile(file=io.BytesIO(header + struct.pack(">4sI", b"MTrk", len(note)) + note))
ends = next(message.time for message in song if message.type == "note_off")
print(f"mido 1.3.3: {song.ticks_per_beat} ticks per beat; the song lasts {song.length:.3f} s; its note ends at {ends:.3f} s")
assert sum(message.time for message in song.tracks[0]) == 2000
assert song.ticks_per_beat == -6360
assert -0.16 < song.length == ends < -0.15
PYTHON

#!/bin/sh
# pretty_midi 0.2.11, symusic 0.5.9: drums that General MIDI 2, GS or XG put on another channel than 10 are read as
# piano.
#
# One would guess: `is_drum` says whether a track plays drums. General MIDI 2 makes a channel a drum channel by bank
# select 120 before a program change, Roland's GS by the exclusive "use for rhythm part", Yamaha's XG by its part mode;
# players heed them, and songs with two drummers need them.
# What happens: both libraries look at the channel's number alone. The kit on channel 11 is a piano, and channel 10
# that GS has made melodic is drums.
# Whom it hurts: who labels or renders drums from MIDI: bass drums become low piano notes in the other source.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pretty_midi==0.2.11 symusic==0.5.9 mido==1.3.3 numpy==2.2.6 "setuptools<81"
"$folder/venv/bin/python" - "$folder/song.mid" <<'PYTHON'
import sys

import mido
import pretty_midi
import symusic
from mido import Message


def kick(channel):
    return [
        Message("program_change", channel=channel, program=0),
        Message("note_on", channel=channel, note=36, velocity=90),
        Message("note_off", channel=channel, note=36, time=480),
    ]


def gs_part(part, use):
    body = [0x40, 0x10 | part, 0x15, use]
    return Message("sysex", data=[0x41, 0x10, 0x42, 0x12, *body, -sum(body) % 128])


gm2 = [Message("control_change", channel=10, control=0, value=120), *kick(10)]
gs = [gs_part(11, 1), *kick(11)]  # part 11 is channel 12
xg = [Message("sysex", data=[0x43, 0x10, 0x4C, 0x08, 12, 0x07, 2]), *kick(12)]
melodic = [gs_part(0, 0), *kick(9)]  # part 0 is channel 10
for name, events, drums in (("GM2", gm2, True), ("GS", gs, True), ("XG", xg, True), ("GS melodic", melodic, False)):
    mido.MidiFile(tracks=[mido.MidiTrack(events)]).save(sys.argv[1])
    (instrument,) = pretty_midi.PrettyMIDI(sys.argv[1]).instruments
    (track,) = symusic.Score(sys.argv[1]).tracks
    print(f"{name}: drums {drums}, pretty_midi {instrument.is_drum}, symusic {track.is_drum}")
    assert instrument.is_drum == track.is_drum != drums
PYTHON

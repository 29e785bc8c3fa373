#!/bin/sh
# symusic 0.5.9: its synthesiser passes over the tuning that a SoundFont's zones give, and most give it.
#
# One would guess: a zone's root key (generator 58), coarse tuning (51) and scale tuning (56) decide how high a note
# sounds, as the SoundFont 2.04 specification has it (section 8.1.3) and FluidSynth plays it.
# What happens: the root key is taken from the sample's header alone, coarse tuning ends at 1.2 semitones, and scale
# tuning of 0, with which all keys sound alike, changes nothing. Notes are off by octaves; drums play too fast or slow.
# Whom it hurts: who renders training data. Of the zones of Debian's TimGM6mb 1.3, 1,771 of 2,063 give a root key.
# The root key is known: https://github.com/Yikai-Liao/symusic/issues/55
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet symusic==0.5.9 numpy==2.2.6
"$folder/venv/bin/python" - "$folder/tuned.sf2" <<'PYTHON'
import struct
import sys

import numpy as np
import symusic

rate = 44100


def chunk(name, body):
    return struct.pack("<4sI", name, len(body)) + body


def soundfont(zone):
    """One looped sine of 441 Hz, recorded at key 69, in one zone."""
    sine = (16000 * np.sin(2 * np.pi * 441 / rate * np.arange(4410))).astype("<i2").tobytes() + bytes(92)
    generators = [*zone.items(), (54, 1), (53, 0)]
    tables = {
        b"phdr": struct.pack("<20sHHHIII", b"p", 0, 0, 0, 0, 0, 0) + struct.pack("<20sHHHIII", b"EOP", 0, 0, 1, 0, 0, 0),
        b"pbag": struct.pack("<4H", 0, 0, 1, 0),
        b"pmod": bytes(10),
        b"pgen": struct.pack("<4H", 41, 0, 0, 0),
        b"inst": struct.pack("<20sH", b"i", 0) + struct.pack("<20sH", b"EOI", 1),
        b"ibag": struct.pack("<4H", 0, 0, len(generators), 0),
        b"imod": bytes(10),
        b"igen": b"".join(struct.pack("<Hh", *pair) for pair in generators) + bytes(4),
        b"shdr": struct.pack("<20sIIIIIBbHH", b"s", 0, 4410, 1000, 3000, rate, 69, 0, 0, 1) + bytes(46),
    }
    body = b"sfbk" + chunk(b"LIST", b"INFO" + chunk(b"ifil", struct.pack("<HH", 2, 4)))
    body += chunk(b"LIST", b"sdta" + chunk(b"smpl", sine))
    body += chunk(b"LIST", b"pdta" + b"".join(chunk(*table) for table in tables.items()))
    return chunk(b"RIFF", body)


def heard(zone, key):
    """In semitones above the recording."""
    with open(sys.argv[1], "wb") as file:
        file.write(soundfont(zone))
    score = symusic.Score(480)
    score.tempos.append(symusic.Tempo(0, qpm=60))
    track = symusic.Track(program=0)
    track.notes.append(symusic.Note(0, 480, key, 127))
    score.tracks.append(track)
    audio = symusic.Synthesizer(sys.argv[1], sample_rate=rate, quality=0).render(score, stereo=False)[0]
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 16 * len(audio)))
    return round(float(12 * np.log2(spectrum.argmax() * rate / (16 * len(audio)) / 441)), 1)


for name, zone, key, right, found in (
    ("nothing", {}, 69, 0.0, 0.0),
    ("root key 57", {58: 57}, 69, 12.0, 0.0),
    ("coarse tuning +12", {51: 12}, 69, 12.0, 1.2),
    ("scale tuning 0", {56: 0}, 74, 0.0, 5.0),
):
    semitones = heard(zone, key)
    print(f"symusic 0.5.9, a zone with {name}, key {key}: {semitones:+.1f} semitones, where {right:+.1f} are right")
    assert abs(semitones - found) < 0.15
PYTHON

#!/bin/sh
# soundfile 0.13.1 (libsndfile 1.2.2): of an Ogg file whose streams follow one another, the first is the whole file.
#
# One would guess: a chained Ogg file, which RFC 3533 describes and which two Ogg files joined by `cat` and recorded
# radio are, is as long as all of it, as players have it.
# What happens: length and samples are those of the first stream, in Vorbis as in Opus. There is no error and no warning;
# only the text of `extra_info` says "Junk after the last page". FFmpeg's libraries (PyAV 14.2.0) decode all of it.
# Whom it hurts: who loads songs by soundfile, or by what is built on it, such as librosa: a recording ends where its second
# part begins.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet soundfile==0.13.1 av==14.2.0 numpy==1.26.4
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import av
import numpy as np
import soundfile

folder, rate = Path(sys.argv[1]), 48000
time = np.arange(2 * rate) / rate
for codec in ("VORBIS", "OPUS"):
    parts = []
    for pitch in (220, 440):
        soundfile.write(folder / "part.ogg", 0.5 * np.sin(2 * np.pi * pitch * time), rate, codec, format="OGG")
        parts.append((folder / "part.ogg").read_bytes())
    (folder / "song.ogg").write_bytes(b"".join(parts))
    with soundfile.SoundFile(folder / "song.ogg") as file:
        announced, read, notes = file.frames, len(file.read()), file.extra_info
    with av.open(str(folder / "song.ogg")) as container:
        decoded = sum(frame.samples for frame in container.decode(audio=0))
    print(f"{codec}, two streams of 2 s: soundfile says {announced / rate:.2f} s and reads {read / rate:.2f} s,", end=" ")
    print(f"FFmpeg decodes {decoded / rate:.2f} s")
    assert announced == read == 2 * rate
    assert abs(decoded - 4 * rate) < 0.05 * rate
    assert "Junk after the last page" in notes
PYTHON

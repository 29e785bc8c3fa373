#!/bin/sh
# Two SoundFonts of Debian 12, TimGM6mb 1.3 (timgm6mb-soundfont) and GMbank (csound-soundfont 6.18.1), are largely the
# same recordings.
#
# One would guess: SoundFonts of two projects, with two names and authors, hold two sets of instruments.
# What happens: over half of the recordings of either are in the other, under much the same names, to the last bit: basses,
# snares, cymbals. FluidR3 GS has none in common with them.
# Whom it hurts: who renders training songs with one and test songs with the other to see how a model does on
# instruments that it has not heard. It has heard most of them.
# Needs apt with Debian 12's packages; nothing is installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -qq timgm6mb-soundfont=1.3-5 csound-soundfont=1:6.18.1+dfsg-1 fluid-soundfont-gs=3.1-5.3
for package in ./*.deb; do dpkg-deb -x "$package" .; done
python3 -m venv venv
venv/bin/pip install --quiet numpy==1.26.4
venv/bin/python - <<'PYTHON'
import struct
from pathlib import Path

import numpy as np

HEADER = np.dtype([("name", "S20"), ("start", "<u4"), ("end", "<u4"), ("rest", "V18")])
SHORTEST = 200  # samples: single cycles of waves may be alike by chance


def chunk(data, name):
    place = data.index(name)
    return data[place + 8 : place + 8 + struct.unpack_from("<I", data, place + 4)[0]]


def recordings(name):
    data = (Path("usr/share/sounds/sf2") / name).read_bytes()
    pcm = np.frombuffer(chunk(data, b"smpl"), "<i2")
    headers = np.frombuffer(chunk(data, b"shdr"), HEADER)[:-1]
    return {pcm[start:end].tobytes() for _, start, end, _ in headers if end - start > SHORTEST}


small, csound, fluid = map(recordings, ("TimGM6mb.sf2", "sf_GMbank.sf2", "FluidR3_GS.sf2"))
print(f"TimGM6mb has {len(small)} recordings, GMbank {len(csound)}: {len(small & csound)} are the same to the bit")
print(f"FluidR3 GS has {len(fluid)}: {len(fluid & (small | csound))} are one of theirs")
assert len(small & csound) > 0.5 * max(len(small), len(csound))
assert not fluid & (small | csound)
PYTHON

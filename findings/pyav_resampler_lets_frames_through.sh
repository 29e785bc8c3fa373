#!/bin/sh
# PyAV 14.2.0: `AudioResampler` gives frames of another rate and other channels than it was made for, if the first frame
# needed no change.
#
# One would guess: what comes out of a resampler to 44.1 kHz stereo is 44.1 kHz stereo, or an error.
# What happens: a first frame that is so already makes it pass every later one through as it is. Where a stream changes
# midway, as AAC and AC-3 of broadcasts do and joined recordings, the second half of the samples has the other rate, and
# is heard at another pitch and length. If the first frame is the one that differs, it is an error (a ValueError).
# Whom it hurts: who puts the frames' samples behind each other, as loaders of songs do.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==14.2.0 numpy==1.26.4
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import av
import numpy as np

folder = Path(sys.argv[1])


def adts(rate, layout):
    """A second of AAC, as broadcasts have it."""
    with av.open(str(folder / "part.aac"), "w") as container:
        stream = container.add_stream("aac", rate=rate, layout=layout)
        silence = np.zeros((stream.codec_context.channels, rate), np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout=layout)
        frame.sample_rate = rate
        for part in av.AudioResampler("fltp", layout, rate, frame_size=1024).resample(frame):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return (folder / "part.aac").read_bytes()


(folder / "song.aac").write_bytes(adts(44100, "stereo") + adts(48000, "mono"))
resampler = av.AudioResampler("fltp", "stereo", 44100)
with av.open(str(folder / "song.aac")) as container:
    given = [
        (out.sample_rate, out.layout.name) for frame in container.decode(audio=0) for out in resampler.resample(frame)
    ]
kinds = {kind: given.count(kind) for kind in dict.fromkeys(given)}
print("PyAV 14.2.0, a resampler to 44100 Hz stereo gives", kinds)
assert list(kinds) == [(44100, "stereo"), (48000, "mono")]
assert min(kinds.values()) > 30
PYTHON

#!/bin/sh
# FFmpeg's AAC in MP4 (PyAV 14.2.0), the form of stem files and of MUSDB18: the stems do not add up to the mixture.
#
# One would guess: a file that holds a mixture and all of its stems holds every stem twice, as itself and as the mixture
# less the others.
# What happens: each stream is coded alone, with errors of its own, shaped by what that stream masks. At 128 kbit/s a
# quiet stem that is coded at nearly 40 dB is found in the mixture less the others at under 10: the other streams' errors are as
# loud as it.
# Whom it hurts: who makes a stem or an accompaniment by subtraction, trains or scores with a loss on the mixture, or
# takes the sum of the stems for the mixture in one place and the file's mixture in another.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==14.2.0 numpy==1.26.4
"$folder/venv/bin/python" - "$folder/song.stem.mp4" <<'PYTHON'
import sys

import av
import numpy as np

rate = 44100
rng = np.random.default_rng(0)
time = np.arange(8 * rate) / rate
phase = 2 * np.pi * np.cumsum(rng.choice([55, 65, 82, 98], 16).repeat(rate // 2)) / rate
stems = {
    "drums": 0.2 * rng.normal(size=time.size) * np.exp(-20 * (time % 0.5)),
    "bass": 0.1 * sum(np.sin(k * phase) / k for k in range(1, 5)),
    "vocals": 0.05 * np.sin(2 * np.pi * 440 * time + 3 * np.sin(2 * np.pi * 5 * time)),
}
songs = {"mixture": sum(stems.values()), **stems}
with av.open(sys.argv[1], "w", format="mp4") as container:
    streams = {name: container.add_stream("aac", rate=rate, layout="mono") for name in songs}
    for name, stream in streams.items():
        stream.bit_rate = 128_000
    for name, stream in streams.items():
        frame = av.AudioFrame.from_ndarray(songs[name].astype("f4")[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler("fltp", "mono", rate, frame_size=1024)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
heard = {}
for i, name in enumerate(songs):
    with av.open(sys.argv[1]) as container:
        heard[name] = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=i)])[: time.size]


def si_sdr(reference, estimate):
    target = (reference @ estimate) / (reference @ reference) * reference
    return 10 * np.log10((target @ target) / ((estimate - target) @ (estimate - target)))


def rest(of, name):
    return of["mixture"] - sum(of[other] for other in stems if other != name)


found = {}
for name in stems:
    found[name] = si_sdr(stems[name], heard[name]), si_sdr(heard[name], rest(heard, name))
    print(f"PyAV 14.2.0, {name}: coded at {found[name][0]:.1f} dB, the mixture less the others {found[name][1]:.1f} dB")
    assert si_sdr(stems[name], rest(songs, name)) > 100
assert found["vocals"][0] > 30
assert found["vocals"][1] < 12
PYTHON

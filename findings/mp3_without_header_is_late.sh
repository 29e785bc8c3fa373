#!/bin/sh
# libsndfile 1.2.2 (soundfile 0.13.1) and FFmpeg (PyAV 14.2.0): an MP3 whose first frame is no Xing header comes out
# 1105 samples late, and scores as no separation at all.
#
# One would guess: two MP3 files of one sound, by one encoder at one bit rate, decode to one sound.
# What happens: encoder and decoder delay the sound by 576 + 529 samples. The Xing frame at the beginning says so and
# both decoders take the delay out; a stream without it (cut from a broadcast, joined from parts, written to a pipe)
# is 25 ms late in both. The ear hears no difference; SI-SDR falls by over 20 dB.
# Whom it hurts: who scores stems that went through MP3, or pairs a song's stems with its mixture from another file.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==14.2.0 soundfile==0.13.1 numpy==2.2.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import av
import numpy as np
import soundfile

rate = 44100
rng = np.random.default_rng(0)
time = np.arange(2 * rate) / rate
tone = sum(np.sin(2 * np.pi * f * time) for f in (82, 331, 1117)) * (1 + rng.normal(size=20).repeat(rate // 10)) / 20
sound = (tone + 0.02 * np.convolve(rng.normal(size=len(tone)), np.hanning(16), "same")).astype(np.float32)


def write(path, xing):
    with av.open(path, "w", options={"write_xing": xing}) as container:
        stream = container.add_stream("libmp3lame", rate=rate, layout="mono")
        stream.bit_rate = 192_000
        frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(stream.format.name, "mono", rate, frame_size=1152)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def by_ffmpeg(path):
    with av.open(path) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def si_sdr(estimate):
    estimate = estimate[: len(sound)].astype(float)
    target = (sound @ estimate) / (sound @ sound) * sound
    return 10 * np.log10((target @ target) / ((estimate - target) @ (estimate - target)))


def delay(heard):
    size = 1 << 18
    correlation = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(sound, size)))
    return int(correlation[:4096].argmax())


found = []
for name, xing in (("with", "1"), ("without", "0")):
    path = f"{sys.argv[1]}/{name}.mp3"
    write(path, xing)
    for decoder, heard in (("libsndfile", soundfile.read(path)[0]), ("FFmpeg", by_ffmpeg(path))):
        found.append((delay(heard), si_sdr(heard)))
        print(f"{name} a Xing frame, {decoder}: {found[-1][0]} samples late, SI-SDR {found[-1][1]:.1f} dB")
assert [late for late, _ in found] == [0, 0, 1105, 1105]
assert min(score for _, score in found[:2]) > max(score for _, score in found[2:]) + 20
PYTHON

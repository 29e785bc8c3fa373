#!/bin/sh
# librosa 0.10.2: `decompose.nn_filter` with a `width` keeps similar frames away from the frame itself, and not from
# each other.
#
# One would guess: with a width of a second, ten similar frames of a sound that comes every two seconds are from all
# of its repetitions, as in REPET-SIM (Rafii & Pardo 2012), which keeps a least distance between them; the
# gallery's example "Vocal separation" is built on it.
# What happens: the frames of one repetition that are most like it, one frame apart, fill the ten places.
# Their median is that repetition with whatever else sounded in it: of five other repetitions, about two are asked.
# Whom it hurts: who takes the median of similar frames for the background: a voice in one repetition passes for it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet librosa==0.10.2 numpy==1.26.4 scipy==1.13.1 setuptools==75.8.0
"$folder/venv/bin/python" - <<'PYTHON'
import librosa
import numpy as np

rate = 43  # frames per second
rng = np.random.default_rng(0)
magnitude = 0.05 * np.abs(rng.normal(size=(64, 12 * rate)))
starts = np.arange(0, 12 * rate, 2 * rate)
for start in starts:
    magnitude[:, start : start + rate // 2] += np.abs(np.random.default_rng(1).normal(size=64))[:, None]
similar = librosa.segment.recurrence_matrix(magnitude, k=10, width=rate, metric="cosine", sym=False)
asked, gaps = [], []
for place in range(starts[0], starts[0] + rate // 2):
    frames = np.flatnonzero(similar[:, place])
    assert len(frames) == 10 and np.abs(frames - place).min() >= rate
    asked.append(len(set(frames // (2 * rate))))
    gaps.append(np.diff(frames).min())
print("librosa 0.10.2, width 1 s, ten similar frames to each of a sound that five others repeat:")
print(f"they are from {np.mean(asked):.1f} of the five on average, the nearest two {np.median(gaps):.0f} frame apart")
assert np.mean(asked) < 4
assert np.median(gaps) == 1
PYTHON

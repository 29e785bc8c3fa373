#!/bin/sh
# museval 0.4.1: one source's pause takes away the scores of all sources.
#
# One would guess: a frame in which the drums pause has no score for the drums, and one for the bass that plays on.
# What happens: the frame has no score for any source. The reported score of the bass, the median over frames, is
# then that of the frames in which every source plays, and says nothing of the others.
# Whom it hurts: who compares systems by museval's medians on songs with breaks, solos or long rests. A system that
# fails in them alone scores as one that does not.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet museval==0.4.1 numpy==1.26.4 scipy==1.13.1 setuptools==75.8.0
"$folder/venv/bin/python" - <<'PYTHON'
import museval
import numpy as np

rate = 44100
rng = np.random.default_rng(0)
time = np.arange(4 * rate) / rate
bass = 0.3 * np.sin(2 * np.pi * 80 * time) + 0.01 * rng.normal(size=time.size)
drums = 0.1 * rng.normal(size=time.size)
drums[2 * rate :] = 0
references = np.stack([bass, drums])[..., None]
estimates = references + 0.01 * rng.normal(size=references.shape)
estimates[0, 2 * rate :] += 0.3 * rng.normal(size=(2 * rate, 1))  # the bass is ruined where it plays alone
sdr = museval.evaluate(references, estimates, win=rate, hop=rate)[0]
print("museval 0.4.1, SDR in dB of bass and drums, a second each; the drums pause in the last two:")
print(np.round(sdr, 1))
print("median of the bass as museval reports it:", round(float(np.nanmedian(sdr[0])), 1))
alone = museval.evaluate(references[:1], estimates[:1], win=rate, hop=rate)[0][0]
print("the bass scored alone:", np.round(alone, 1))
assert np.isfinite(sdr[:, :2]).all()
assert np.isnan(sdr[:, 2:]).all()
assert np.isfinite(alone).all() and alone[2:].max() < 10 < alone[:2].min()
PYTHON

#!/bin/sh
# scikit-learn 1.5.2: NMF of a quiet recording's power spectrogram gives something else than of the same recording
# louder, and at -100 dB nothing at all.
#
# One would guess: factors are a matter of scale. A matrix that is a product of four spectra and four activations is
# found to be one whatever the gain, the more so in double precision.
# What happens: divisors are kept above the fixed number 1.2e-7, the step of single precision, whatever the matrix and
# its type. The power of a recording at -80 dB lies under it. With the Kullback-Leibler divergence, a usual one of audio,
# the product then is no approximation, and there is no warning. The Euclidean distance is not concerned.
# Whom it hurts: who separates quiet stems, floating point files of any scale, or single notes of a sample library.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.5.2 numpy==1.26.4 scipy==1.13.1
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
from sklearn.decomposition import NMF

warnings.simplefilter("error")
rng = np.random.default_rng(0)
power = np.abs(rng.normal(size=(64, 4))) ** 4 @ np.abs(rng.normal(size=(4, 200))) ** 2
print("scikit-learn 1.5.2, signal to error of the product in dB, by the level of the recording:")
fits = {}
for divergence in ("frobenius", "kullback-leibler"):
    for level in (0, -40, -80, -100):
        quiet = power * 10 ** (level / 10)
        model = NMF(4, solver="mu", beta_loss=divergence, init="random", random_state=0, max_iter=1000)
        found = model.fit_transform(quiet) @ model.components_
        fits[divergence, level] = 10 * np.log10(np.square(quiet).sum() / np.square(quiet - found).sum())
        print(f"{divergence:>17} {level:5} dB: {fits[divergence, level]:5.1f}")
assert all(fits["frobenius", level] > 20 for level in (0, -40, -80, -100))
assert min(fits["kullback-leibler", level] for level in (0, -40)) > fits["kullback-leibler", -80] + 20
assert fits["kullback-leibler", -100] < 1
PYTHON

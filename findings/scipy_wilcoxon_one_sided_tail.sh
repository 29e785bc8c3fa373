#!/bin/sh
# SciPy 1.17.1: the exact p of Wilcoxon's signed-rank test depends on which of two methods is named first.
#
# One would guess: `wilcoxon(a, b, method="exact")` and `wilcoxon(b, a, method="exact")` are one two-sided test of one
# set of pairs, and an exact p is never 0: of n differences without ties the least one is 2 / 2**n.
# What happens: where a is above b on every pair the p is 2.2e-16 for 59 pairs and 0.0 for 122; the other way round it is
# 3.5e-18 and 3.8e-37, which are right. The upper tail is taken as what the rest leaves of 1.
# Whom it hurts: who compares separation methods track by track: tables with p = 0, and corrections for several tests
# that order such p values wrongly.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from scipy.stats import wilcoxon

for n in (59, 122):
    better = np.arange(1, n + 1) / 10  # dB by which one method is ahead, on n tracks
    ahead = wilcoxon(better, method="exact").pvalue
    behind = wilcoxon(-better, method="exact").pvalue
    print(f"{n} tracks: p = {ahead} where the better method is named first, {behind} where it is second; least {2.0 ** (1 - n)}")
    assert np.isclose(behind, 2.0 ** (1 - n), rtol=1e-6)
    assert ahead == (0.0 if n == 122 else 2.0**-52)
PYTHON

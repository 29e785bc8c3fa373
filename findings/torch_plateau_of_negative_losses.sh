#!/bin/sh
# PyTorch 2.13.0: ReduceLROnPlateau, left at its defaults, never lowers the rate of a loss that is negative and level.
#
# One would guess: a loss that has not fallen for more than `patience` epochs is at a plateau, whatever its sign.
# What happens: the threshold is a share of the loss. Better is what lies under the best times 0.9999, and of a negative
# best that is a number above it. So the same value again counts as better, and one that is slightly worse too, which
# then is the best: while such a loss rises slowly the rate stays as it was. The same numbers as positive losses have
# their rate lowered. A threshold of 0 gives what one expects.
# pytorch/pytorch#38622 and #47513 report it.
# Whom it hurts: who trains separators on negated SI-SDR, and halves the rate as Conv-TasNet's authors do.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau


def rate_after(losses, **options):
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = ReduceLROnPlateau(optimiser, factor=0.5, patience=3, **options)
    optimiser.step()
    for loss in losses:
        scheduler.step(loss)
    return scheduler.get_last_lr()[0]


level, rising = [0.0] * 50, [0.001 * epoch for epoch in range(50)]
print("PyTorch 2.13.0, rate after 50 epochs that began with 1.0, halved after 4 without improvement:")
found = {}
for start in (14.0, -14.0):
    for name, changes in (("level", level), ("rising by 0.001", rising)):
        for options in ({}, {"threshold": 0.0}):
            found[start, name, not options] = rate = rate_after([start + c for c in changes], **options)
            print(f"loss from {start:5}, {name:15} {options or 'defaults'}: {rate:.6f}")
assert {rate for (start, _, default), rate in found.items() if start < 0 and default} == {1.0}
assert all(rate < 0.001 for (start, _, default), rate in found.items() if start > 0 or not default)
PYTHON

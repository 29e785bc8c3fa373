#!/bin/sh
# PyTorch 2.13.0: set_flush_denormal(True), once anything has been computed in parallel, holds for one thread of several.
#
# One would guess: after the call, which gives True, no operation of the process gives a subnormal number. Its page says
# that it disables such numbers on the CPU, and its example has one value.
# What happens: the mode belongs to a thread. The caller's changes; the threads that PyTorch shares its operations out
# over were started by the first large operation, and keep what they had. Of a tensor of subnormal numbers times one the
# caller's part is zero, all else is as it was. Called before the first large operation it reaches all, since a new
# thread begins in its parent's mode.
# Whom it hurts: who trains separators on a CPU. After some thousand steps the gradients of Demucs' LSTM hold so many
# subnormal numbers that a backward pass took three times as long on an Intel processor. A call at the top of the training
# loop, with the network built and tried before it, wins back less than half of that.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$folder/share.py" <<'PYTHON'
"""Print which share of subnormal products stays: `share.py first` sets the mode first, `share.py late` in between."""

import sys

import torch

torch.set_num_threads(2)
if sys.argv[1] == "first":
    assert torch.set_flush_denormal(True)
small = torch.full((1 << 22,), 71362, dtype=torch.int32).view(torch.float32)  # 1e-40 each
if sys.argv[1] == "late":
    assert torch.set_flush_denormal(True)
products = (small * 1).view(torch.int32)
print((products != 0).double().mean().item())
PYTHON
for when in first late; do "$folder/venv/bin/python" "$folder/share.py" "$when" > "$folder/$when"; done
echo "PyTorch 2.13.0, two threads: share of subnormal products that stay after set_flush_denormal(True)"
echo "called before anything is computed: $(cat "$folder/first"); after one large operation: $(cat "$folder/late")"
test "$(cat "$folder/first")" = 0.0
test "$(cat "$folder/late")" = 0.5

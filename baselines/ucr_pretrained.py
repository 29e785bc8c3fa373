"""UCR with the weights that ship with the project."""

from __future__ import annotations

from baselines._ucr import PAPER, Pretrained
from ucr.methods.contract import Meta

META = Meta(
    name="ucr_pretrained",
    kind="ours",
    paper=PAPER,
    summary="`ucr` from shipped weights, trained longer and on more songs (their card says how).",
)
Method = Pretrained

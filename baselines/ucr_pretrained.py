"""UCR with the weights that ship with the project."""

from __future__ import annotations

from ucr.methods.contract import Meta

from ._shared.decomposition import PAPER, Shipped

META = Meta(
    name="ucr_pretrained",
    kind="unsupervised",
    paper=PAPER,
    summary="`ucr` from shipped weights, trained longer and on more songs (their card says how).",
    weights="shipped",
    steps=True,
)
Method = Shipped

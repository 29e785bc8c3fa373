"""`ucr_composed` with the weights that ship with the project."""

from __future__ import annotations

from ucr.methods.contract import Meta

from ._shared.decomposition import PAPER, Shipped

META = Meta(
    name="ucr_composed_pretrained",
    kind="unsupervised",
    paper=PAPER,
    summary="`ucr_composed` from shipped weights, of a longer training on more songs.",
    weights="shipped",
    shipped="composed",
    steps=True,
)
Method = Shipped

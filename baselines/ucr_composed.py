"""UCR without a cue: components become sources because their latents differ in rate and width; then self-training."""

from __future__ import annotations

from ucr.methods.contract import Meta

from ._shared.decomposition import PAPER, Decomposition

META = Meta(
    name="ucr_composed",
    kind="unsupervised",
    paper=PAPER,
    summary="`ucr` guided by no grouping, but by composition alone of a fast and narrow and a slow and wide latent.",
    weights="trained",
    steps=True,
)
Method = Decomposition

"""UCR: the components of the decomposition model, each decoded by the codec."""

from __future__ import annotations

from ucr.methods.contract import Meta

from ._shared.decomposition import PAPER, Decomposition

META = Meta(
    name="ucr",
    kind="unsupervised",
    paper=PAPER,
    summary="One latent per component, one shared diffusion decoder, trained on mixtures and a blind grouping of them.",
    weights="trained",
    steps=True,
)
Method = Decomposition

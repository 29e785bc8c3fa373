"""UCR: the components of the decomposition model, each decoded by the codec."""

from __future__ import annotations

from baselines._ucr import PAPER, Decomposition
from ucr.methods.contract import Meta

META = Meta(
    name="ucr",
    kind="ours",
    paper=PAPER,
    summary="One latent a component, one shared diffusion decoder, trained on mixtures only.",
)
Method = Decomposition

"""The blind grouping that teaches `ucr`, by itself: median filters, and factorised spectra clustered by timbre."""

from __future__ import annotations

from ucr.methods.contract import Meta

from ._shared.grouping import PAPER, Grouping

META = Meta(
    name="grouping",
    kind="blind",
    paper=PAPER,
    summary="The pseudo-labels that teach `ucr`, of each segment by itself, decoded by the codec; nothing is trained.",
    licence="MIT, scikit-learn BSD-3-Clause",
)
Method = Grouping

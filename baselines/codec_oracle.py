"""The true sources through the codec: the ceiling of every method that works on its latents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ucr.methods.contract import Baseline, Meta

if TYPE_CHECKING:
    from ucr.foundation.params import Params

META = Meta(
    name="codec_oracle",
    kind="oracle",
    paper="No paper: the run's codec (mel), or Défossez et al., High Fidelity Neural Audio Compression, 2022",
    summary="The true sources' own latents, decoded with the mixture at hand",
)


class Method(Baseline):
    """Encode each true source and decode it as if a model had found its latent."""

    def load(self, needs: Path, params: Params) -> None:
        """Build the codec that `params.codec` names."""
        from ucr.codecs import make_codec

        self.codec = make_codec(params.codec, params.segments.sample_rate)

    def separate(
        self, mixture: np.ndarray, sample_rate: int, n_sources: int, references: np.ndarray | None = None
    ) -> np.ndarray:
        """See `Baseline.separate`."""
        import torch

        if references is None:
            raise ValueError("codec_oracle is an oracle and needs the true sources")
        if sample_rate != self.codec.sample_rate:
            raise ValueError(f"the codec takes {self.codec.sample_rate} Hz, not {sample_rate} Hz")
        with torch.inference_mode():
            latents = self.codec.encode(torch.as_tensor(references))
            estimates = self.codec.decode_components(latents[None], torch.as_tensor(mixture)[None])
        return estimates[0].numpy()

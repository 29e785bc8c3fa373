"""The true sources through the codec: what finding their latents exactly would give."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ucr.methods.contract import Meta, Oracle

META = Meta(
    name="codec_oracle",
    kind="oracle",
    paper="No paper: the run's codec (mel), or Défossez et al., High Fidelity Neural Audio Compression, 2022",
    summary="The true sources' own latents, decoded with the mixture at hand",
)


class Method(Oracle):
    """Encode each true source and decode it as if a model had found its latent.

    It bounds nothing else: what refines a decoded estimate, as `ucr_adapted` does, or works on waveforms or finer
    spectrograms, can exceed it."""

    def load(self, weights: Path, sources: list[str]) -> None:
        """Build the codec that made the latents in the folder `weights`."""
        from ucr.training.latents import codec_of

        self.codec = codec_of(weights)

    def separate(self, mixture: np.ndarray, sample_rate: int, references: np.ndarray) -> np.ndarray:
        """See `Oracle.separate`."""
        import torch

        if sample_rate != self.codec.sample_rate:
            raise ValueError(f"the codec takes {self.codec.sample_rate} Hz, not {sample_rate} Hz")
        with torch.inference_mode():
            latents = self.codec.encode(torch.as_tensor(references))
            estimates = self.codec.decode_components(latents[None], torch.as_tensor(mixture)[None])
        return estimates[0].numpy()

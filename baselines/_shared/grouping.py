"""What `grouping` and `grouping_adapted` share: the pseudo-labels that teach `ucr`, of one mixture by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ucr.codecs import Codec
from ucr.codecs.mel import MelCodec
from ucr.foundation.params import GroupingParams
from ucr.methods.contract import Baseline
from ucr.training.grouping import group
from ucr.training.latents import codec_of

PAPER = (
    "Seetharaman, Wichern, Le Roux & Pardo, Bootstrapping deep music separation from primitive auditory grouping "
    "principles, ICASSP 2019 (its cues; here median filters, and factorised spectra clustered by timbre)"
)
DEFAULT_CODEC = (24000, 64, 0.5)  # rate in Hz, bands, power: as in params.yaml


class Grouping(Baseline):
    """Decode the pseudo-labels of each mixture (`ucr.training.grouping.group`) by the run's codec.

    Nothing is learnt: the spectra of one mixture cluster among themselves. What it is told beside the mixture is
    the number of sources and, by the task's name, whether one of them is percussive (`drums`).

    Parameters
    ----------
    seed
        Of the factorisations' starts and of the clustering.
    """

    codec: Codec
    percussive: bool

    def __init__(self, seed: int = 0):
        self.seed = seed

    def load(self, weights: Path, sources: list[str]) -> None:
        """Build the codec that made the latents in the folder `weights`, or outside of a run the default one."""
        self.codec = MelCodec(*DEFAULT_CODEC) if weights == Path() else codec_of(weights)
        self.percussive = "drums" in sources

    @torch.no_grad()
    def separate(self, mixture: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """See `Baseline.separate`."""
        if not isinstance(self.codec, MelCodec):
            raise ValueError(
                f"magnitudes are grouped, which the codec {self.codec.name} has none of: choose mel"
            )
        if sample_rate != self.codec.sample_rate:
            raise ValueError(f"the codec takes {self.codec.sample_rate} Hz, not {sample_rate} Hz")
        if not mixture.any():  # silence has no timbre to cluster
            return np.zeros((n_sources, len(mixture)), dtype=np.float32)
        return decoded_labels(self.codec, mixture, n_sources, self.percussive, self.seed)


@torch.no_grad()
def decoded_labels(
    codec: MelCodec,
    mixture: np.ndarray,
    n_sources: int,
    percussive: bool,
    seed: int,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """The pseudo-labels of float32[n_samples], decoded by `codec` on its device: float32[n_sources, n_samples]."""
    audio = torch.tensor(mixture, device=device)[None]
    latents = codec.encode(audio).cpu().numpy()
    labels = group(latents, [""], codec.power, n_sources, percussive, GroupingParams(), seed)
    return codec.decode_components(torch.from_numpy(labels).float().to(device), audio)[0].cpu().numpy()

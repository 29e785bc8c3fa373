"""Open-Unmix with the weights that its authors published: the usual reference of the field, from MUSDB18-HQ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from ucr.foundation.checkpoints import fill, read_weights
from ucr.foundation.errors import UserError
from ucr.foundation.without_torchaudio import torchaudio_or_an_empty_module
from ucr.methods.contract import Meta

from ._shared.pretrained import SOURCES, Pretrained, download

META = Meta(
    name="openunmix_pretrained",
    kind="supervised",
    paper="Stöter, Uhlich, Liutkus & Mitsufuji, Open-Unmix, Journal of Open Source Software 4(41), 2019",
    summary="Recurrent masks and a Wiener filter as published (umxhq), trained on MUSDB18-HQ",
    licence="MIT, openunmix MIT",
    weights="published",
)

URL = "https://zenodo.org/records/3370489/files/"
FILES = {  # the end of each name is what its checksum begins with
    "drums": "drums-9619578f.pth",
    "bass": "bass-8d85a5bd.pth",
    "other": "other-b52fbbf7.pth",
    "vocals": "vocals-b62c91ce.pth",
}
N_FFT, HOP, HIDDEN, MAX_BIN = 4096, 1024, 512, 1487  # umxhq's; it hears what lies below 16 kHz


class Method(Pretrained):
    """The package's `umxhq`: a network per source, then one iteration of its Wiener filter.

    `weights` is a folder with `drums*.pth`, `bass*.pth`, `other*.pth` and `vocals*.pth` (or `.safetensors`).
    """

    def open_model(self) -> nn.Module:
        """See `Pretrained.open_model`."""
        with torchaudio_or_an_empty_module():
            from openunmix.model import OpenUnmix, Separator

        networks = {}
        for source in SOURCES:
            path = self._file(source)
            networks[source] = OpenUnmix(N_FFT // 2 + 1, 2, HIDDEN, max_bin=MAX_BIN)
            state = networks[source].state_dict()
            # the published files also have the window of an STFT, which is the separator's
            fill(
                networks[source], {k: v for k, v in read_weights(path, "weights").items() if k in state}, path
            )
        return Separator(networks, niter=1, n_fft=N_FFT, n_hop=HOP)

    def _file(self, source: str) -> Path:
        if self.weights is None:
            name = FILES[source]
            return download(URL + name, sha256=name.rpartition("-")[2].removesuffix(".pth"))
        found = sorted(
            path for end in ("safetensors", "pth") for path in self.weights.glob(f"{source}*.{end}")
        )
        if len(found) != 1:
            raise UserError(
                f"weights: {self.weights} must be a folder with one {source}*.pth or .safetensors"
            )
        return found[0]

    @property
    def names(self) -> Sequence[str]:
        """See `Pretrained.names`."""
        return SOURCES

    def stems(self, mixtures: Tensor) -> Tensor:
        """See `Pretrained.stems`."""
        return self.model(mixtures)[..., : mixtures.shape[-1]]

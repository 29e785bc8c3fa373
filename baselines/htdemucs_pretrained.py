"""Hybrid Transformer Demucs with the weights that its authors published: what training on real music gives."""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ucr.foundation.errors import UserError
from ucr.methods.contract import Meta

from ._shared.pretrained import Pretrained, download

META = Meta(
    name="htdemucs_pretrained",
    kind="supervised",
    paper="Rouard, Massa & Défossez, Hybrid transformers for music source separation, ICASSP 2023",
    summary="Hybrid Transformer Demucs as published, trained on 800 songs of real music",
    licence="MIT, demucs and its weights MIT",
    weights="published",
)

URL = "https://huggingface.co/adefossez/HTDemucs/resolve/main/955717e8.safetensors"  # demucs 4.1's own
NETWORK = "demucs.htdemucs.HTDemucs"
SILENCE = 1e-8  # as demucs.api has it
OVERLAP = 0.25  # of windows of 7.8 s: demucs's default


class Method(Pretrained):
    """The package's `htdemucs`, without its random shifts, so that two runs give the same.

    `weights` is the file that demucs 4.1 downloads, `955717e8.safetensors`; pickled checkpoints are not read.
    """

    def open_model(self) -> nn.Module:
        """See `Pretrained.open_model`."""
        from demucs.hf import load_safetensors_model

        path = self.weights or download(URL)
        if not path.is_file():
            raise UserError(f"weights: {path} does not exist: fix the path")
        remedy = "name the 955717e8.safetensors that demucs 4.1 downloads"
        try:
            with safe_open(str(path), framework="pt") as file:
                described = file.metadata() or {}
            # the package imports whatever class a file names, so the file is asked first
            if described.get("klass") != NETWORK or "structure" in described:
                raise UserError(f"weights: {path} says nothing of a {NETWORK}: {remedy}")
            if json.loads(described["args"]):
                raise UserError(f"weights: {path} has arguments without names: {remedy}")
            model = load_safetensors_model(path)
        except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise UserError(
                f"weights: {path} is no whole file of demucs's weights ({type(error).__name__}): {remedy}"
            ) from None
        if model.samplerate != self.sample_rate or set(model.sources) != {"drums", "bass", "other", "vocals"}:
            raise UserError(f"weights: {path} holds another model than htdemucs: {remedy}")
        return model

    @property
    def names(self) -> Sequence[str]:
        """See `Pretrained.names`."""
        return self.model.sources

    def stems(self, mixtures: Tensor) -> Tensor:
        """See `Pretrained.stems`; each mixture is normalised as the package does."""
        from demucs.apply import apply_model

        mean = mixtures.mean(dim=(1, 2), keepdim=True)
        std = mixtures.mean(dim=1).std(dim=-1)[:, None, None] + SILENCE
        stems = apply_model(self.model, (mixtures - mean) / std, shifts=0, overlap=OVERLAP)
        assert isinstance(stems, torch.Tensor)
        return stems * std[:, None] + mean[:, None]

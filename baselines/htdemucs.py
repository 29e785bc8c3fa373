"""Hybrid Transformer Demucs: U-Nets on waveform and spectrogram that meet in a cross-domain transformer."""

from __future__ import annotations

from torch import Tensor, nn

from ucr.methods.contract import Meta

from ._shared.supervised import Mono, Supervised

META = Meta(
    name="htdemucs",
    kind="supervised",
    paper="Rouard, Massa & Défossez, Hybrid transformers for music source separation, ICASSP 2023",
    summary="Waveform and spectrogram U-Nets joined by a transformer",
    licence="MIT, demucs MIT",
    weights="trained",
)


class Method(Supervised):
    """The network of the demucs package, trained as in the paper: L1 loss on remixed sources."""

    @staticmethod
    def make_network(n_sources: int, sample_rate: int, **sizes) -> nn.Module:
        """Build it; `sizes` are keywords of `demucs.htdemucs.HTDemucs` (channels, nfft, t_layers, ...)."""
        from demucs.htdemucs import HTDemucs

        # Not use_train_segment, which pads or refuses mixtures of another length than the training's.
        fixed = {"audio_channels": 1, "samplerate": sample_rate, "use_train_segment": False}
        return Mono(HTDemucs([""] * n_sources, **fixed, **sizes))

    @staticmethod
    def loss(estimates: Tensor, sources: Tensor) -> Tensor:
        """Mean absolute error of the waveforms."""
        return nn.functional.l1_loss(estimates, sources)

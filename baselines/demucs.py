"""Demucs: a U-Net of strided convolutions on the waveform, with an LSTM in the middle."""

from __future__ import annotations

from torch import Tensor, nn

from ucr.methods.contract import Meta

from ._shared.supervised import Mono, Supervised

META = Meta(
    name="demucs",
    kind="supervised",
    paper="Défossez, Usunier, Bottou & Bach, Music source separation in the waveform domain, 2019, arXiv:1911.13254",
    summary="Waveform U-Net with a bidirectional LSTM",
    licence="MIT, demucs MIT",
    weights="trained",
)


class Method(Supervised):
    """The network of the paper, trained with its L1 loss on remixed sources.

    The demucs package's class has later additions (residual branches, GELU, normalisation): they are off.
    """

    @staticmethod
    def make_network(  # type: ignore[override]  # keywords with the paper's defaults
        n_sources: int,
        sample_rate: int,
        channels: int = 64,
        depth: int = 6,
        lstm_layers: int = 2,
        resample: bool = True,
    ) -> nn.Module:
        """Build it; the defaults are the paper's.

        Parameters
        ----------
        n_sources, sample_rate
            Sources to give, rate in Hz.
        channels
            Of the first level; they double at each.
        depth
            Levels.
        lstm_layers
            Bidirectional layers between encoder and decoder.
        resample
            Whether it works at twice the rate.
        """
        from demucs.demucs import Demucs

        network = Demucs(
            [""] * n_sources,
            audio_channels=1,
            channels=channels,
            depth=depth,
            lstm_layers=lstm_layers,
            resample=resample,
            samplerate=sample_rate,
            gelu=False,
            dconv_mode=0,
            norm_starts=depth,
        )
        return Mono(network)

    @staticmethod
    def loss(estimates: Tensor, sources: Tensor) -> Tensor:
        """Mean absolute error of the waveforms."""
        return nn.functional.l1_loss(estimates, sources)

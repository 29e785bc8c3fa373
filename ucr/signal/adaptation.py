"""Adaptation of estimates to the song that is being separated, by factorisation of its own spectra."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ucr.signal.masks import ratio_masks
from ucr.signal.nmf import factorise, random_factors
from ucr.signal.spectrogram import magnitudes

TINY = 1e-8  # of the loudest magnitude
UPDATES = 60  # of an estimate's factors
REFITS = 20  # of all factors, on the mixture
CORNER = 128  # bins, up to which each is a band of its own
WINDOWS = (4096, 8192)  # samples; each steps by a quarter and has factors of its own


@torch.no_grad()
def adapted(
    mixtures: np.ndarray,
    estimates: np.ndarray,
    spectra: int = 8,
) -> np.ndarray:
    """Refine estimates by a model of the song: every component is a few spectra that come again.

    Each estimate's magnitudes are factorised into spectra and activations (`ucr.signal.nmf.factorise`). From
    there all factors are fitted to the mixture's magnitudes together, and the ratio of their powers masks the
    mixture. The mean of this, over several windows, and of the estimates is returned: they err in different places.

    Factors and masks are of bands (see `bands`), in a quarter of the time that bins take. On 30 validation mixtures of
    drums and bass the difference from what bins give has -40 dB of its energy (median; -36, -44 and -47 dB with a
    corner of 64, 192 and 256), and SI-SDR is 0.03 dB lower.

    The numbers of spectra and windows were chosen without true sources, on estimates of validation mixtures put
    together anew: SI-SDR of drums / bass 12.4 / 13.0 dB as they are, with 8 spectra 12.9 / 13.5 by windows of 4096,
    13.0 / 13.6 by both and by 2048 too; with 16 spectra no better than with 8.

    Parameters
    ----------
    mixtures : float32[batch, n_samples]
    estimates : float32[batch, n_sources, n_samples]
        Adding up to `n_sources` times the mixtures.
    spectra
        Of each component.

    Returns
    -------
    float32[batch, n_sources, n_samples]
        Adding up to `n_sources` times the mixtures.
    """
    audio, given = torch.from_numpy(mixtures), torch.from_numpy(estimates)
    refined = [_refitted(audio, given, spectra, n_fft) for n_fft in WINDOWS]
    return ((given + torch.stack(refined).mean(dim=0)) / 2).numpy()


def _refitted(mixtures: Tensor, estimates: Tensor, spectra: int, n_fft: int) -> Tensor:
    """What the factors of estimates, fitted to the mixtures, make of them: `adapted` for one window, no mean."""
    batch, n, n_samples = estimates.shape
    bins = n_fft // 2 + 1
    hop, hann = n_fft // 4, torch.hann_window(n_fft)

    def spectrograms(audio: Tensor) -> Tensor:
        return torch.stft(audio, n_fft, hop, window=hann, pad_mode="constant", return_complex=True)

    mixed = spectrograms(mixtures)
    first = spectrograms(estimates[:, :-1].flatten(0, 1)).unflatten(0, (batch, n - 1))
    rest = n * mixed - first.sum(dim=1)
    band = bands(bins)
    whole, *pooled = (_pooled(magnitudes(each), band) for each in (mixed, *first.unbind(1), rest))
    loudest = whole.amax(dim=(1, 2), keepdim=True).clamp_min(1e-30)
    parts = (torch.stack(pooled, dim=1) / (n * loudest[:, None])).flatten(0, 1) + TINY
    # The same start for every item, so that none depends on the others of its batch.
    generator = torch.Generator().manual_seed(0)
    columns, rows = random_factors(torch.ones(n, bins, parts.shape[2]), spectra, generator)
    columns, rows = (each.repeat(batch, 1, 1) for each in (_pooled(columns, band), rows))
    means = parts.sum(dim=(1, 2), keepdim=True) / (bins * parts.shape[2])  # of bins
    columns, rows = factorise(parts, columns * means, rows, UPDATES)
    columns = columns.unflatten(0, (batch, n)).transpose(1, 2).flatten(2)
    rows = rows.unflatten(0, (batch, n)).flatten(1, 2)
    columns, rows = factorise(whole / loudest + TINY, columns, rows, REFITS)
    model = columns.unflatten(2, (n, spectra)).transpose(1, 2) @ rows.unflatten(1, (n, spectra))
    masks = n * ratio_masks(model, power=2, axis=1)[:, :-1].index_select(2, band)
    audio = torch.istft((masks * mixed[:, None]).flatten(0, 1), n_fft, hop, window=hann, length=n_samples)
    audio = audio.view(batch, n - 1, n_samples)
    return torch.cat([audio, n * mixtures[:, None] - audio.sum(dim=1, keepdim=True)], dim=1)


def bands(bins: int) -> Tensor:
    """The band of each bin, int64[bins]: up to `CORNER` its own; above, bands are as wide as frequency / `CORNER`."""
    number = torch.arange(1, bins + 1)
    scale = torch.where(number > CORNER, CORNER * (1 + (number / CORNER).log()), number)
    return scale.floor().unique_consecutive(return_inverse=True)[1]


def _pooled(spectra: Tensor, band: Tensor) -> Tensor:
    """The sums of [n, bins, frames] in bands: [n, bands, frames]."""
    n, _, frames = spectra.shape
    return torch.zeros(n, int(band[-1]) + 1, frames).index_add_(1, band, spectra)

"""Ratio masks: how a time-frequency bin is shared among sources. For NumPy arrays and for tensors alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ucr.signal.spectrogram import apply_masks, stft

if TYPE_CHECKING:  # a method of arrays alone needn't wait for torch
    from torch import Tensor

A = TypeVar("A", np.ndarray, "Tensor")
TINY = 1e-12  # beside the loudest source of a bin


def ratio_masks(magnitudes: A, power: float = 1.0, axis: int = 0, floor: float = 0.0) -> A:
    """Share every time-frequency bin among sources by their magnitudes.

    The generalised Wiener filter of Liutkus & Badeau (2015), "Generalized Wiener filtering with
    fractional power spectrograms", ICASSP: mask j is v_j^power / sum_k v_k^power.

    Parameters
    ----------
    magnitudes : float[..., n_sources, bins, frames]
        Not negative.
    power
        1 shares by magnitude, 2 by power.
    axis
        Of the sources.
    floor
        Added to every magnitude: what is far below it is shared evenly.

    Returns
    -------
    float, of the same shape
        Adding up to 1 along `axis`; where all magnitudes are 0, the shares are equal.
    """
    if not isinstance(magnitudes, np.ndarray):
        magnitudes = magnitudes + floor
        peak = magnitudes.amax(dim=axis, keepdim=True)
        # Relative to the loudest source, so that no power of a tiny magnitude underflows to a sum of 0.
        relative = (magnitudes / peak.clamp_min(TINY)) ** power + TINY
        return relative / relative.sum(dim=axis, keepdim=True)
    magnitudes = magnitudes + np.float32(floor)
    peak = magnitudes.max(axis=axis, keepdims=True)
    relative = np.divide(magnitudes, peak, out=np.ones_like(magnitudes), where=peak > 0) ** power
    return relative / relative.sum(axis=axis, keepdims=True)


def masked(mixture: np.ndarray, estimates: np.ndarray, n_fft: int = 2048, hop: int = 512) -> np.ndarray:
    """Make estimates consistent with the mixture.

    They are scaled so that their sum is nearest to the mixture in the least-squares sense; the ratio
    of their magnitudes then masks the mixture.

    Parameters
    ----------
    mixture : float32[n_samples]
    estimates : float32[n_sources, n_samples]
        Of any scale.
    n_fft, hop
        Length of the Hann window and step between windows, in samples.

    Returns
    -------
    float32[n_sources, n_samples]
        Adding up to `n_sources` times the mixture.
    """
    gains = np.linalg.lstsq(estimates.T.astype(np.float64), mixture.astype(np.float64), rcond=None)[0]
    scaled = (np.abs(gains)[:, None] * estimates).astype(np.float32)
    masks = ratio_masks(np.abs(stft(scaled, n_fft, hop)))
    return apply_masks(stft(mixture, n_fft, hop), masks, len(mixture), n_fft, hop)

"""Median filters along one axis, and the masks of harmonic-percussive separation."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ucr.signal.masks import ratio_masks


def median_filter(values: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Running median along one axis; the values are mirrored at its ends, as SciPy and librosa have it.

    The rows go through SciPy's filter as one signal, each with its mirrored ends: for one dimension it updates the
    window from sample to sample (about ten times as fast for 31 values), for two it sorts every window anew.

    Parameters
    ----------
    values : float[...]
    length
        Of the window.
    axis
        Along which it runs.

    Returns
    -------
    float, of the same shape
        The same as `scipy.ndimage.median_filter(values, size)` with 1 for the other axes.
    """
    rows = np.moveaxis(values, axis, -1)
    half = length // 2
    padded = np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(half, half)], mode="symmetric")
    filtered = ndimage.median_filter(padded.ravel(), length).reshape(padded.shape)
    return np.moveaxis(filtered[..., half : half + rows.shape[-1]], -1, axis)


def harmonic_percussive_masks(magnitudes: np.ndarray, length: int, power: float = 2.0) -> np.ndarray:
    """What is smooth along time, and what is smooth along frequency, as shares of each bin.

    Fitzgerald (2010), "Harmonic/percussive separation using median filtering", DAFx: what `librosa.decompose.hpss`
    gives, by a faster filter.

    Parameters
    ----------
    magnitudes : float[bins, frames]
        Not negative.
    length
        Of both filters, in frames and in bins.
    power
        Exponent of both in the masks.

    Returns
    -------
    float[2, bins, frames]
        The harmonic and the percussive share.
    """
    medians = [median_filter(magnitudes, length, axis) for axis in (1, 0)]
    return ratio_masks(np.stack(medians), power)

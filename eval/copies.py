"""Copies of training segments among clips: their spectrograms repeat, wherever in time and however loud.

Half a clip is laid over every place of every training segment, and the best normalised cross-correlation (Lewis, Fast
normalized cross-correlation, Vision Interface 1995) of their log-mel spectrograms is its similarity to the training
segments: each band less its mean there, so that neither a level nor a timbre that lasts counts, only what happens.
Songs that were held out say how similar music is that nobody copied: each training segment is compared with those of
all other songs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

PATCHES = 4  # of half a clip each, evenly apart: one lies within the longer side of any cut
FALSE_ALARMS = 0.01  # share of held-out songs' clips that are taken for copies
CALIBRATION = 512  # training segments that stand for held-out songs, at most
RANGE = 60.0  # dB under the clip's loudest value; quieter is silence
LEAST = 1.0  # dB, standard deviation: what varies less resembles nothing
BLOCK = 256  # training segments at once, and
BATCH = 16  # clips at once: bound the memory


def outline(log_mel: np.ndarray) -> np.ndarray:
    """Log-mel spectrograms in dB in half as many bands: float32[n, bands, frames] -> float32[n, bands / 2, frames]."""
    heard = np.maximum(log_mel, log_mel.max(axis=(1, 2), keepdims=True) - RANGE)
    n, bands, frames = heard.shape
    return heard.reshape(n, bands // 2, 2, frames).mean(axis=2)


def similarity(clips: np.ndarray, training: np.ndarray, strange: np.ndarray | None = None) -> np.ndarray:
    """How far the most similar half of each clip agrees with a training segment, 1 for a copy.

    Parameters
    ----------
    clips, training : float32[n, bands, frames], float32[m, bands, frames]
        From `outline`.
    strange : bool[n, m], optional
        The pairs that are compared; all by default.

    Returns
    -------
    float64[n]
        -1 where a clip is compared with none.
    """
    frames = clips.shape[-1] // 2
    starts = np.linspace(0, clips.shape[-1] - frames, PATCHES).round().astype(int)
    patches = torch.from_numpy(np.stack([clips[..., start : start + frames] for start in starts], axis=1))
    patches = patches - patches.mean(-1, keepdim=True)
    patches = patches / patches.flatten(2).norm(dim=2).clamp_min(_least(patches))[..., None, None]
    best = torch.full((len(clips), len(training)), -1.0)
    for begin in range(0, len(training), BLOCK):
        segments = torch.from_numpy(training[begin : begin + BLOCK])
        size = segments.shape[-1] + frames - 1
        spectra, norms = torch.fft.rfft(segments, size), _norms(segments, frames)
        for first in range(0, len(clips), BATCH):
            batch = torch.fft.rfft(patches[first : first + BATCH].flatten(0, 1), size).conj()
            products = torch.einsum("pbf,nbf->pnf", batch, spectra)
            correlation = torch.fft.irfft(products, size)[..., : norms.shape[-1]] / norms
            best[first : first + BATCH, begin : begin + BLOCK] = (
                correlation.amax(-1).unflatten(0, (-1, PATCHES)).amax(1)
            )
    found = best.numpy().astype(float)
    return (found if strange is None else np.where(strange, found, -1.0)).max(axis=1)


def _norms(segments: Tensor, frames: int) -> Tensor:
    """Norms of each stretch of `frames` frames of [n, bands, t], bands less their means: float32[n, t - frames + 1]."""
    ones = torch.ones(1, 1, frames, dtype=torch.float64)
    rows = segments.double().flatten(0, 1)[:, None]
    sums, squares = (
        functional.conv1d(x, ones).unflatten(0, segments.shape[:2])[:, :, 0] for x in (rows, rows**2)
    )
    norms = (squares - sums**2 / frames).sum(1).clamp_min(0).sqrt().float()
    return norms.clamp_min(LEAST * (segments.shape[1] * frames) ** 0.5)


def _least(patches: Tensor) -> float:
    return LEAST * (patches.shape[-2] * patches.shape[-1]) ** 0.5


def bound(training: np.ndarray, tracks: Sequence[str]) -> float:
    """The similarity above which a clip is taken for a copy: `FALSE_ALARMS` of songs left out lie above.

    Parameters
    ----------
    training : float32[m, bands, frames]
        From `outline`.
    tracks
        The song of each.

    Returns
    -------
    float
        NaN for training segments of one song.
    """
    songs = np.asarray(tracks)
    some = np.unique(np.linspace(0, len(songs) - 1, min(CALIBRATION, len(songs))).round().astype(int))
    strange = songs[some, None] != songs[None]
    if not strange.any():
        return np.nan
    return float(np.quantile(similarity(training[some], training, strange), 1 - FALSE_ALARMS))

"""Sums over one song, stretch by stretch, that all its scores follow from: its audio is never in memory at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from eval.bss_eval import TAPS, Sums, Windows, add, measure
from eval.delay import cross_spectra, frame_length
from eval.distances import OVERLAP, spectral_sums

STRETCH = 2**19  # samples: long beside what stretches share, short enough for a hundred megabytes per core


@dataclass(frozen=True)
class Piece:
    """A part of a song: n references, n estimates, the mixture.

    Attributes
    ----------
    audio : float32[2n + 1, n_samples]
        Channels averaged, zeros outside the song and where an estimate is not finite.
    mono, channels : float64[2n + 1]
        Energy, and mean energy of the channels before they were averaged.
    finite : bool[n]
        Of the estimates.
    """

    audio: np.ndarray
    mono: np.ndarray
    channels: np.ndarray
    finite: np.ndarray


Read = Callable[[int, int], Piece]  # samples from and to, which may lie outside the song


@dataclass(frozen=True)
class Survey:
    """What a first reading of a song, or of a stretch, sums up.

    Attributes
    ----------
    products : float64[2n + 1, 2n + 1]
        Of the signals with each other.
    lows, highs, mono, channels : float64[2n + 1]
        Smallest and largest sample, energy, mean energy of the channels. The latter two count twice what stretches
        share.
    finite : bool[n]
        Of the estimates.
    spectra : complex128[2n + 1, bins]
        `eval.delay.cross_spectra`.
    """

    products: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    mono: np.ndarray
    channels: np.ndarray
    finite: np.ndarray
    spectra: np.ndarray

    def __add__(self, other: Survey) -> Survey:
        return Survey(
            self.products + other.products,
            np.minimum(self.lows, other.lows),
            np.maximum(self.highs, other.highs),
            self.mono + other.mono,
            self.channels + other.channels,
            self.finite & other.finite,
            self.spectra + other.spectra,
        )


def stretches(n_samples: int) -> list[tuple[int, int]]:
    """First sample and end of each stretch of a song."""
    return [(start, min(start + STRETCH, n_samples)) for start in range(0, n_samples, STRETCH)]


def survey_stretch(read: Read, start: int, stop: int, sample_rate: int) -> Survey:
    """Survey one stretch."""
    frame = frame_length(sample_rate)
    piece = read(start, stop + frame)
    n = len(piece.finite)
    audio = piece.audio[:, : stop - start].astype(np.float64)
    return Survey(
        audio @ audio.T,
        audio.min(axis=1),
        audio.max(axis=1),
        piece.mono,
        piece.channels,
        piece.finite,
        cross_spectra(piece.audio[:n].sum(axis=0), piece.audio[n : 2 * n], start, stop, frame),
    )


def measure_stretch(
    read: Read, start: int, stop: int, order: np.ndarray, failed: Sequence[str], windows: Windows
) -> tuple[Sums, np.ndarray]:
    """Sums of one stretch for BSS Eval v4 and for spectral distances.

    Estimates are taken in the sources' `order`; silence stands for those that have `failed` (`eval.songs.Outlook`).

    Returns
    -------
    Sums
        `eval.bss_eval.measure`.
    float64[scales, 4, n]
        `eval.distances.spectral_sums`.
    """
    n, around = len(order), TAPS - 1
    audio = read(start - around, stop + OVERLAP).audio
    audio[n : 2 * n] = audio[n + order] * np.array([[not reason] for reason in failed])
    sums = measure(audio[:, : stop - start + 2 * around].astype(np.float64), start, stop, windows)
    ahead = audio[:, around : windows.n_samples - start + around]
    spectra = [
        spectral_sums(true, estimate, start, stop, windows.n_samples)
        for true, estimate in zip(ahead[:n], ahead[n : 2 * n], strict=True)
    ]
    return sums, np.stack(spectra, axis=-1)


def total(parts: Iterable[tuple[Sums, np.ndarray]], windows: Windows) -> tuple[Sums, np.ndarray]:
    """Both of a whole song from those of all its stretches."""
    sums, spectral = None, np.zeros(())
    for part, of_spectra in parts:
        sums, spectral = add(sums, part, windows), spectral + of_spectra
    assert sums is not None
    return sums, spectral

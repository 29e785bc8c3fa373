"""Overlap-add: a stream cut into overlapping windows, and what is made of them cross-faded into a stream again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from scipy.optimize import linear_sum_assignment

Read = Callable[[int], np.ndarray]


def windows(read: Read, size: int, hop: int) -> Iterator[tuple[int, np.ndarray]]:
    """Cut a stream into overlapping windows of one size.

    Parameters
    ----------
    read
        n -> float32[channels, at most n].
    size, hop
        Of a window and between windows, in samples, hop < size.

    Yields
    ------
    step : int
        Samples from the window before: `hop`, or less for the last, which ends where the stream does.
    window : float32[channels, size]
        Shorter only where the whole stream is.
    """
    window, step = read(size), 0
    while True:
        yield step, window
        audio = read(hop)
        step = audio.shape[1]
        if not step:
            return
        window = np.concatenate([window, audio], axis=1)[:, step:]


def joined(parts: Iterable[tuple[int, np.ndarray]], ordered: bool = True) -> Iterator[np.ndarray]:
    """Cross-fade the windows' stems into one stream.

    Parameters
    ----------
    parts
        For each window its step, as from `windows`, and float32[n_stems, channels, size].
    ordered
        Whether stem i is the same in every window. Otherwise each window's stems are put into the order
        that differs least, in squares, from the stems before, over the overlap. A silence as long as the
        overlap leaves nothing to tell the order by.

    Yields
    ------
    float32[n_stems, channels, any length]
        As many samples as the windows covered; where the stems of every window add up to the mixture,
        so do these.
    """
    held: np.ndarray | None = None
    for step, part in parts:
        if held is not None:
            yield held[..., :step]
            before = held[..., step:]
            shared = before.shape[-1]
            if not ordered:
                part = part[best_permutation(before, part[..., :shared])]
            fade = (np.arange(1, shared + 1) / (shared + 1)).astype(np.float32)
            faded = before + fade * (part[..., :shared] - before)
            part = np.concatenate([faded, part[..., shared:]], axis=-1)
        held = part
    if held is not None:
        yield held


def best_permutation(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The permutation of `after` with the least squared difference from `before`, which is the greatest correlation."""
    likeness = before.reshape(len(before), -1) @ after.reshape(len(after), -1).T
    return linear_sum_assignment(likeness, maximize=True)[1]

"""Pseudo-labels of many mixtures: grouped a few songs at a time, kept on disk, read where a training draws them."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ucr.data.segments import track_of
from ucr.foundation.files import replacing
from ucr.foundation.params import GroupingParams
from ucr.training.grouping import group
from ucr.training.latents import LatentStore

CHUNK = 128  # segments grouped at once: about 15 minutes of music, 0.5 GB


class Labels:
    """The pseudo-labels in a folder, float16[segments, n, channels, frames] over all its files; none stay in memory."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self._ends = np.cumsum([len(np.load(path, mmap_mode="r")) for path in paths])

    def __getitem__(self, place: tuple) -> np.ndarray:
        """As an array's, the first index a number."""
        i, *rest = place
        file = int(np.searchsorted(self._ends, i, side="right"))
        whole = np.load(self._paths[file], mmap_mode="r")
        return np.array(whole[(i - int(self._ends[file]), *rest)])  # counted from the file's end


def label(
    store: LatentStore,
    folder: Path,
    sources: list[str],
    power: float,
    how: GroupingParams,
    seed: int,
    seconds: float,
) -> tuple[LatentStore, Labels]:
    """Group as many mixtures of a store as `seconds` allow, song by song in random order, and those of one file anyway.

    Parameters
    ----------
    store
        Of mixtures' latents.
    folder
        Where the labels are kept; those that are there already are not made again.
    sources, power, how, seed
        Of the task, the codec, and as for `ucr.training.grouping.group`.
    seconds
        After so many no further file is begun.

    Returns
    -------
    store
        The mixtures that have labels.
    labels
        In its order.
    """
    rng = np.random.default_rng(seed)
    songs = [track_of(name) for name in store.names]
    ranks = {song: rank for rank, song in enumerate(rng.permutation(np.unique(songs)))}
    order = sorted(range(len(store)), key=lambda i: (ranks[songs[i]], i))
    chunks = np.array_split(order, math.ceil(len(order) / CHUNK))
    began = time.monotonic()
    done: list[str] = []
    paths: list[Path] = []
    with tqdm(total=len(order), desc="pseudo-labels", unit="segment") as bar:
        for number, chunk in enumerate(chunks):
            path = folder / f"{number}.npy"
            if not path.is_file():
                if paths and time.monotonic() - began > seconds:
                    break
                mixtures = np.stack([store.mixture(i) for i in chunk])
                named = [songs[i] for i in chunk]
                labels = group(mixtures, named, power, len(sources), "drums" in sources, how, seed)
                with replacing(path) as temporary:
                    np.save(temporary, labels)
            paths.append(path)
            done += [store.names[i] for i in chunk]
            bar.update(len(chunk))
    return store.part(done), Labels(paths)

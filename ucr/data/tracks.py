"""What all data sets have in common: tracks, what is said of them, and reading a file as one channel."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ucr.foundation.audio import one_channel, open_audio
from ucr.foundation.files import read_audio, walk

NEAR_EMPTY = 1e-4  # peak amplitude, -80 dB
LONGEST = 3600.0  # seconds; a whole track is in memory at once
OTHER = "other"  # the source that is all that no other source takes


@dataclass(frozen=True)
class Track:
    """A track: its name, its split, the folder (of a song without stems, the file) that holds it, and whether that lies
    beside folders for splits, so that it is used in none."""

    name: str
    split: str
    folder: Path
    beside: bool = False


class Skip(Exception):
    """Why a track can't be used: a reason that is counted, and the detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class Note(NamedTuple):
    """What is odd about a track that is used all the same: a reason that is counted, and a sentence."""

    reason: str
    sentence: str


Reader = Callable[[Path, list[str], int], tuple[np.ndarray, list[Note]]]
"""Of a track's folder, the sources wanted and a rate in Hz: float32[n_sources, n_samples] and notes, or `Skip`."""


def check_length(path: Path) -> None:
    """Raise `Skip` if an audio file is longer than an hour."""
    opened = open_audio(path, counted=False)
    with opened.file as file:
        seconds = opened.n_samples / file.samplerate
    if seconds > LONGEST:
        raise Skip(f"longer than {LONGEST:.0f} s", f"{path.name}: {seconds:.0f} s: cut it into parts")


def read_mono(path: Path, notes: list[Note], stream: int = 0) -> tuple[np.ndarray, int]:
    """Read a file, or one of its audio streams, as one channel; what is odd about it is added to `notes`.

    Returns
    -------
    float32[n_samples]
    int
        Its rate in Hz.

    Raises
    ------
    UserError
        As `ucr.foundation.files.read_audio`.
    """
    channels, rate = read_audio(path, stream=stream)
    audio, cancels = one_channel(channels)
    if cancels:
        sentence = f"{path}: the channels are opposite and cancel in their mean: the louder one is taken"
        notes.append(Note("channels cancel", sentence))
    if np.abs(audio).max() < NEAR_EMPTY:
        sentence = f"{path} is near-empty: every sample is below {NEAR_EMPTY:g} (a damaged download?)"
        notes.append(Note("a stem is near-empty", sentence))
    return audio, rate


def check_alike(lengths: dict[str, tuple[int, int]]) -> None:
    """Raise `Skip` unless all files of a track have one length and rate; `lengths` has both by the file's name."""
    if len(set(lengths.values())) > 1:
        detail = ", ".join(
            f"{name}: {n_samples} samples at {rate} Hz" for name, (n_samples, rate) in lengths.items()
        )
        differ = "length" if len({rate for _, rate in lengths.values()}) == 1 else "rate"
        raise Skip(f"sources differ in {differ}", detail)


def files_below(folder: Path, endings: Collection[str]) -> list[Path]:
    """Files with these endings (in lower case) in a folder, below and in folders linked there, sorted by path.

    Hidden files and folders are left out.
    """
    files = walk(folder, hidden=False)
    return sorted(path for path in files if path.suffix.lower() in endings and path.is_file())


def users_folder(path: str | None) -> Path:
    """The folder that a `path` in the parameters names."""
    return Path(str(path)).expanduser().resolve()

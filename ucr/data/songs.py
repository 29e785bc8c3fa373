"""Reading songs without stems: a file for each song, to train on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import soxr

from ucr.data.splits import in_splits, split_folders
from ucr.data.tracks import Note, Skip, Track, check_length, files_below, read_mono
from ucr.foundation.audio import ENDINGS
from ucr.foundation.errors import UserError


def find_songs(root: Path) -> list[Track]:
    """List the songs in a folder, however deep, for training and validation, sorted by split and name.

    A folder `test` is left alone; without folders for splits nothing is kept for testing.

    Raises
    ------
    UserError
        If the folder is missing or holds fewer than two songs.
    """
    songs = in_splits(root, lambda folder: files_below(folder, ENDINGS), tested_on=False)
    if split_folders(root):
        songs = [song for song in songs if song.split != "test"]
    else:
        songs = [replace(song, split="train") if song.split == "test" else song for song in songs]
    if len(songs) < 2:
        raise UserError(
            f"{root} holds {len(songs)} song{'s' * (len(songs) != 1)} to train on, and one of two or more is for "
            "validation: add some, or fix data.path"
        )
    return sorted(songs, key=lambda song: (song.split != "train", song.name))


def read_song(path: Path, sources: list[str], sample_rate: int) -> tuple[np.ndarray, list[Note]]:
    """Read a song in mono, resampled by soxr: float32[1, n_samples], whatever the sources (`ucr.data.tracks.Reader`).

    Raises
    ------
    Skip
        If it can't be read or is too long.
    """
    notes: list[Note] = []
    try:
        check_length(path)
        audio, rate = read_mono(path, notes)
    except UserError as error:
        raise Skip("a file can't be read", str(error)) from None
    return soxr.resample(audio, rate, sample_rate)[None], notes

"""What the tools share: the shipped weights, and writing what is made of songs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ucr.foundation.data_params import NAME
from ucr.foundation.errors import UserError
from ucr.program.streaming import AudioReader, writing
from ucr.weights import FOLDER, tasks, weights_of

TASKS = ("drums+bass+other", "drums+bass")  # unless told otherwise: the first that a method can do


def shipped(task: str | None = None, of: str = "") -> Path:
    """The folder of the weights that ship for a task, its sources in any order; by default for the first of `TASKS`.

    Parameters
    ----------
    task
        Such as `drums+bass`.
    of
        The folder of `ucr/weights` that holds those of a further method.

    Raises
    ------
    UserError
        If there are none.
    """
    for each in TASKS if task is None else (task,):
        if found := weights_of(each, FOLDER / of):
            return found
    known = ", ".join(tasks(FOLDER / of))
    raise UserError(
        f"no weights ship for {task or TASKS[0]}: {f'choose from {known}' if known else 'name a folder with weights'}"
    )


def weights_folder(weights: str | Path) -> Path:
    """The folder of weights named by a task whose weights ship, or by itself."""
    return Path(weights) if Path(weights).is_dir() else shipped(str(weights))


def sources_of(task: str) -> list[str]:
    """The sources that a task such as `drums+bass` names; a `UserError` if it is none."""
    names = task.split("+")
    if len(names) < 2 or len(set(names)) < len(names) or not all(NAME.fullmatch(name) for name in names):
        raise UserError(f"{task!r} is no task: name two or more sources, such as {TASKS[0]}")
    return names


def save(
    pieces: Iterator[np.ndarray],
    paths: list[Path],
    sample_rate: int,
    channels: int,
    n_samples: int,
    songs: list[AudioReader],
) -> None:
    """Write what is made of `songs`, float32[len(paths), channels, any length] at a time, with a progress bar."""
    for path, song in itertools.product(paths, songs):
        if path.exists() and path.samefile(song.path):
            raise UserError(f"{path} is the song itself: write elsewhere")
    pieces = itertools.chain([next(pieces)], pieces)  # what fails at once leaves no folder behind
    title = " + ".join(song.path.name for song in songs)
    with (
        writing(paths, sample_rate, channels, n_samples) as write,
        tqdm(total=round(n_samples / sample_rate), desc=title, unit="s", disable=None) as bar,
    ):
        for piece in pieces:
            write(piece)
            bar.update(round(piece.shape[-1] / sample_rate))

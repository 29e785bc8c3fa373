"""New music: songs rebuilt, varied and put together, and clips from noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ucr.foundation.checkpoints import CARD
from ucr.foundation.errors import UserError
from ucr.foundation.files import write_audio
from ucr.model.recomposition import Recomposer
from ucr.program import streaming
from ucr.program.shipped import save, shipped
from ucr.program.streaming import OVERLAP, WINDOW, AudioReader, Read, offsets


def reconstruct(
    song: str | Path,
    out: str | Path,
    *,
    task: str | None = None,
    device: str | None = None,
    allow_truncated: bool = False,
) -> Path:
    """Take a song apart and compose it again: what the model and its codec keep of it.

    Parameters
    ----------
    song
        WAV, FLAC, MP3, OGG, M4A or what else FFmpeg reads, of any length.
    out
        The WAV file to write: mono, at the model's rate.
    task
        Whose shipped weights, such as `drums+bass`; by default `drums+bass+other`.
    device, allow_truncated
        As for `separate`.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    UserError
        If the song can't be read, or no weights ship for the task.
    """
    recomposer = load_recomposer(task, device)
    return _recompose(
        [song], out, recomposer, lambda audio, _: recomposer.reconstruct(audio), allow_truncated
    )


def vary(
    song: str | Path,
    out: str | Path,
    *,
    strength: float = 0.5,
    task: str | None = None,
    steps: int = 25,
    seed: int = 0,
    device: str | None = None,
    allow_truncated: bool = False,
) -> Path:
    """Make a variation of a song.

    Parameters
    ----------
    song, out, task, device, allow_truncated
        As for `reconstruct`.
    strength
        From 0, the song as `reconstruct` makes it, to 1, which keeps nothing of it but the level.
    steps
        Sampling steps of the prior.
    seed
        Another one, another variation.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    UserError
        As `reconstruct`, and if the strength lies outside 0 to 1.
    """
    if not 0 <= strength <= 1:
        raise UserError(f"the strength {strength} is not between 0 and 1: fix it")
    recomposer = load_recomposer(task, device)
    return _recompose(
        [song],
        out,
        recomposer,
        lambda audio, i: recomposer.vary(audio, strength, _positive(steps), seed + i),
        allow_truncated,
    )


def recombine(
    a: str | Path,
    b: str | Path,
    out: str | Path,
    *,
    take: Sequence[str] = (),
    task: str | None = None,
    device: str | None = None,
    allow_truncated: bool = False,
) -> Path:
    """Put components of one song in the place of another's.

    Parameters
    ----------
    a, b
        Songs; the longer one is cut to the shorter one's length.
    out, task, device, allow_truncated
        As for `reconstruct`.
    take
        Names of the components, as `separate` calls its stems, that are taken from `b`; the last one
        if none is named.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    UserError
        As `reconstruct`, and if there is no component of such a name.
    """
    recomposer = load_recomposer(task, device)
    names = recomposer.names
    for name in take:
        if name not in names:
            raise UserError(f"no component is called {name!r}: take some of {', '.join(names)}")
    taken = np.array([name in (take or names[-1:]) for name in names])
    return _recompose(
        [a, b],
        out,
        recomposer,
        lambda audio, _: recomposer.recombine(audio[:1], audio[1:], taken),
        allow_truncated,
    )


def generate(
    out: str | Path,
    *,
    count: int = 4,
    seconds: float = 7.0,
    task: str | None = None,
    steps: int = 25,
    seed: int = 0,
    device: str | None = None,
) -> list[Path]:
    """Make new music from noise.

    Parameters
    ----------
    out
        The folder for the WAV files `0000.wav` and so on: mono, at the model's rate.
    count
        How many.
    seconds
        Length of each.
    task, steps, seed, device
        As for `vary`.

    Returns
    -------
    list of Path

    Raises
    ------
    UserError
        If no prior ships for the task, or a number is not positive.
    """
    recomposer = load_recomposer(task, device)
    if seconds < 0.1:
        raise UserError(f"{seconds} s is too short to generate: ask for a second or more")
    clips = recomposer.generate(_positive(count), seconds, _positive(steps), seed)
    paths = [Path(out) / f"{i:04d}.wav" for i in range(count)]
    for path, clip in zip(paths, clips, strict=True):
        write_audio(path, clip, recomposer.sample_rate)
    return paths


def load_recomposer(task: str | None = None, device: str | None = None) -> Recomposer:
    """The shipped models of a task, ready for songs in memory.

    Raises
    ------
    UserError
        If no weights or no prior ship for the task.
    """
    folder = shipped(task)
    if not (folder / "prior" / CARD).is_file():
        raise UserError(f"no prior ships for {folder.name}: its weights separate, but can't make new music")
    return Recomposer.load(folder, folder / "prior", device)


def _positive(number: int) -> int:
    if number < 1:
        raise UserError(f"{number} is not a positive number: ask for 1 or more")
    return number


def _recompose(
    songs: list[str | Path],
    out: str | Path,
    recomposer: Recomposer,
    function: Callable[[np.ndarray, int], np.ndarray],
    allow_truncated: bool,
) -> Path:
    """Send windows, float32[n_songs, n_samples], with their numbers through `function` -> float32[1, n_samples]."""
    path, rate = Path(out), recomposer.sample_rate
    if path.suffix.lower() != ".wav":
        raise UserError(f"{path} is no name of a WAV file: end it in .wav")
    with ExitStack() as stack:
        opened = [stack.enter_context(AudioReader(song, allow_truncated)) for song in songs]
        readers = [song.mono(rate) for song in opened]
        size, hop = round(WINDOW * rate), round((WINDOW - OVERLAP) * rate)
        parts = (
            (step, function(window - offsets(window), i)[:, None])
            for i, (step, window) in enumerate(streaming.windows(_together(readers), size, hop))
        )
        n_samples = min(round(song.n_samples / song.sample_rate * rate) for song in opened)
        save(streaming.joined(parts), [path], rate, 1, n_samples, opened)
    return path


def _together(readers: list[Read]) -> Read:
    def read(n_samples: int) -> np.ndarray:
        audio = [reader(n_samples) for reader in readers]
        shortest = min(each.shape[1] for each in audio)
        return np.concatenate([each[:, :shortest] for each in audio])

    return read

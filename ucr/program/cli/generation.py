"""`ucr reconstruct`, `ucr vary`, `ucr recombine`, `ucr generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ucr.program.cli._options import AllowTruncated, Device, PriorSteps, Seed, SongPath, Task, Wav


def reconstruct(
    song: SongPath,
    out: Wav,
    task: Task = None,
    device: Device = None,
    allow_truncated: AllowTruncated = False,
) -> None:
    """Take a song apart and compose it again: what the model keeps of it.

    \b
    ucr reconstruct song.mp3 -o again.wav
    """
    import ucr

    print(ucr.reconstruct(song, out, task=task, device=device, allow_truncated=allow_truncated))


def vary(
    song: SongPath,
    out: Wav,
    strength: Annotated[
        float, typer.Option(min=0, max=1, help="0 keeps the song, 1 nothing of it but its loudness.")
    ] = 0.5,
    task: Task = None,
    steps: PriorSteps = 25,
    seed: Seed = 0,
    device: Device = None,
    allow_truncated: AllowTruncated = False,
) -> None:
    """Make a variation of a song.

    \b
    ucr vary song.mp3 -o variation.wav
    ucr vary song.mp3 -o further.wav --strength 0.8 --seed 3
    """
    import ucr

    print(
        ucr.vary(
            song,
            out,
            strength=strength,
            task=task,
            steps=steps,
            seed=seed,
            device=device,
            allow_truncated=allow_truncated,
        )
    )


def recombine(
    a: SongPath,
    b: SongPath,
    out: Wav,
    take: Annotated[
        list[str] | None,
        typer.Option(
            help="A component taken from the second song, as `ucr separate` calls its stems; may be repeated.  "
            "[default: the last]",
            show_default=False,
        ),
    ] = None,
    task: Task = None,
    device: Device = None,
    allow_truncated: AllowTruncated = False,
) -> None:
    """Put components of the second song in the place of the first song's.

    \b
    ucr recombine a.mp3 b.mp3 -o both.wav
    ucr recombine a.mp3 b.mp3 -o both.wav --take drums
    """
    import ucr

    print(
        ucr.recombine(a, b, out, take=take or (), task=task, device=device, allow_truncated=allow_truncated)
    )


def generate(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the WAV files.")],
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 4,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of each.")] = 7.0,
    task: Task = None,
    steps: PriorSteps = 25,
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Make new clips from noise.

    \b
    ucr generate -o new
    ucr generate -o new --task drums+piano --count 1 --seconds 14 --seed 7
    """
    import ucr

    for path in ucr.generate(
        out, count=count, seconds=seconds, task=task, steps=steps, seed=seed, device=device
    ):
        print(path)


COMMANDS = [reconstruct, vary, recombine, generate]

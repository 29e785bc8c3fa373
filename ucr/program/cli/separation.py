"""`ucr separate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ucr.foundation.errors import UserError
from ucr.program.cli._options import FORMATS, AllowTruncated, Device, SongPath, Task


def _methods(incomplete: str) -> list[str]:
    from ucr.methods.registry import names

    return [name for name in names() if name.startswith(incomplete)]


def separate(
    songs: Annotated[
        list[Path],
        typer.Argument(metavar="SONG...", help=FORMATS),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where each song gets a folder of stems.")],
    task: Task = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="`ucr baselines` lists them.  [default: ucr_pretrained, or the one that --weights are of]",
            autocompletion=_methods,
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="A folder of weights that you trained, by `ucr train` or the benchmark's run."),
    ] = None,
    adapt: Annotated[
        bool,
        typer.Option(
            "--adapt",
            help="Train the weights further on the song itself first; takes at most twice its length on two cores.",
        ),
    ] = False,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Sampling steps, for the methods that sample.  [default: 1]", show_default=False
        ),
    ] = None,
    mask: Annotated[
        bool,
        typer.Option(
            help="Share the song's own sound among the stems, so that they add up to it; otherwise write the "
            "method's own estimates, mono."
        ),
    ] = True,
    device: Device = None,
    allow_truncated: AllowTruncated = False,
) -> None:
    """Separate songs into stems, 32-bit float WAV files.

    \b
    ucr separate song.mp3 -o stems
        writes stems/song/drums.wav, bass.wav and other.wav
    ucr separate *.flac -o stems --task drums+piano
    ucr separate song.wav -o stems --method nmf --task drums+bass+piano
        a blind method, into three components
    ucr separate song.wav -o stems --weights my_weights
        weights that `ucr train` or `make repro` made
    ucr separate song.wav -o stems --adapt
        learns from the song first

    The shipped weights' cards name their components by how they sound: the most percussive is called drums, the lowest
    of the others bass. Blind methods, and weights without such names, call their stems component_0 and so on.

    Long songs go through the method in overlapping windows of 7 s; memory does not grow with the length. The
    method hears the mean of the channels at its own rate (24 kHz), or the loudest channel where they cancel in
    it; every channel is shared in the same way. A constant offset, which nobody hears, is left out of the stems.

    A song that holds less than it announces is refused, unless --allow-truncated is given. Of a stem file
    (song.stem.mp4) the mixture is separated; `ucr unpack` writes the stems that it holds.
    """
    import ucr
    from ucr.foundation.audio import own_stems
    from ucr.program import streaming

    taken: dict[str, Path] = {}
    for song in songs:
        other = taken.setdefault(song.stem, song)
        if other is not song:
            raise UserError(
                f"{other} and {song} would both be written to {out / song.stem}: give each an --out of its own"
            )
    for song in songs:
        with streaming.AudioReader(
            song, allow_truncated
        ):  # what can't be read stops the command before hours of work
            pass
    for song in songs:
        stems = ucr.separate(
            song,
            out,
            task=task,
            method=method,
            weights=weights,
            adapt=adapt,
            steps=steps,
            mask=mask,
            device=device,
            allow_truncated=allow_truncated,
        )
        for path in stems.values():
            print(path)
        if own := own_stems(song):
            print(
                f"{song} holds stems of its own, {', '.join(own)}: `ucr unpack` writes them, to score these by",
                file=sys.stderr,
            )


def unpack(
    song: SongPath,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the song gets a folder of stems.")],
) -> None:
    """Write the stems that a stem file holds, to score estimates by.

    \b
    ucr unpack song.stem.mp4 -o references
        writes references/song.stem/drums.wav, bass.wav and what else it holds
    ucr separate song.stem.mp4 -o stems
    python -m eval score references stems --sources drums,bass
    """
    import ucr

    for path in ucr.unpack(song, out).values():
        print(path)


COMMANDS = [separate, unpack]

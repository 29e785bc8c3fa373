"""`ucr train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ucr.program.cli._options import Seed
from ucr.weights import tasks


def train(
    songs: Annotated[
        list[Path],
        typer.Argument(
            metavar="SONG...", help="Songs, or folders of songs, in any format that `ucr separate` takes."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder that gets the weights.")],
    sources: Annotated[
        str | None,
        typer.Option(
            help="What to take songs apart into, with commas.  [default: drums,bass,other, or those of --start]",
            show_default=False,
        ),
    ] = None,
    minutes: Annotated[float, typer.Option(help="How long to train, once the songs are read.")] = 20.0,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHTS",
            help="Go on from weights: a task whose weights ship, or a folder.  [default: start from nothing]",
            autocompletion=lambda incomplete: [task for task in tasks() if task.startswith(incomplete)],
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Learn to separate from your own songs, without stems.

    \b
    ucr train my_songs -o my_weights
        then: ucr separate song.mp3 -o stems --weights my_weights
    ucr train my_songs -o my_weights --start drums+bass --minutes 5
    ucr train *.mp3 -o my_weights --sources drums,bass,other

    Every song is read once, as a stream; ten hours take 1.5 GB of memory. Songs that can't be read, silence and
    speech without music are left out, and counted. Run the same command again after an interruption: it goes on.
    What it printed, and how the weights came about, is on their card: ucr info my_weights
    """
    import ucr

    names = [name.strip() for name in sources.split(",")] if sources else None
    print(ucr.train(songs, out, sources=names, minutes=minutes, start=start, seed=seed))


COMMANDS = [train]

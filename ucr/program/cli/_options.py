"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ucr.weights import tasks

FORMATS = "WAV, FLAC, MP3, OGG, M4A or what else FFmpeg reads, of any length and rate, mono or stereo."
SongPath = Annotated[Path, typer.Argument(help=FORMATS)]
Wav = Annotated[Path, typer.Option("--out", "-o", help="The WAV file to write.")]
Task = Annotated[
    str | None,
    typer.Option(
        help=f"Which shipped weights: {', '.join(tasks())}.  [default: drums+bass+other]",
        autocompletion=lambda incomplete: [task for task in tasks() if task.startswith(incomplete)],
        show_default=False,
    ),
]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, ...  [default: the first GPU, or the CPU]", show_default=False)
]
AllowTruncated = Annotated[
    bool, typer.Option("--allow-truncated", help="Take what there is of a song that is cut short.")
]
PriorSteps = Annotated[int, typer.Option(min=1, help="Sampling steps.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Another seed, another result.")]

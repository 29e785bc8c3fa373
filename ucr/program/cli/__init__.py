"""The program `ucr`: each command is the function of the same name in `import ucr`.

`ucr data slakh2100 --download` is `ucr.download_slakh2100`.
"""

from __future__ import annotations

import typer

from ucr.foundation.errors import command
from ucr.program.cli import cards, data, generation, learning, separation

app = typer.Typer(
    name="ucr",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (separation, learning, generation, cards):
    for function in group.COMMANDS:
        app.command()(function)
app.add_typer(data.app, name="data")


@app.callback()
def program() -> None:
    """Take music apart into components, and put components together to new music.

    \b
    ucr separate song.mp3 -o stems              its drums and bass, as WAV files
    ucr train my_songs -o my_weights            learn from your own songs
    ucr vary song.mp3 -o variation.wav          a variation of it
    ucr recombine a.mp3 b.mp3 -o both.wav       a component of b in the place of a's
    ucr generate -o new                         new clips
    ucr baselines                               the methods that can separate
    ucr data slakh2100 --download /data         the paper's data set

    `ucr COMMAND --help` shows more. `ucr --install-completion` teaches your shell to complete commands, tasks
    and methods.
    """


@command
def main(arguments: list[str] | None = None) -> None:
    """Run the program; a user's mistake ends it with one sentence and code 1, wrong usage with code 2."""
    app(args=arguments, prog_name="ucr")

"""`ucr info`, `ucr baselines`."""

from __future__ import annotations

from typing import Annotated

import typer

from ucr.weights import tasks


def info(
    weights: Annotated[
        str,
        typer.Argument(
            help="A task whose weights ship, or a folder of weights.",
            autocompletion=lambda incomplete: [task for task in tasks() if task.startswith(incomplete)],
        ),
    ],
) -> None:
    """Print the card of trained weights: what they are, how they were made, how well they separate.

    \b
    ucr info drums+bass
    ucr info models/decomposition
    """
    import yaml

    import ucr

    card = {key: value for key, value in ucr.info(weights).items() if key != "identity"}  # params, once more
    print(yaml.safe_dump(card, default_flow_style=None, width=110), end="")


def baselines() -> None:
    """List the methods that can separate: kind, licence, paper and, in a folder with the benchmark's tables, cost.

    \b
    ucr baselines
    """
    import textwrap

    import pandas as pd

    import ucr

    for row in ucr.baselines().to_dict("records"):
        print(f"{row['name']}  ({row['kind']}; {row['licence']})")
        lines = [row["summary"], row["paper"]]
        if pd.notna(row.get("rtf_1")):
            cost = f"{row['rtf_1']:.3f} s for a second of audio, {row['peak_memory_mb']:.0f} MB"
            if pd.notna(row["parameters"]):
                cost += f", {row['parameters'] / 1e6:.2f} M parameters"
            if pd.notna(row["train_seconds"]):
                cost += f", trained for {row['train_seconds']:.0f} s"
            lines.append(cost)
        for line in lines:
            print(textwrap.fill(line, 110, initial_indent="    ", subsequent_indent="      "))


COMMANDS = [info, baselines]

"""What there is: cards of weights, and the methods of the benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ucr.foundation.checkpoints import load_model
from ucr.foundation.files import read_table
from ucr.program.shipped import weights_folder

if TYPE_CHECKING:
    import pandas as pd

COSTS = Path("reports/tables/cost.csv")


def info(weights: str | Path) -> dict:
    """The card of trained weights, checked against them.

    Parameters
    ----------
    weights
        A task whose weights ship, or a folder.

    Returns
    -------
    dict
        What `card.json` says.

    Raises
    ------
    UserError
        If there are no such weights, or they are not those of their card.
    """
    return load_model(weights_folder(weights))[2]


def baselines() -> pd.DataFrame:
    """The methods of the benchmark.

    Returns
    -------
    DataFrame
        A row per method with its `name`, `kind`, `licence`, `summary` and `paper`; where the working
        directory has the benchmark's table of costs, its columns too.
    """
    import pandas as pd

    from ucr.methods.registry import find, names

    cards = [find(name).meta for name in names()]
    fields = ["name", "kind", "licence", "summary", "paper"]
    table = pd.DataFrame([{field: getattr(card, field) for field in fields} for card in cards])
    if COSTS.is_file():
        costs = read_table(COSTS).rename(columns={"method": "name"}).drop(columns="kind")
        table = table.merge(costs, on="name", how="left")
    return table

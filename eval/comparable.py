"""Which scores may share a table: what must agree of where they come from."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pandas as pd

from ucr.foundation.errors import UserError

# Scores that differ in one of these measure different things.
DATA = "data_"  # and a test set's name: the column of its data's hash
MUST_AGREE = {
    "data": "data hashes",
    "sources": "sources",
    "sample_rate": "sample rates",
    "protocol": "scoring protocols",
    "references": "reference signals",
}


def check_comparable(provenance: dict[str, dict], keys: Iterable[str] = MUST_AGREE) -> None:
    """Refuse scores that can't share a table.

    Parameters
    ----------
    provenance
        Provenance by the name of a method or of a set of results.
    keys
        What must agree, of `MUST_AGREE`, or the column of a test set's hash.

    Raises
    ------
    UserError
        Naming what differs, and who has which.
    """
    for key in keys:
        groups: dict[str, list[str]] = {}
        for name, values in provenance.items():
            groups.setdefault(_short(values.get(key)), []).append(name)
        if len(groups) > 1:
            having = "; ".join(f"{', '.join(names)}: {value}" for value, names in groups.items())
            raise UserError(
                f"these can't be compared, their {_label(key)} differ ({having}): score all on the same"
            )


def provenance_table(provenance: dict[str, dict]) -> pd.DataFrame:
    """One row per method, nested values spread over columns; of the parameters their hash alone."""
    table = pd.json_normalize([{"method": name, **values} for name, values in provenance.items()], sep="_")
    table = table.drop(columns=[name for name in table if str(name).startswith("params_values_")])
    return table.map(lambda value: "+".join(value) if isinstance(value, list) else value)


def _label(key: str) -> str:
    return MUST_AGREE.get(key) or f"data hashes of {key.removeprefix(DATA)}"


def _short(value: object) -> str:
    if isinstance(value, dict):
        value = {key: _short(each) for key, each in value.items()}
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text[:12] if len(text) == 64 else text

"""Weights that ship with the project: a folder a task, and one of the codec `encodec_mini`.

Each has a `model.safetensors` and its `card.json`.
"""

from pathlib import Path

FOLDER = Path(__file__).parent


def tasks(folder: Path = FOLDER) -> list[str]:
    """The tasks that have weights, such as `drums+bass`, sorted."""
    return sorted(path.parent.name for path in folder.glob("*+*/card.json"))

"""Weights that ship with the project, in half precision: a folder per task; further methods have a folder of theirs.

Each has a `model.safetensors` and its `card.json`.
"""

from pathlib import Path

FOLDER = Path(__file__).parent


def tasks(folder: Path = FOLDER) -> list[str]:
    """The tasks that have weights, such as `drums+bass`, sorted."""
    return sorted(path.parent.name for path in folder.glob("*+*/card.json"))


def weights_of(task: str, folder: Path = FOLDER) -> Path | None:
    """The folder in `folder` of a task's weights, its sources in any order; None if there are none."""
    found = (folder / known for known in tasks(folder) if sorted(known.split("+")) == sorted(task.split("+")))
    return next(found, None)

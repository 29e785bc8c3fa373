"""What methods with shipped weights share: those of the task."""

from __future__ import annotations

from pathlib import Path

from ucr.methods.contract import NotAvailable
from ucr.weights import tasks, weights_of


def task_weights(weights: Path, sources: list[str]) -> Path:
    """The folder in `weights` for these sources, in any order; `NotAvailable` if there is none."""
    task = "+".join(sources)
    found = weights_of(task, weights)
    if found is None:
        raise NotAvailable(f"{weights} has no weights for {task}, only for {', '.join(tasks(weights))}")
    return found

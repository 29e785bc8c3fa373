"""The authors' published examples, to be heard where the user has them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.report.listening import Group, Row, Studio, read_mono
from eval.scores import si_scores
from ucr.foundation.errors import UserError


@dataclass(frozen=True)
class Example:
    """One example: the sources' names, and the folder of its files."""

    sources: list[str]
    folder: Path

    @property
    def title(self) -> str:
        """The task and the example's number, as its folders name them."""
        return f"{self.folder.parent.name} {self.folder.name}"

    @property
    def seconds(self) -> float:
        """Of its mixture."""
        mixture, rate = read_mono(self.folder / "mixture.wav")
        return len(mixture) / rate


def find_examples(folder: Path, task: str) -> list[Example]:
    """Find the examples under a folder: TASK/N/ with mixture.wav, SOURCE.wav and SOURCE_estimate.wav.

    A task names its sources, such as `drums+bass`. Examples of `task` come first, then those of fewest sources.

    Raises
    ------
    UserError
        If there is none.
    """
    found = [
        Example(path.parent.parent.name.split("+"), path.parent) for path in folder.glob("*+*/*/mixture.wav")
    ]
    if not found:
        raise UserError(
            f"report.published in params.yaml: {folder} holds no TASK/N/mixture.wav, such as"
            " drums+bass/1/mixture.wav: name the folder of the examples, or null"
        )
    return sorted(found, key=lambda each: ("+".join(each.sources) != task, len(each.sources), each.title))


def make_example(example: Example, bitrate: int, pool: ThreadPoolExecutor) -> Group:
    """The mixture, the true sources and the authors' estimates, with SI-SDR computed here.

    Raises
    ------
    UserError
        If a file is missing or can't be read.
    """
    mixture, rate = read_mono(example.folder / "mixture.wav")
    true, estimated = (
        np.stack(
            [read_mono(example.folder / f"{source}{end}.wav", len(mixture))[0] for source in example.sources]
        )
        for end in ("", "_estimate")
    )
    values = si_scores(true[None], estimated[None], mixture[None], ordered=True)["si_sdr"][0]
    studio = Studio(np.vstack([mixture, true]), rate, bitrate, pool)
    rows = [
        ("mixture", "", [studio.clip("mixture", mixture)]),
        ("true sources", "", [studio.clip(*each) for each in zip(example.sources, true, strict=True)]),
        (
            "the authors’ estimates",
            "",
            [
                studio.clip(source, estimate, values[i])
                for i, (source, estimate) in enumerate(zip(example.sources, estimated, strict=True))
            ],
        ),
    ]
    made = [Row(name, kind, [clip.result() for clip in clips]) for name, kind, clips in rows]
    return Group(example.title, "", np.nan, len(mixture) / rate, made)

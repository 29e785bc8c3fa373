"""Which reader a data set has, by its name in the parameters."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ucr.data.slakh.read import find_tracks, read_sources
from ucr.data.stems import find_stems, read_stems
from ucr.data.tracks import Reader, Track


def find(name: str, root: Path) -> list[Track]:
    """The tracks of the data set `name` in the folder `root`, sorted by split and name.

    Raises
    ------
    UserError
        If the folder is missing or holds no track.
    """
    return find_stems(root) if name == "stems" else find_tracks(root)


def reader(name: str, stems: Mapping[str, list[str]]) -> Reader:
    """What reads a track of the data set `name`; `stems` names files by source where they are not called after it."""
    return partial(read_stems, names=stems) if name == "stems" else read_sources

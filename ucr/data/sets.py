"""Data sets by their names in the parameters: where they lie, which tracks they have, and what reads these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from ucr.data.slakh.read import find_tracks, read_sources
from ucr.data.songs import find_songs, read_song
from ucr.data.splits import split_folders
from ucr.data.stems import find_stems, read_stems
from ucr.data.tracks import Reader, Track, users_folder
from ucr.foundation.errors import UserError

UNKNOWN = "not stated: yours to know"
ABOUT = {  # how the sounds were made, and their licence (docs/licences.md)
    "slakh_mini": ("composed and rendered", "free, but for the SoundFont's"),
    "slakh2100": ("rendered", "CC BY 4.0"),
    "midi": ("rendered", UNKNOWN),
    "musdb18": ("recorded", "academic use; each track has its own"),
    "stempeg": ("recorded", "CC BY-NC-SA 3.0"),
}


def about(name: str) -> tuple[str, str]:
    """How the sounds of the data set `name` were made, and their licence, as far as its name tells."""
    return ABOUT.get(name, ("the user's own", UNKNOWN))


def folder_of(name: str, path: str | None) -> Path:
    """Where the user's data set `name` lies: at `path`, or within a package."""
    if name != "stempeg":
        return users_folder(path)
    package = find_spec("stempeg")  # to import it takes the programs ffmpeg and ffprobe
    if package is None or package.origin is None:
        raise UserError("stempeg is not installed, which has the song of this name: install museval")
    (song,) = Path(package.origin).parent.glob("data/*.stem.mp4")
    return song


def find(name: str, root: Path, tested_on: bool = False) -> list[Track]:
    """The tracks of the data set `name` in the folder `root`, sorted by split and name.

    Parameters
    ----------
    tested_on
        Whether it is for testing alone: only its test split, or all of it where it has no folders for splits.

    Raises
    ------
    UserError
        If the folder is missing or holds no track.
    """
    if name == "songs":
        return find_songs(root)
    if name in ("stems", "musdb18", "stempeg"):
        return find_stems(root, tested_on)
    tracks = find_tracks(root)
    if not tested_on:
        return tracks
    if not split_folders(root):
        return [replace(track, split="test") for track in tracks]
    return [track for track in tracks if track.split == "test"]


def reader(name: str, stems: Mapping[str, list[str]]) -> Reader:
    """What reads a track of the data set `name`; `stems` names files by source where they are not called after it."""
    if name == "songs":
        return read_song
    return partial(read_stems, names=stems) if name in ("stems", "musdb18", "stempeg") else read_sources

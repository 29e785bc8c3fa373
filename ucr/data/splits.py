"""The splits of a folder of the user's own music.

The folders `train`, `valid` or `validation` and `test` at the top are the splits. Where there are none, tracks are
sorted by the SHA-256 of their paths: the first tenth, rounded up, is the validation split, the next fifth the test
split and the others the training split. Where there is no validation folder, that split is taken from the training
folder: MUSDB18's official validation tracks, or else the first tenth by the same order. What lies beside folders for
splits is in none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from ucr.data.slakh.song import SPLITS
from ucr.data.tracks import Track
from ucr.foundation.audio import STEM_FILES
from ucr.foundation.errors import UserError
from ucr.foundation.hashes import bytes_hash
from ucr.foundation.schema import read_yaml

FOLDERS = {"train": "train", "valid": "validation", "validation": "validation", "test": "test"}
LONGEST_NAME = 100  # characters


def in_splits(root: Path, find: Callable[[Path], list[Path]], tested_on: bool) -> list[Track]:
    """Tracks at the paths that `find` lists below a folder, in the splits that this module's first lines say."""
    if not root.exists():
        raise UserError(f"the data folder {root} does not exist: fix its path")
    homes, paths = split_folders(root), find(root)
    if not homes:
        if tested_on:
            return _named(root, {"test": paths})
        order = sorted(paths, key=lambda path: _key(root, path))
        n_validation, n_test = -(-len(paths) // 10), -(-len(paths) // 5)
        ends = n_validation, n_validation + n_test
        return _named(
            root, {"validation": order[: ends[0]], "test": order[slice(*ends)], "train": order[ends[1] :]}
        )
    found = {split: [path for path in paths if _home(root, path) == split] for split in SPLITS}
    if tested_on:
        return _named(root, {"test": found["test"]})
    if "validation" not in homes:
        official = _musdb_validation()
        first = [path for path in found["train"] if _without_ending(path.name) in official]
        first = (
            first
            or sorted(found["train"], key=lambda path: _key(root, path))[: -(-len(found["train"]) // 10)]
        )
        found["validation"] = first
        found["train"] = [path for path in found["train"] if path not in first]
    found["train"] += [path for path in paths if _home(root, path) is None]
    return [replace(track, beside=_home(root, track.folder) is None) for track in _named(root, found)]


def split_folders(root: Path) -> set[str]:
    """The splits that have a folder or more: `valid` and `validation` are of one."""
    names = {path.name.lower() for path in root.iterdir() if path.is_dir()} if root.is_dir() else set()
    return {split for name, split in FOLDERS.items() if name in names}


def _home(root: Path, path: Path) -> str | None:
    """The split whose folder a path lies in."""
    top = path.relative_to(root).parts[:1]
    return FOLDERS.get(top[0].lower()) if top else None


def _key(root: Path, path: Path) -> str:
    return bytes_hash([os.fsencode(path.relative_to(root))])


def _named(root: Path, found: Mapping[str, Iterable[Path]]) -> list[Track]:
    """Tracks named after their paths, by what is safe in a file's name; two of one name get their paths' hashes,
    and so does one whose name is too long for a file's."""
    tracks: dict[str, list[Path]] = {}
    splits = {path: split for split, paths in found.items() for path in paths}
    for path in splits:
        place = path.relative_to(root)
        parts = place.parts[1:] if _home(root, path) else place.parts
        text = "-".join(parts) or root.name
        if path.is_file():
            text = _without_ending(text)
        name = re.sub(r"[^A-Za-z0-9-]+", "_", text)
        tracks.setdefault(name.strip("_") or "track", []).append(path)
    named = [
        Track(_unique(name, root, path, len(paths)), splits[path], path)
        for name, paths in tracks.items()
        for path in paths
    ]
    return sorted(named, key=lambda track: (SPLITS.index(track.split), track.name))


def _without_ending(name: str) -> str:
    ending = next((each for each in STEM_FILES if name.endswith(each)), Path(name).suffix)
    return name.removesuffix(ending)


def _unique(name: str, root: Path, path: Path, count: int) -> str:
    return (
        name if count == 1 and len(name) <= LONGEST_NAME else f"{name[-LONGEST_NAME:]}-{_key(root, path)[:6]}"
    )


def _musdb_validation() -> set[str]:
    """Names of MUSDB18's official validation tracks, from the package musdb; none where it is not installed."""
    spec = find_spec("musdb")
    if spec is None or spec.origin is None:
        return set()
    return set(read_yaml(Path(spec.origin).parent / "configs/mus.yaml")["validation_tracks"])

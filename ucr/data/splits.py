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
from itertools import chain
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
    homes = split_folders(root)
    if not homes:
        paths = find(root)
        if tested_on:
            return _named(root, {"test": paths})
        order = sorted(paths, key=lambda path: _key(root, path))
        n_validation, n_test = -(-len(paths) // 10), -(-len(paths) // 5)
        ends = n_validation, n_validation + n_test
        return _named(
            root, {"validation": order[: ends[0]], "test": order[slice(*ends)], "train": order[ends[1] :]}
        )
    if tested_on:
        return _named(root, {"test": _in_all(homes.get("test", []), find)})
    found = {split: _in_all(folders, find) for split, folders in homes.items()}
    if "validation" not in found and "train" in found:
        official = _musdb_validation()
        first = [path for path in found["train"] if _without_ending(path.name) in official]
        first = (
            first
            or sorted(found["train"], key=lambda path: _key(root, path))[: -(-len(found["train"]) // 10)]
        )
        found["validation"] = first
        found["train"] = [path for path in found["train"] if path not in first]
    within = set(chain.from_iterable(homes.values()))
    beside = {path for path in find(root) if within.isdisjoint((path, *path.parents))}
    named = _named(root, {**found, "train": [*found.get("train", []), *beside]})
    return [replace(track, beside=track.folder in beside) for track in named]


def split_folders(root: Path) -> dict[str, list[Path]]:
    """The folders of each split: more than one where there are both `valid` and `validation`, or `Test` and `test`."""
    homes: dict[str, list[Path]] = {}
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        if path.is_dir() and path.name.lower() in FOLDERS:
            homes.setdefault(FOLDERS[path.name.lower()], []).append(path)
    return homes


def _in_all(folders: Iterable[Path], find: Callable[[Path], list[Path]]) -> list[Path]:
    return [path for folder in folders for path in find(folder)]


def _key(root: Path, path: Path) -> str:
    return bytes_hash([os.fsencode(path.relative_to(root))])


def _named(root: Path, found: Mapping[str, Iterable[Path]]) -> list[Track]:
    """Tracks named after their paths, by what is safe in a file's name; two of one name get their paths' hashes,
    and so does one whose name is too long for a file's."""
    tracks: dict[str, list[Path]] = {}
    splits = {path: split for split, paths in found.items() for path in paths}
    for path in splits:
        place = path.relative_to(root)
        parts = place.parts[1:] if place.parts[:1] and place.parts[0].lower() in FOLDERS else place.parts
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

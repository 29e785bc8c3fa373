"""Reading multitracks as they lie: a folder for each track, in it an audio file for each stem.

A folder that holds audio files is a track, however deep it lies. The folders `train`, `valid` or `validation` and
`test` at the top are the splits. Where there are none, tracks are sorted by the SHA-256 of their paths: the first
tenth, rounded up, is the validation split, the next fifth the test split and the others the training split. Where
there is no validation folder, that split is taken from the training folder: MUSDB18's official validation tracks, or
else the first tenth by the same order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soxr

from ucr.data.slakh.song import SPLITS
from ucr.data.tracks import OTHER, Note, Skip, Track, check_alike, files_below, read_mono, taken
from ucr.foundation.audio import open_audio
from ucr.foundation.errors import UserError
from ucr.foundation.hashes import bytes_hash
from ucr.foundation.schema import read_yaml

ENDINGS = {
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".m4a", ".aac", ".mp4", ".wma", ".webm"),
    *(".w64", ".rf64", ".caf", ".au", ".wv", ".ape", ".mka", ".mkv", ".mov"),
}  # fmt: skip
MIXTURES = ("mixture", "mix")
SPLIT_FOLDERS = {"train": "train", "valid": "validation", "validation": "validation", "test": "test"}
LONGEST = 3600.0  # seconds; all stems of a track are in memory at once
LONGEST_NAME = 100  # characters
SUM_ERROR_DB = -20.0  # what is left of a mixture without its stems, beside it, above which it is said


def find_stems(root: Path, tested_on: bool = False) -> list[Track]:
    """List the tracks of a folder of multitracks, sorted by split and name.

    Parameters
    ----------
    root
        The folder.
    tested_on
        Whether it is for testing alone: only the `test` folder, or all tracks where there are no split folders.

    Raises
    ------
    UserError
        If the folder is missing or holds no track.
    """
    tracks = in_splits(
        root, lambda folder: sorted({path.parent for path in files_below(folder, ENDINGS)}), tested_on
    )
    if not tracks:
        where = "test folder" if tested_on and _split_folders(root) else "folder"
        raise UserError(
            f"{root} has no {where} with audio files, one a stem: point its path at the folder that does"
        )
    return tracks


def in_splits(root: Path, find: Callable[[Path], list[Path]], tested_on: bool) -> list[Track]:
    """Tracks at the paths that `find` lists below a folder, in the splits that this module's first lines say."""
    if not root.is_dir():
        raise UserError(f"the data folder {root} does not exist: fix its path")
    homes = _split_folders(root)
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
        return _named(root, {"test": find(homes["test"]) if "test" in homes else []})
    found = {split: find(home) for split, home in homes.items()}
    if "validation" not in found and "train" in found:
        official = _musdb_validation()
        first = [path for path in found["train"] if path.name.removesuffix(".stem.mp4") in official]
        first = (
            first
            or sorted(found["train"], key=lambda path: _key(root, path))[: -(-len(found["train"]) // 10)]
        )
        found["validation"] = first
        found["train"] = [path for path in found["train"] if path not in first]
    return _named(root, found)


def _split_folders(root: Path) -> dict[str, Path]:
    if not root.is_dir():
        return {}
    folders = [path for path in root.iterdir() if path.is_dir() and path.name.lower() in SPLIT_FOLDERS]
    return {SPLIT_FOLDERS[path.name.lower()]: path for path in sorted(folders)}


def _key(root: Path, path: Path) -> str:
    return bytes_hash([path.relative_to(root).as_posix().encode()])


def _named(root: Path, found: Mapping[str, Iterable[Path]]) -> list[Track]:
    """Tracks named after their paths, by what is safe in a file's name; two of one name get their paths' hashes,
    and so does one whose name is too long for a file's."""
    tracks: dict[str, list[Path]] = {}
    splits = {path: split for split, paths in found.items() for path in paths}
    for path in splits:
        place = path.relative_to(root)
        parts = (
            place.parts[1:] if place.parts[:1] and place.parts[0].lower() in SPLIT_FOLDERS else place.parts
        )
        text = "-".join(parts) or root.resolve().name
        if path.is_file():
            text = text.removesuffix(path.suffix).removesuffix(".stem")
        name = re.sub(r"[^A-Za-z0-9-]+", "_", text)
        tracks.setdefault(name.strip("_") or "track", []).append(path)
    named = [
        Track(_unique(name, root, path, len(paths)), splits[path], path)
        for name, paths in tracks.items()
        for path in paths
    ]
    return sorted(named, key=lambda track: (SPLITS.index(track.split), track.name))


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


def read_stems(
    folder: Path, sources: list[str], sample_rate: int, names: Mapping[str, list[str]] | None = None
) -> tuple[np.ndarray, list[Note]]:
    """Read the sources of a track: the sum of each one's files, in mono, resampled by soxr.

    Parameters
    ----------
    folder
        A track's.
    sources
        In the order wanted. One takes the file of its name, in any case. `other` takes all files but mixtures that no
        other source takes.
    sample_rate
        In Hz.
    names
        By source the files that it takes instead: names with or without their ending, `*` for any text.

    Returns
    -------
    audio : float32[n_sources, n_samples]
    notes : list of Note
        One for each file that is as good as empty or whose channels cancel in their mean, and for a mixture that is not
        the sum of the stems.

    Raises
    ------
    Skip
        If a source has no file or a file two, one can't be read, or they differ in length or rate.
    """
    stems = _stem_files(folder)
    paths = _by_source(stems, sources, names or {})
    wanted = {path for each in paths.values() for path in each}
    mixture = next((stems[name] for name in MIXTURES if name in stems and stems[name] not in wanted), None)
    notes: list[Note] = []
    audio: dict[Path, np.ndarray] = {}
    lengths = {}
    for path in stems.values() if mixture else sorted(wanted):
        try:
            audio[path], rate = _read(path, notes)
        except UserError as error:
            if path not in wanted:
                mixture = None
                continue
            raise Skip("a file can't be read", str(error)) from None
        if path in wanted:
            lengths[path.name] = (len(audio[path]), rate)
    check_alike(lengths)
    if mixture:
        notes += _not_the_sum(mixture, audio)
    summed = [np.sum([audio[path] for path in paths[source]], axis=0, dtype=np.float32) for source in sources]
    return np.stack([soxr.resample(each, rate, sample_rate) for each in summed]), notes


def _stem_files(folder: Path) -> dict[str, Path]:
    """A track's audio files by their names in lower case, without endings."""
    stems: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in ENDINGS or path.name.startswith(".") or not path.is_file():
            continue
        name = path.stem.lower()
        if name in stems:
            raise Skip("two files are one stem", f"{stems[name].name} and {path.name}: remove one")
        stems[name] = path
    return stems


def _by_source(
    stems: Mapping[str, Path], sources: list[str], names: Mapping[str, list[str]]
) -> dict[str, list[Path]]:
    patterns = {source.lower(): [each.lower() for each in given] for source, given in names.items()}

    def matching(source: str) -> list[Path]:
        wanted = patterns.get(source.lower(), [source.lower()])
        return [
            path
            for name, path in stems.items()
            if any(fnmatch(name, each) or fnmatch(path.name.lower(), each) for each in wanted)
        ]

    paths = {source: matching(source) for source in taken(sources)}
    for source in sources:
        if source in paths:
            continue
        used = {path for each in paths.values() for path in each}
        rest = [path for name, path in stems.items() if path not in used and name not in MIXTURES]
        paths[source] = matching(source) if OTHER in patterns else rest
    for source in sources:
        if not paths[source]:
            raise Skip(
                "lacks a source", f"{source} (it has {', '.join(path.name for path in stems.values())})"
            )
    return paths


def _read(path: Path, notes: list[Note]) -> tuple[np.ndarray, int]:
    opened = open_audio(path)
    with opened.file as file:
        seconds = opened.n_samples / file.samplerate
    if seconds > LONGEST:
        raise Skip(f"longer than {LONGEST:.0f} s", f"{path.name}: {seconds:.0f} s: cut it into parts")
    return read_mono(path, notes)


def _not_the_sum(mixture: Path, audio: Mapping[Path, np.ndarray]) -> list[Note]:
    """A note if the mixture is not the sum of all other files, or can't be, since their lengths differ."""
    whole = audio[mixture]
    parts = [each for path, each in audio.items() if path != mixture]
    if any(len(part) != len(whole) for part in parts):
        sentence = f"{mixture} is longer or shorter than its stems: the sum of the sources is used"
        return [Note("its mixture is not the sum of its stems", sentence)]
    left, energy = np.square(whole - sum(parts), dtype=float).sum(), np.square(whole, dtype=float).sum()
    error = 10 * np.log10(left / energy) if left and energy else -np.inf
    if error <= SUM_ERROR_DB:
        return []
    sentence = (
        f"{mixture} is not the sum of its stems: what is left without them is at {error:.1f} dB of it; "
        "the sources' own sum is used"
    )
    return [Note("its mixture is not the sum of its stems", sentence)]

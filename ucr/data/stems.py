"""Reading multitracks as they lie: a folder for each track, in it an audio file for each stem.

A folder that holds audio files is a track, however deep it lies; so is a stem file (.stem.mp4, .stem.m4a), which
holds a mixture and its stems. `ucr.data.splits` says which split each belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr

from ucr.data.splits import in_splits, split_folders
from ucr.data.tracks import (
    OTHER,
    Note,
    Skip,
    Track,
    check_alike,
    check_length,
    files_below,
    read_mono,
)
from ucr.foundation.audio import ENDINGS, STEM_FILES, own_stems
from ucr.foundation.errors import UserError

MIXTURES = ("mixture", "mix")
PREVIEW = "preview"  # in the folders of rhythm games: an excerpt of the mixture
OTHER_NAMES = {"vox": "vocals"}  # of stems in stem files
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
    tracks = in_splits(root, _tracks, tested_on)
    if not tracks:
        where = "test folder" if tested_on and split_folders(root) else "folder"
        raise UserError(
            f"{root} has no {where} with audio files, one a stem: point its path at the folder that does"
        )
    return tracks


def _tracks(folder: Path) -> list[Path]:
    """Folders with audio files, and stem files."""
    files = [folder] if folder.is_file() else files_below(folder, ENDINGS)
    return sorted({path if path.name.endswith(STEM_FILES) else path.parent for path in files})


class StemFile(NamedTuple):
    """Where a stem is: a file, and which of its audio streams."""

    path: Path
    stream: int = 0

    @property
    def name(self) -> str:
        """The file's, or that of a stem file's stream."""
        return f"stream {self.stream}" if self.stream else self.path.name


def read_stems(
    folder: Path, sources: list[str], sample_rate: int, names: Mapping[str, list[str]] | None = None
) -> tuple[np.ndarray, list[Note]]:
    """Read the sources of a track: the sum of each one's files, in mono, resampled by soxr.

    Parameters
    ----------
    folder
        A track's, or its stem file.
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
    stems = _stems_of_file(folder) if folder.is_file() else _stems_of_folder(folder)
    by_source = _by_source(stems, sources, names or {})
    wanted = {stem for each in by_source.values() for stem in each}
    mixture = next((stems[name] for name in MIXTURES if name in stems and stems[name] not in wanted), None)
    notes: list[Note] = []
    audio: dict[StemFile, np.ndarray] = {}
    rates: dict[StemFile, int] = {}
    for stem in stems.values() if mixture else sorted(wanted):
        try:
            if not stem.stream:
                check_length(stem.path)
            audio[stem], rates[stem] = read_mono(stem.path, notes, stem.stream)
        except UserError as error:
            if stem not in wanted:
                mixture = None
                continue
            raise Skip("a file can't be read", str(error)) from None
    check_alike({stem.name: (len(audio[stem]), rates[stem]) for stem in audio if stem in wanted})
    if mixture:
        notes += _not_the_sum(mixture, audio, rates)
    rate = rates[next(iter(wanted))]
    summed = [
        np.sum([audio[stem] for stem in by_source[source]], axis=0, dtype=np.float32) for source in sources
    ]
    return np.stack([soxr.resample(each, rate, sample_rate) for each in summed]), notes


def _stems_of_folder(folder: Path) -> dict[str, StemFile]:
    """A track's audio files by their names in lower case, without endings."""
    stems: dict[str, StemFile] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in ENDINGS or path.name.startswith(".") or not path.is_file():
            continue
        name = path.stem.lower()
        if path.name.endswith(STEM_FILES) or name == PREVIEW:
            continue
        if name in stems:
            raise Skip("two files are one stem", f"{stems[name].name} and {path.name}: remove one")
        stems[name] = StemFile(path)
    return stems


def _stems_of_file(path: Path) -> dict[str, StemFile]:
    """A stem file's mixture and stems by their names."""
    stems = {OTHER_NAMES.get(name, name): StemFile(path, i) for name, i in own_stems(path).items()}
    if not stems:
        raise Skip("a file can't be read", f"{path} is no stem file of several audio streams")
    return {MIXTURES[0]: StemFile(path), **stems}


def _by_source(
    stems: Mapping[str, StemFile], sources: list[str], names: Mapping[str, list[str]]
) -> dict[str, list[StemFile]]:
    patterns = {source.lower(): [each.lower() for each in given] for source, given in names.items()}

    def matching(source: str) -> list[StemFile]:
        wanted = patterns.get(source.lower(), [source.lower()])
        return [
            stem
            for name, stem in stems.items()
            if any(fnmatch(name, each) or fnmatch(stem.name.lower(), each) for each in wanted)
        ]

    rest = [source for source in sources if source.lower() == OTHER and OTHER not in patterns]
    found = {source: matching(source) for source in sources if source not in rest}
    used = {stem for each in found.values() for stem in each}
    for source in rest:
        found[source] = [stem for name, stem in stems.items() if stem not in used and name not in MIXTURES]
    for source in sources:
        if not found[source]:
            raise Skip("lacks a source", f"{source} (it has {', '.join(stems)})")
    return found


def _not_the_sum(
    mixture: StemFile, audio: Mapping[StemFile, np.ndarray], rates: Mapping[StemFile, int]
) -> list[Note]:
    """A note if the mixture is not the sum of all other files, or can't be, since their lengths or rates differ."""
    whole = audio[mixture]
    parts = [each for stem, each in audio.items() if stem != mixture]
    reason = "its mixture is not the sum of its stems"
    if len(set(rates.values())) > 1:
        rate = rates[mixture]
        sentence = f"{mixture.path}: the mixture and its stems are not all at {rate} Hz: the sum of the sources is used"
        return [Note(reason, sentence)]
    if any(len(part) != len(whole) for part in parts):
        return [
            Note(
                reason, f"{mixture.path}: the mixture is longer or shorter than its stems: their sum is used"
            )
        ]
    left, energy = np.square(whole - sum(parts), dtype=float).sum(), np.square(whole, dtype=float).sum()
    error = 10 * np.log10(left / energy) if left and energy else -np.inf
    if error <= SUM_ERROR_DB:
        return []
    sentence = (
        f"{mixture.path}: the mixture is not the sum of its stems, without which what is left is at {error:.1f} dB of "
        "it: the sum of the sources is used"
    )
    return [Note(reason, sentence)]

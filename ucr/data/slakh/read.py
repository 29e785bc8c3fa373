"""Reading Slakh2100 and BabySlakh: which tracks there are, and the sources of one of them.

Slakh2100 (`slakh2100_flac_redux`) has folders `train`, `validation` and `test` of
`TrackNNNNN/{metadata.yaml,stems/SXX.flac}` at 44.1 kHz. BabySlakh has the `TrackNNNNN` folders alone, with
16 kHz WAV stems. Where there are no split folders, a track's last digit decides: 8 is validation, 9 and 0 are
test, the others are train, so that a track never changes its split when others come or go.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import soxr
import yaml

from ucr.data.slakh.song import SPLITS
from ucr.data.tracks import OTHER, Note, Skip, Track, check_alike, read_mono
from ucr.foundation.errors import UserError, vanished
from ucr.foundation.hashes import file_hash

TRACK = re.compile(r"Track\d+")
STEM = re.compile(r"[A-Za-z0-9_-]+")
UUID = re.compile(rb"^UUID: *(.*\S)", re.MULTILINE)
FORMATS = (".flac", ".wav")
LAST_DIGIT = {"8": "validation", "9": "test", "0": "test"}


def find_tracks(root: str | Path) -> list[Track]:
    """List the tracks of a data set in either published layout, sorted by split and name.

    Raises
    ------
    UserError
        If the folder is missing or holds no track.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"the data folder {root} does not exist: fix data.path")
    if any((root / split).is_dir() for split in SPLITS):
        tracks = [Track(path.name, split, path) for split in SPLITS for path in _tracks(root / split)]
    else:
        tracks = [Track(path.name, LAST_DIGIT.get(path.name[-1], "train"), path) for path in _tracks(root)]
    if not tracks:
        raise UserError(
            f"{root} holds no TrackNNNNN folder, neither itself nor in train, validation and test: "
            "point data.path at the folder that does"
        )
    return sorted(tracks, key=lambda track: (SPLITS.index(track.split), track.name))


def _tracks(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if TRACK.fullmatch(path.name) and path.is_dir()]


def stem_paths(folder: Path, source: str, sources: list[str] | None = None) -> list[Path]:
    """Files of the stems of one class.

    Parameters
    ----------
    folder
        A track's.
    source
        A value of `inst_class`, in any case; or `other`, all stems of no class of `sources`.

    Returns
    -------
    list of Path
        Every stem of that class that has a file, whatever `audio_rendered` says (BabySlakh's metadata says
        `false` of stems that are there).

    Raises
    ------
    Skip
        If no stem of the class was rendered, or the file of one that was rendered is missing.
    UserError
        If the metadata can't be read, or the folder vanishes.
    """
    paths = []
    classes = {each.lower() for each in sources or ()}
    for name, stem in _stems(folder / "metadata.yaml").items():
        if stem["inst_class"] is None:
            raise Skip("a stem has no class", f"stems.{name}.inst_class is null")
        own = stem["inst_class"].lower()
        if own in classes if source.lower() == OTHER else own != source.lower():
            continue
        path = next(
            (path for ending in FORMATS if (path := folder / "stems" / f"{name}{ending}").is_file()), None
        )
        if path is None and stem["audio_rendered"]:
            if not (folder / "metadata.yaml").is_file():  # which was just read
                raise vanished(folder)
            raise Skip("stem file missing", f"stems/{name} ({source})")
        if path is not None:
            paths.append(path)
    if not paths:
        raise Skip("lacks a source", source)
    return paths


def _stems(path: Path) -> dict[str, dict]:
    """The `stems` of a track's metadata, checked for what is used of them."""
    remedy = "restore it from the data set, or remove the track's folder"
    try:
        metadata = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: {remedy}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML ({error}): {remedy}") from None
    stems = metadata.get("stems") if isinstance(metadata, dict) else None
    if not isinstance(stems, dict):
        raise UserError(f"{path} lacks the key stems: {remedy}")
    for name, stem in stems.items():
        if not isinstance(name, str) or not STEM.fullmatch(name):
            raise UserError(f"{path}: {name!r} is no name of a stem: {remedy}")
        for key, kinds in (("inst_class", (str, type(None))), ("audio_rendered", (bool,))):
            if not isinstance(stem, dict) or not isinstance(stem.get(key, ...), kinds):
                raise UserError(
                    f"{path}: stems.{name} lacks the key {key}, or it is no {kinds[0].__name__}: {remedy}"
                )
    return stems


def identities(folder: Path) -> list[str]:
    """What tells that two tracks are one song: the metadata's UUID and a hash of the MIDI file, if there are any."""
    found = []
    if (path := folder / "metadata.yaml").is_file() and (uuid := UUID.search(path.read_bytes())):
        found.append(f"UUID {uuid[1].decode(errors='replace')}")
    if (path := folder / "all_src.mid").is_file():
        found.append(f"MIDI {file_hash(path)}")
    return found


def read_sources(folder: Path, sources: list[str], sample_rate: int) -> tuple[np.ndarray, list[Note]]:
    """Read the sources of a track: the mean of each class's stems, in mono, resampled by soxr.

    Parameters
    ----------
    folder
        A track's.
    sources
        Classes, in the order wanted; `other` is the sum of all stems of none of them.
    sample_rate
        In Hz.

    Returns
    -------
    audio : float32[n_sources, n_samples]
    notes : list of Note
        One for each stem file that is as good as empty, or whose channels cancel in their mean.

    Raises
    ------
    Skip
        If a class or a file is missing, or the sources differ in length or rate.
    UserError
        If the metadata or a file is damaged.
    """
    paths = {source: stem_paths(folder, source, sources) for source in sources}
    notes: list[Note] = []
    means, lengths = [], {}
    for source in sources:
        stems = []
        for path in paths[source]:
            audio, rate = read_mono(path, notes)
            stems.append(audio)
            lengths[f"{path.name} ({source})"] = (len(audio), rate)
        if len({len(stem) for stem in stems}) == 1:
            join = np.sum if source.lower() == OTHER else np.mean
            means.append(stems[0] if len(stems) == 1 else join(stems, axis=0, dtype=np.float32))
    check_alike(lengths)
    return np.stack([soxr.resample(mean, rate, sample_rate) for mean in means]), notes

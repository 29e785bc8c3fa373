"""The store of segments: equal cuts of every track's sources, the same for every method.

A split is one LMDB file with a key per segment (`TrackNNNNN_i`) and int16[n_sources, n_samples] as its value, with full
scale at 1. Where a source is louder, one more byte k ends the value, and full scale is 2**k. The mixture is the mean of
the stored sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import lmdb
import numpy as np
from pydantic import Field

from ucr.foundation.errors import UserError
from ucr.foundation.files import read_json
from ucr.foundation.params import SourceName
from ucr.foundation.schema import Description, checked

FULL_SCALE = 32768
SEGMENT = re.compile(
    r"([A-Za-z0-9_]+\.)?[A-Za-z0-9_-]+_[0-9]+"
)  # a name, and so a folder's; a further test set's first
REMEDY = "delete its folder and run its stage again"
MAP_SIZE = 1 << 28  # bytes of address space that a new store begins with; it is doubled whenever it is full
_open: WeakValueDictionary[tuple[int, int], lmdb.Environment] = WeakValueDictionary()


@dataclass(frozen=True)
class Segment:
    """One segment.

    Attributes
    ----------
    name
        `TrackNNNNN_i`.
    track, index, split
        Where it is from; `index` counts the segments of the track from its start, kept or not.
    mixture : float32[n_samples]
        Mean of the sources.
    sources : float32[n_sources, n_samples]
        In the order of `params.sources`; of a song without stems the mixture alone.
    """

    name: str
    track: str
    index: int
    split: str
    mixture: np.ndarray
    sources: np.ndarray


def open_lmdb(path: str | Path) -> lmdb.Environment:
    """Open a one-file LMDB for reading; a file that this process has open already is shared.

    Raises
    ------
    UserError
        If the file is missing, is no LMDB, or is shorter than its own header says (reading past the end would kill
        the process).
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist: run the stage that makes it (`dvc repro`)")
    size, file = path.stat().st_size, (path.stat().st_dev, path.stat().st_ino)
    if file in _open:  # LMDB refuses to open a file twice in one process
        return _open[file]
    try:
        env = lmdb.open(str(path), subdir=False, readonly=True, lock=False)
    except lmdb.Error as error:
        raise UserError(f"{path} can't be read as a store ({error}): {REMEDY}") from None
    if (env.info()["last_pgno"] + 1) * env.stat()["psize"] > size:
        env.close()
        raise UserError(f"{path} is cut short: {REMEDY}")
    _open[file] = env
    return env


def create_lmdb(path: Path) -> lmdb.Environment:
    """Open a store for `put`, and make it where there is none."""
    return lmdb.open(str(path), subdir=False, lock=False, map_size=MAP_SIZE)


def put(environment: lmdb.Environment, values: Mapping[str, bytes]) -> None:
    """Add values by their names, all or none, and room for them in the address space."""
    while True:
        try:
            with environment.begin(write=True) as transaction:
                for name, value in values.items():
                    transaction.put(name.encode(), value)
            return
        except lmdb.MapFullError:
            environment.set_mapsize(2 * environment.info()["map_size"])


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what LMDB or NumPy says of a damaged store at `path` into a `UserError`."""
    try:
        yield
    except (lmdb.Error, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): {REMEDY}") from None


def read_keys(transaction: lmdb.Transaction, path: Path) -> list[str]:
    """All keys of the store at `path`; a `UserError` if it is damaged."""
    with reading(path), transaction.cursor() as cursor:
        return [bytes(key).decode() for key in cursor.iternext(keys=True, values=False)]


def sorted_names(names: list[str], path: Path) -> list[str]:
    """Names of segments by track and index; a `UserError` for the first that is none, in the store at `path`."""
    for name in names:
        if not SEGMENT.fullmatch(name):
            raise UserError(f"{path} holds {name!r}, which is no name of a segment: {REMEDY}")
    return sorted(names, key=place_of)


def encoded(audio: np.ndarray) -> bytes:
    """What is stored of float[n_sources, n_samples]."""
    exponent = max(0, int(np.ceil(np.log2(max(np.abs(audio).max(), 1)))))
    pcm = np.clip(np.rint(audio * (FULL_SCALE / 2**exponent)), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return pcm.tobytes() + (bytes([exponent]) if exponent else b"")


def decoded(
    value: bytes | memoryview,
    n_sources: int,
    sources: int | slice = slice(None),
    samples: slice = slice(None),
) -> np.ndarray:
    """The named rows and samples of a stored value, exactly: float32."""
    exponent = value[-1] if len(value) % 2 else 0
    pcm = np.frombuffer(value, np.int16, count=len(value) // 2).reshape(n_sources, -1)
    return pcm[sources, samples].astype(np.float32) / np.float32(FULL_SCALE / 2**exponent)


class _Described(Description):
    sources: list[SourceName] = Field(min_length=1)
    sample_rate: int = Field(gt=0)
    fingerprint: str
    dataset: str
    mixtures_alone: bool = False


class SegmentStore:
    """The segments of one split, sorted by track and index; opened read-only.

    Those of songs without stems are `mixtures_alone`.

    Parameters
    ----------
    folder
        Of the stage's output, `segments`.
    split
        `train`, `validation` or `test`.

    Raises
    ------
    UserError
        If the store is missing or damaged.
    """

    def __init__(self, folder: str | Path, split: str) -> None:
        self.folder, self.split = Path(folder), split
        path = self.folder / "segments.json"
        if not path.is_file():
            raise UserError(f"{path} does not exist: run `python -m pipelines.segments`")
        described = checked(
            _Described, read_json(path), path, "restore it, or run `python -m pipelines.segments`"
        )
        self.sources, self.dataset = described.sources, described.dataset
        self.mixtures_alone = described.mixtures_alone
        self.sample_rate = described.sample_rate
        self.fingerprint = described.fingerprint
        self._path = self.folder / f"{split}.lmdb"
        self._transaction = open_lmdb(self._path).begin(buffers=True)
        self.names = sorted_names(read_keys(self._transaction, self._path), self._path)

    def __reduce__(self) -> tuple:
        return SegmentStore, (self.folder, self.split)  # an open LMDB does not travel to another process

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> Segment:
        name = self.names[i]
        sources = self.crop(i)
        track, index = place_of(name)
        return Segment(name, track, index, self.split, sources.mean(axis=0), sources)

    def crop(self, i: int, sources: int | slice = slice(None), samples: slice = slice(None)) -> np.ndarray:
        """The named rows and samples of the i-th segment's sources, the only ones read: float32."""
        with reading(self._path):
            value = self._transaction.get(self.names[i].encode(), b"")
            return decoded(value, 1 if self.mixtures_alone else len(self.sources), sources, samples)

    @staticmethod
    def track(name: str) -> str:
        """The track of a segment's name."""
        return place_of(name)[0]

    def __iter__(self) -> Iterator[Segment]:
        return (self[i] for i in range(len(self)))


def set_of(name: str, dataset: str) -> str:
    """The set of a segment or track by its name: `SET.` at its start, of a further test set, or the run's `dataset`."""
    return name.partition(".")[0] if "." in name else dataset


def track_of(name: str) -> str:
    """The track that the segment `name` was cut from."""
    return place_of(name)[0]


def place_of(name: str) -> tuple[str, int]:
    """The track of a segment and its number there; of a name without a number the name and -1."""
    track, _, number = name.rpartition("_")
    return (track, int(number)) if track and number.isdigit() else (name, -1)

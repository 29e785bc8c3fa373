"""The store of segments: equal cuts of every track's sources, the same for every method.

A split is one LMDB file with a key a segment (`TrackNNNNN_i`) and int16[n_sources, n_samples] as its value, with full
scale at 1. Where a source is louder, one more byte k ends the value, and full scale is 2**k. The mixture is the mean of
the stored sources.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import lmdb
import numpy as np
import pandas as pd
from pydantic import Field

from ucr.data.slakh.read import read_sources
from ucr.data.slakh.song import SPLITS
from ucr.data.tracks import Note, Reader, Skip, Track
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_json, replacing, write_json
from ucr.foundation.hashes import bytes_hash
from ucr.foundation.params import SourceName
from ucr.foundation.schema import Description, checked

FULL_SCALE = 32768
SEGMENT = re.compile(r"[A-Za-z0-9_-]+_[0-9]+")  # a name, and so a folder's
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
        In the order of `params.sources`.
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
    return sorted(names, key=_place)


class _Described(Description):
    sources: list[SourceName] = Field(min_length=1)
    sample_rate: int = Field(gt=0)
    fingerprint: str


class SegmentStore:
    """The segments of one split, sorted by track and index; opened read-only.

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
        self.sources = described.sources
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
        track, index = _place(name)
        return Segment(name, track, index, self.split, sources.mean(axis=0), sources)

    def crop(self, i: int, sources: int | slice = slice(None), samples: slice = slice(None)) -> np.ndarray:
        """The named rows and samples of the i-th segment's sources, the only ones read: float32."""
        with reading(self._path):
            value = self._transaction.get(self.names[i].encode(), b"")
            stored, full_scale = _stored(value, len(self.sources))
        return stored[sources, samples].astype(np.float32) / (FULL_SCALE / full_scale)

    @staticmethod
    def track(name: str) -> str:
        """The track of a segment's name."""
        return _place(name)[0]

    def __iter__(self) -> Iterator[Segment]:
        return (self[i] for i in range(len(self)))


def track_of(name: str) -> str:
    """The track that the segment `name` was cut from."""
    return name.rsplit("_", 1)[0]


def _place(name: str) -> tuple[str, int]:
    return track_of(name), int(name.rsplit("_", 1)[1])


def _value(audio: np.ndarray) -> bytes:
    """What is stored of float[n_sources, n_samples]."""
    exponent = max(0, int(np.ceil(np.log2(max(np.abs(audio).max(), 1)))))
    pcm = np.clip(np.rint(audio * (FULL_SCALE / 2**exponent)), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return pcm.tobytes() + (bytes([exponent]) if exponent else b"")


def _stored(value: bytes | memoryview, n_sources: int) -> tuple[np.ndarray, int]:
    """int16[n_sources, n_samples] of a stored value, and what its full scale stands for."""
    exponent = value[-1] if len(value) % 2 else 0
    pcm = np.frombuffer(value, np.int16, count=len(value) // 2)
    return pcm.reshape(n_sources, -1), 2**exponent


@dataclass(frozen=True)
class Cut:
    """What one track gave.

    Attributes
    ----------
    audio
        What is stored of each segment kept, by name.
    index
        A row of `index.csv` each.
    skipped
        A row of `skipped.csv` for the track, or for each segment left out.
    notes
        What is odd about the track's files.
    """

    audio: dict[str, bytes]
    index: list[dict]
    skipped: list[dict]
    notes: list[Note]


def cut_track(
    track: Track,
    sources: list[str],
    sample_rate: int,
    n_samples: int,
    min_rms: float,
    read: Reader = read_sources,
) -> Cut:
    """Cut a track into segments of `n_samples`, keeping those in which every source's RMS is at least `min_rms`."""
    where = {"split": track.split, "track": track.name}
    try:
        audio, notes = read(track.folder, sources, sample_rate)
    except Skip as skip:
        return Cut({}, [], [{**where, "segment": "", "reason": skip.reason, "detail": skip.detail}], [])
    n_segments = audio.shape[1] // n_samples
    if not n_segments:
        detail = f"{audio.shape[1] / sample_rate:.2f} s"
        skipped = [{**where, "segment": "", "reason": "shorter than a segment", "detail": detail}]
        return Cut({}, [], skipped, notes)
    cut = Cut({}, [], [], notes)
    for i in range(n_segments):
        name, value = f"{track.name}_{i}", _value(audio[:, i * n_samples : (i + 1) * n_samples])
        pcm, full_scale = _stored(value, len(sources))
        exact = pcm.astype(np.float64) / (FULL_SCALE / full_scale)
        rms = dict(zip(sources, np.sqrt((exact**2).mean(axis=1)).tolist(), strict=True))
        quiet = [source for source in sources if rms[source] < min_rms]
        if quiet:
            detail = ", ".join(f"{source} {rms[source]:.4f}" for source in quiet)
            cut.skipped.append(
                {**where, "segment": name, "reason": "a source's RMS is too low", "detail": detail}
            )
            continue
        cut.audio[name] = value
        cut.index.append(
            {
                **where,
                "segment": name,
                "start_s": i * n_samples / sample_rate,
                "rms_mixture": float(np.sqrt((exact.mean(axis=0) ** 2).mean())),
                **{f"rms_{source}": value for source, value in rms.items()},
                "digest": bytes_hash([value]),
            }
        )
    return cut


class SegmentWriter:
    """Writes the store track by track, so that a killed run goes on where it stopped.

    What is done is kept in `work` until `finish` puts the whole store in place.

    Parameters
    ----------
    work
        A folder for the unfinished store; it must belong to one data set and one set of parameters.
    """

    def __init__(self, work: str | Path) -> None:
        self.work = Path(work)
        self._journal = self.work / "tracks.jsonl"
        self._paths = {split: self.work / f"{split}.lmdb" for split in SPLITS}
        self.index: list[dict] = []
        self.skipped: list[dict] = []
        self.notes: list[dict] = []
        self.done: set[tuple[str, str]] = set()
        earlier = self._earlier()
        if not earlier:
            shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True, exist_ok=True)
        with self._writing():
            self._envs = {split: create_lmdb(path) for split, path in self._paths.items()}
        self._journal.write_text("")
        for entry in earlier:
            self._note(entry)

    def _earlier(self) -> list[dict]:
        """What a run that was killed had done; nothing where its files are damaged.

        A line that the kill cut short is left out: its track is done again.
        """
        if not self._journal.is_file():
            return []
        try:
            for path in self._paths.values():
                open_lmdb(path).close()
            return [json.loads(line) for line in self._journal.read_text().split("\n")[:-1]]
        except (UserError, ValueError):
            return []

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except lmdb.Error as error:  # LMDB has errors of its own for a full disk and a read-only folder
            raise UserError(
                f"{self.work} can't be written ({error}): free space on its disk or make it writable"
            ) from None

    def _note(self, entry: dict) -> None:
        with self._journal.open("a") as journal:
            journal.write(json.dumps(entry) + "\n")
        self.done.add((entry["split"], entry["track"]))
        self.index += entry["index"]
        self.skipped += entry["skipped"]
        self.notes += entry["notes"]

    def add(self, track: Track, cut: Cut) -> None:
        """Store what a track gave: first its audio, then that it is done."""
        with self._writing():
            put(self._envs[track.split], cut.audio)
        where = {"split": track.split, "track": track.name}
        notes = [{**where, "reason": reason, "detail": detail} for reason, detail in cut.notes]
        self._note({**where, "index": cut.index, "skipped": cut.skipped, "notes": notes})

    def finish(self, folder: str | Path, meta: dict) -> dict:
        """Put the whole store at `folder` and remove the unfinished one.

        Parameters
        ----------
        folder
            Of the stage's output.
        meta
            What `segments.json` says beside the fingerprint and the counts.

        Returns
        -------
        dict
            The content of `segments.json`.

        Raises
        ------
        UserError
            If a split has no segment.
        """
        counts = Counter(row["split"] for row in self.index)
        for split in SPLITS:
            if not counts[split]:
                raise UserError(
                    f"no segment of the {split} split of {meta['dataset']} has {' and '.join(meta['sources'])}"
                    f"{self._why(split)}: choose other sources, fix data.path or lower segments.seconds or min_rms"
                )
        kept: list[dict] = sorted(self.index, key=_order)
        left_out: list[dict] = sorted(self.skipped, key=_order)
        index = pd.DataFrame(kept)
        fingerprint = bytes_hash(["\n".join(index["segment"] + " " + index.pop("digest")).encode()])
        columns = ["split", "track", "segment", "reason", "detail"]
        skipped = pd.DataFrame(left_out, columns=columns)
        meta = meta | {
            "fingerprint": fingerprint,
            "counts": {split: counts[split] for split in SPLITS},
        }
        with replacing(folder) as temporary, self._writing():
            temporary.mkdir()
            for split, env in self._envs.items():
                env.copy(str(temporary / f"{split}.lmdb"), compact=True)
            index.to_csv(temporary / "index.csv", index=False)
            skipped.to_csv(temporary / "skipped.csv", index=False)
            if self.notes:
                notes = pd.DataFrame(self.notes).sort_values(["split", "track", "reason", "detail"])
                notes.to_csv(temporary / "notes.csv", index=False)
            write_json(temporary / "segments.json", meta)
        self.close()
        shutil.rmtree(self.work)
        return meta

    def _why(self, split: str) -> str:
        reasons = Counter(row["reason"] for row in self.skipped if row["split"] == split)
        listed = ", ".join(f"{reason}: {count}" for reason, count in reasons.most_common())
        return f" ({listed})" if listed else " (it has no track)"

    def close(self) -> None:
        """Close the unfinished store, which stays for a later run."""
        for env in self._envs.values():
            env.close()


def _order(row: dict) -> tuple:
    index = _place(row["segment"])[1] if row["segment"] else -1
    return SPLITS.index(row["split"]), row["track"], index

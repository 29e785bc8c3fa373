"""The store of latents: every segment's mixture through the codec.

A split is one LMDB file with the segments' names as keys and float32[channels, frames] as values; `latents.json` says
which codec made them.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lmdb
import numpy as np
import torch
from tqdm import tqdm

from ucr.codecs import Codec, same_codec
from ucr.data.segments import SegmentStore, create_lmdb, open_lmdb, put, read_keys, sorted_names
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_json, replacing, write_json
from ucr.foundation.hashes import code_hash, short_hash
from ucr.foundation.params import CodecParams
from ucr.foundation.schema import checked

DESCRIPTION = "latents.json"
BATCH = {"cpu": 4, "cuda": 32}  # segments through the codec at once, and between commits


class _View:
    """Memory of an LMDB transaction that keeps the transaction open for as long as an array looks at it."""

    def __init__(self, buffer: bytes | memoryview, channels: int, transaction: lmdb.Transaction):
        self._transaction = transaction
        address = np.frombuffer(buffer, np.uint8).ctypes.data
        shape = (channels, len(buffer) // (4 * channels))
        self.__array_interface__ = {"version": 3, "typestr": "<f4", "shape": shape, "data": (address, True)}


class LatentStore:
    """The latents of one split, in the order of its segments; opened read-only.

    Parameters
    ----------
    folder
        Of the stage's output, `latents`.
    split
        `train`, `validation` or `test`.

    Attributes
    ----------
    meta
        The content of `latents.json`.
    names
        `TrackNNNNN_i`, sorted by track and index.
    frames
        Of every latent.

    Raises
    ------
    UserError
        If the store is missing, cut short or damaged.
    """

    def __init__(self, folder: str | Path, split: str):
        folder = Path(folder)
        path, description = folder / f"{split}.lmdb", folder / DESCRIPTION
        remedy = f"delete {folder} and run `python -m pipelines.latents`"
        if not description.is_file():
            raise UserError(f"{description} does not exist: run `python -m pipelines.latents`")
        self.meta = read_json(description)
        try:
            self.frames: int = self.meta["frames"]
            self._channels: int = self.meta["channels"]
            expected = self.meta["counts"][split]
        except KeyError as error:
            raise UserError(f"{description} lacks {error}: {remedy}") from None
        self._transaction = open_lmdb(path).begin(buffers=True)
        self.names = _names(self._transaction, path)
        if len(self.names) != expected:
            raise UserError(f"{path} holds {len(self.names)} of {expected} segments: {remedy}")

    def __len__(self) -> int:
        return len(self.names)

    def mixture(self, i: int) -> np.ndarray:
        """Latent of the i-th mixture: a read-only view of the file, float32[channels, frames]."""
        buffer = _get(self._transaction, self.names[i])
        return np.asarray(_View(buffer, self._channels, self._transaction))

    def part(self, names: list[str]) -> LatentStore:
        """The same store with these of its segments alone, in this order."""
        part = copy.copy(self)
        part.names = names
        return part

    def crop(self, i: int, start: int, length: int) -> np.ndarray:
        """Frames `start` to `start + length` of the i-th mixture: a view, float32[channels, length]."""
        return self.mixture(i)[:, start : start + length]


def open_latents(
    folder: str | Path, split: str, codec: Codec | None = None, sources: list[str] | None = None
) -> LatentStore:
    """Open a split's latents, which must be of this codec and of these sources where they are given.

    Raises
    ------
    UserError
        As `LatentStore`, and if the store was made with another codec, another configuration or other
        weights of it, at another rate, or of other sources.
    """
    store = LatentStore(folder, split)
    meta = store.meta
    if codec is not None:
        made, wanted = (
            f"{meta['codec']['name']} at {meta['sample_rate']} Hz",
            f"{codec.name} at {codec.sample_rate} Hz",
        )
        if made == wanted and meta["fingerprint"] != codec.fingerprint:
            made += f" with other parameters or weights ({meta['fingerprint']})"
            wanted += f" ({codec.fingerprint})"
        if made != wanted:
            raise UserError(
                f"{folder} was made with the codec {made}, not {wanted}: run `python -m pipelines.latents` again"
            )
    if sources is not None and meta["sources"] != sources:
        raise UserError(
            f"{folder} holds latents of {', '.join(meta['sources'])}, not of {', '.join(sources)}: "
            "run `python -m pipelines.segments` and `python -m pipelines.latents` again"
        )
    return store


def codec_of(folder: str | Path) -> Codec:
    """The codec that made the latents in `folder`, on the CPU; a `UserError` if it isn't what it was."""
    path = Path(folder) / DESCRIPTION
    if not path.is_file():
        raise UserError(f"{path} does not exist: run `python -m pipelines.latents`")
    meta = read_json(path)
    config = checked(CodecParams, meta.get("codec", {}), path, "make the latents again", ("codec",))
    remedy = "run `python -m pipelines.latents` again"
    return same_codec(config, meta["sample_rate"], meta["fingerprint"], folder, "cpu", remedy)


def write_latents(
    folder: str | Path,
    segments: Mapping[str, SegmentStore],
    codec: Codec,
    config: dict,
    runs: str | Path,
    device: str = "cpu",
) -> None:
    """Put every mixture through the codec; a killed call is continued by the next of the same segments, codec and code.

    Parameters
    ----------
    folder
        Where the whole store comes to lie, at once.
    segments
        By split; `train` among them, whose mixtures give the normalisation statistics.
    codec
        On `device`.
    config
        The codec's parameters, for `latents.json`.
    runs
        A folder for the unfinished store.
    device
        Where the codec runs.

    Raises
    ------
    UserError
        If the unfinished store can't be written.
    """
    first = next(iter(segments.values()))
    identity = {"segments": first.fingerprint, "codec": codec.fingerprint, "code": code_hash()}
    work = Path(runs) / f"latents-{short_hash(identity)}"
    work.mkdir(parents=True, exist_ok=True)
    with tqdm(total=sum(map(len, segments.values())), desc="latents", unit="segment") as progress:
        for split, store in segments.items():
            path = work / f"{split}.lmdb"
            try:
                _encode(path, store, codec, device, progress)
            except lmdb.Error as error:
                raise UserError(
                    f"{path} can't be written ({error}): free space on its disk, or delete it if it was damaged"
                ) from None
    counts = {split: len(store) for split, store in segments.items()}
    describe(work, codec, config, first[0].mixture.size, first.sources, first.fingerprint, counts)
    with replacing(folder) as temporary:
        shutil.move(work, temporary)


def describe(
    folder: Path,
    codec: Codec,
    config: dict,
    n_samples: int,
    sources: list[str],
    fingerprint: str,
    counts: dict[str, int],
) -> None:
    """Write `latents.json` beside the stores of the splits in `folder`.

    Parameters
    ----------
    folder, codec, config
        As for `write_latents`.
    n_samples
        Of every segment.
    sources, fingerprint
        Of the segments.
    counts
        Of segments in each split; `train` among them.
    """
    mean, std = _statistics(folder / "train.lmdb")
    write_json(
        folder / DESCRIPTION,
        {
            "codec": config,
            "fingerprint": codec.fingerprint,
            "sample_rate": codec.sample_rate,
            "channels": codec.channels,
            "frame_rate": codec.frame_rate,
            "frames": codec.n_frames(n_samples),
            "sources": sources,
            "segments": fingerprint,
            "counts": counts,
            "mean": mean,
            "std": std,
        },
    )


def _encode(path: Path, store: SegmentStore, codec: Codec, device: str, progress: tqdm) -> None:
    """Add to the file at `path` the latents of `store` that it lacks; a batch is added whole or not at all.

    One batch is written while the next goes through the codec.
    """
    size = BATCH[torch.device(device).type]
    with (
        create_lmdb(path) as environment,
        ThreadPoolExecutor(1) as writer,
    ):
        with environment.begin() as transaction:
            done = set(_names(transaction, path))
        progress.update(len(done))
        missing = [i for i, name in enumerate(store.names) if name not in done]
        writing = None
        for start in range(0, len(missing), size):
            batch = [store[i] for i in missing[start : start + size]]
            audio = np.stack([segment.mixture for segment in batch])
            with torch.no_grad():
                latents = codec.encode(torch.from_numpy(audio).to(device)).cpu().numpy()
            keys = [segment.name for segment in batch]
            if writing is not None:
                writing.result()
            writing = writer.submit(_write, environment, keys, latents)
            progress.update(len(batch))
        if writing is not None:
            writing.result()


def _write(environment: lmdb.Environment, keys: list[str], latents: np.ndarray) -> None:
    put(environment, {key: latent.astype("<f4").tobytes() for key, latent in zip(keys, latents, strict=True)})


def _statistics(path: Path) -> tuple[float, float]:
    """Mean and standard deviation over all values of all mixtures."""
    moments = np.zeros(3)
    with open_lmdb(path).begin(buffers=True) as transaction:
        for name in _names(transaction, path):
            latent = np.frombuffer(_get(transaction, name), "<f4").astype(np.float64)
            moments += np.array([latent.size, latent.sum(), latent @ latent])
    mean, square = moments[1:] / moments[0]
    return float(mean), float(np.sqrt(square - mean**2))


def _get(transaction: lmdb.Transaction, name: str) -> bytes | memoryview:
    buffer = transaction.get(name.encode())
    if buffer is None:
        raise UserError(f"the store of latents lacks {name}: delete it and run `python -m pipelines.latents`")
    return buffer


def _names(transaction: lmdb.Transaction, path: Path) -> list[str]:
    """Names of the segments in the store at `path`, sorted by track and index."""
    return sorted_names(read_keys(transaction, path), path)

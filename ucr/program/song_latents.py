"""Folders of songs, without stems, as latents to learn from: found, read once as a stream, what is left out counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lmdb
import numpy as np
import torch
from tqdm import tqdm

from ucr.codecs import Codec
from ucr.data.segments import create_lmdb, put
from ucr.data.speech import is_speech, unused
from ucr.data.tracks import files_below
from ucr.foundation.audio import ENDINGS
from ucr.foundation.checkpoints import default_device
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_json, replacing, write_json
from ucr.foundation.hashes import scan_hash, values_hash
from ucr.methods.trained import LEVEL
from ucr.program.streaming import WINDOW, AudioReader, offsets
from ucr.signal.overlap import windows
from ucr.training.latents import BATCH, LatentStore, describe

SILENCE = 1e-3  # RMS: what is quieter, by 60 dB under full scale, is no music to learn from
CENSUS = "songs.json"


def song_files(given: Sequence[str | Path]) -> list[Path]:
    """Files by their paths, and all audio files in folders and their folders; each once.

    Raises
    ------
    UserError
        If a path does not exist, or a folder holds no audio.
    """
    found: dict[Path, Path] = {}
    for each in map(Path, given):
        paths = [each]
        if each.is_dir():
            paths = files_below(each, ENDINGS)
            if not paths:
                raise UserError(f"{each} holds no audio file: name a folder with songs in it, or songs")
        elif not each.is_file():
            raise UserError(f"{each} does not exist or is no file: fix the path")
        for path in paths:
            found.setdefault(path.resolve(), path)
    return list(found.values())


def songs_hash(paths: list[Path]) -> str:
    """What changes if songs are added, removed, moved or changed: of paths, sizes and times."""
    return values_hash({str(path.resolve()): scan_hash(path) for path in paths})


def read_songs(
    paths: list[Path], folder: Path, codec: Codec, config: dict, sources: list[str], least: int, remedy: str
) -> tuple[LatentStore, dict]:
    """Put songs without silence and speech through the codec, each segment at one level; once, then from `folder`.

    Parameters
    ----------
    paths
        Of the songs.
    folder
        Where the store of latents comes to lie, at once.
    codec
        On the default device.
    config
        The codec's parameters.
    sources
        Of the task.
    least
        How many segments there must be.
    remedy
        What to do if there are fewer.

    Returns
    -------
    store
        Of all segments, as a split `train`.
    census
        How many `songs`, `hours` and `segments` were kept, how many `silent_segments` and `speech_segments` left out,
        and of each song in `left_out`, wholly or in part, its path and why.

    Raises
    ------
    UserError
        If there are too few segments, or no room for the store.
    """
    if not (folder / CENSUS).is_file():
        with replacing(folder) as temporary:
            temporary.mkdir()
            _write(paths, temporary, codec, config, sources, least, remedy)
    return LatentStore(folder, "train"), read_json(folder / CENSUS)


def _write(
    paths: list[Path], folder: Path, codec: Codec, config: dict, sources: list[str], least: int, remedy: str
) -> None:
    kept = silent = speech = songs = 0
    seconds, left_out = 0.0, []
    try:
        with create_lmdb(folder / "train.lmdb") as environment:
            for number, path in enumerate(tqdm(paths, desc="reading songs", unit="song")):
                found = _Found()
                try:
                    _read(path, f"song{number:05d}", environment, codec, found)
                except UserError as error:
                    found.trouble = str(error)
                left_out += [{"song": str(path), "why": why} for why in (found.unused, found.trouble) if why]
                songs += found.kept > 0
                kept, seconds = kept + found.kept, seconds + found.seconds
                silent, speech = silent + found.silent, speech + found.speech
    except lmdb.Error as error:
        raise UserError(f"{folder.parent} can't be written ({error}): free space on its disk") from None
    needed = least * WINDOW
    if kept < least or seconds < needed:
        reasons = [f"left out: {each['song']} ({each['why']})" for each in left_out[:1]]
        reasons += [f"and {len(left_out) - 1} more"] if len(left_out) > 1 else []
        why = f" ({', '.join(reasons)})" if reasons else ""
        raise UserError(
            f"there are {seconds:.0f} s of music to learn from, and at least {needed:.0f} s are needed{why}: {remedy}"
        )
    n_samples = round(WINDOW * codec.sample_rate)
    describe(folder, codec, config, n_samples, sources, songs_hash(paths), {"train": kept})
    census = {
        "songs": songs,
        "hours": round(seconds / 3600, 4),
        "segments": kept,
        "silent_segments": silent,
        "speech_segments": speech,
        "left_out": left_out,
    }
    write_json(folder / CENSUS, census)


@dataclass
class _Found:
    """What a song gave so far: segments kept, silent and of speech, seconds kept, and why it is not read further."""

    kept: int = 0
    silent: int = 0
    speech: int = 0
    seconds: float = 0.0
    trouble: str = ""

    @property
    def unused(self) -> str:
        """The sentence on silence and speech in it."""
        return unused(self.kept + self.silent + self.speech, self.silent, self.speech)


@torch.no_grad()
def _read(path: Path, name: str, environment: lmdb.Environment, codec: Codec, found: _Found) -> None:
    """Add a song's segments to the store; the last one overlaps the one before, so that the end is heard too."""
    rate, device = codec.sample_rate, default_device()
    n_samples = round(WINDOW * rate)
    held: dict[str, tuple[np.ndarray, int]] = {}

    def store() -> None:
        if not held:
            return
        audio = torch.from_numpy(np.stack([mixture for mixture, _ in held.values()]))
        latents = codec.encode(audio.to(device)).cpu().numpy()
        put(environment, {key: each.astype("<f4").tobytes() for key, each in zip(held, latents, strict=True)})
        found.kept += len(held)
        found.seconds += sum(step for _, step in held.values()) / rate
        held.clear()

    with AudioReader(path, allow_truncated=True, counted=False) as song:
        for index, (step, window) in enumerate(windows(song.mono(rate), n_samples, n_samples)):
            mixture = (window - offsets(window))[0]
            if len(mixture) < n_samples:
                raise UserError(f"it has {len(mixture) / rate:.1f} s, less than a segment of {WINDOW:.0f} s")
            level = float(np.sqrt(np.square(mixture, dtype=np.float64).mean()))
            if level < SILENCE:
                found.silent += 1
                continue
            if is_speech(mixture, rate):
                found.speech += 1
                continue
            held[f"{name}_{index}"] = mixture * np.float32(LEVEL / level), step or n_samples
            if len(held) == BATCH[device.type]:
                store()
        store()

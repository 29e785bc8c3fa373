"""Stems as files: how long they are, and their samples piece by piece."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

import numpy as np
import soundfile

from eval.stretches import Piece
from ucr.foundation.audio import BLOCK, check_read, cut_short, open_audio, write_blocks
from ucr.foundation.errors import UserError

EXACT = {"WAV", "WAVEX", "RF64", "FLAC"}  # libsndfile's formats of which any part can be read alone
STEPS = {"PCM_S8": 2.0**-7, "PCM_U8": 2.0**-7, "PCM_16": 2.0**-15, "PCM_24": 2.0**-23}


@dataclass(frozen=True)
class Info:
    """Length in samples, rate in Hz, and the amplitude of one step of its samples, 0 if they are floating point."""

    n_samples: int
    sample_rate: int
    step: float


@dataclass(frozen=True)
class SongReader:
    """Reads n references, n estimates and the mixture of one song, as `eval.stretches.Read`.

    Without a `mixture` it is the mean of the references. `offsets` says for each of the 2n + 1 at which of its
    samples the song begins, which has `n_samples`; empty is the first of all.
    """

    references: tuple[Path, ...]
    estimates: tuple[Path, ...]
    mixture: Path | None
    n_samples: int
    offsets: tuple[int, ...] = ()

    def __call__(self, start: int, stop: int) -> Piece:
        n, first, last = len(self.references), max(start, 0), min(stop, self.n_samples)
        paths = (*self.references, *self.estimates, *([self.mixture] if self.mixture else []))
        audio = np.zeros((2 * n + 1, stop - start), np.float32)
        mono, energies = np.zeros((2, 2 * n + 1))
        finite = np.ones(n, bool)
        for i, (path, offset) in enumerate(zip(paths, self.offsets or [0] * len(paths), strict=False)):
            channels = _read(path, first + offset, last + offset)
            bad = ~np.isfinite(channels).all(axis=1)
            if bad.any():
                if not n <= i < 2 * n:
                    raise UserError(
                        f"{path} holds samples that are not finite numbers, the first at "
                        f"{first + offset + int(bad.argmax())}: replace it"
                    )
                finite[i - n] = False
                channels = np.zeros_like(channels)
            average = channels.mean(axis=1) if channels.shape[1] > 1 else channels[:, 0]
            mono[i], energies[i] = _energy(average), _energy(channels) / channels.shape[1]
            audio[i, first - start : last - start] = average
        if not self.mixture:
            audio[-1] = audio[:n].mean(axis=0)
            mono[-1] = energies[-1] = _energy(audio[-1])
        return Piece(audio, mono, energies, finite)

    def aligned(self, delays: np.ndarray) -> SongReader:
        """The same with each estimate, int[n] samples late, moved there; what not all have is left out."""
        n, begin = len(delays), max(0, -int(delays.min()))
        offsets = [begin] * n + [begin + int(delay) for delay in delays] + [begin]
        length = self.n_samples - begin - max(0, int(delays.max()))
        return SongReader(self.references, self.estimates, self.mixture, length, tuple(offsets))


def read_info(path: Path) -> Info:
    """Length, rate and step of a stem.

    Raises
    ------
    UserError
        If it is damaged, cut short, or not an audio file.
    """
    whole = soundfile.info(str(_whole(path)))
    try:
        step = STEPS.get(soundfile.info(str(path)).subtype, 0.0)
    except (soundfile.LibsndfileError, RuntimeError):
        step = 0.0
    return Info(whole.frames, whole.samplerate, step)


def _whole(path: Path) -> Path:
    """A file of which any part can be read alone: the stem, or for as long as the process runs a copy of it."""
    return _whole_at(path, path.stat().st_mtime_ns)


@functools.cache
def _whole_at(path: Path, time: int) -> Path:
    opened = open_audio(path)
    with opened.file as file:
        if opened.cut:
            raise UserError(f"{cut_short(path, opened)}: get it whole")
        if file.format in EXACT and file.name == str(path):
            return path
        with NamedTemporaryFile(suffix=".wav", dir=_copies().name, delete=False) as copy:
            blocks = file.blocks(BLOCK, frames=opened.n_samples, dtype="float32", always_2d=True)
            written = write_blocks(Path(copy.name), file.samplerate, file.channels, blocks)
        check_read(path, opened, written)
    return Path(copy.name)


@functools.cache
def _copies() -> TemporaryDirectory:
    return TemporaryDirectory(prefix="stems.")


def _energy(audio: np.ndarray) -> float:
    """To the six digits of single precision."""
    return float(np.vdot(audio, audio))


def _read(path: Path, start: int, stop: int) -> np.ndarray:
    """Samples of a stem, float32[n_samples, channels], perhaps not finite."""
    try:
        with soundfile.SoundFile(str(_whole(path))) as stem:
            if start:
                stem.seek(start)
            channels = stem.read(stop - start, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise UserError(f"{path} can't be read to its end ({error}): it is damaged, replace it") from None
    if len(channels) != stop - start:
        raise UserError(
            f"{path} ends after {start + len(channels)} samples, its header says more: it is damaged, replace it"
        )
    return channels

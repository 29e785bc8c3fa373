"""Songs that benchmarks make of rendered ones, or of notes."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pretty_midi
import soundfile

from ucr.data.slakh.read import Track


def write_midi(path: Path, minutes: float) -> None:
    """Drums and a bass that repeat a bar of 2 s."""
    song = pretty_midi.PrettyMIDI()
    for is_drum, pitches in ((True, (36, 42, 38, 42)), (False, (40, 40, 47, 43))):
        instrument = pretty_midi.Instrument(0 if is_drum else 33, is_drum=is_drum)
        instrument.notes = [
            pretty_midi.Note(100, pitches[i % 4], i / 2, i / 2 + 0.4) for i in range(round(minutes * 120))
        ]
        song.instruments.append(instrument)
    song.write(str(path))


def link_split(songs: list[Track], root: Path, test: int) -> None:
    """Hard-link a training, a validation and so many test songs."""
    splits = ["train", "validation", *["test"] * test]
    for song, split in zip(sorted(songs, key=_length, reverse=True), splits, strict=False):
        shutil.copytree(song.folder, root / split / song.folder.name, copy_function=os.link)


def _length(song: Track) -> float:
    return soundfile.info(next((song.folder / "stems").iterdir())).duration


def write_hour(songs: list[Track], path: Path) -> None:
    """Songs' mixtures, one after the other, at 44.1 kHz, the right channel quieter."""
    written, rate = 0, 44100
    with soundfile.SoundFile(path, "w", rate, 2, "PCM_16") as file:
        for song in itertools.cycle(songs):
            mix = sum(soundfile.read(stem)[0] for stem in sorted((song.folder / "stems").iterdir()))
            mix = np.asarray(mix) / max(1.0, float(np.abs(mix).max()))
            file.write(np.stack([mix, 0.8 * mix], axis=1))
            written += len(mix)
            if written >= 3600 * rate:
                return

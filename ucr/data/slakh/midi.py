"""The user's MIDI files as songs: General MIDI programs become Slakh's instrument classes, a track a stem."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path

import numpy as np

from ucr.data.slakh.patches import patch_for
from ucr.data.slakh.song import INST_CLASSES, Note, Song, Stem
from ucr.foundation.errors import UserError
from ucr.foundation.hashes import bytes_hash

ENDINGS = {".mid", ".midi"}
LONGEST = 1800.0  # seconds; a longer one is a medley or damaged, and would not fit in memory


def split_of(name: str) -> str:
    """The split of a file by its path in the folder: others coming or going never move it; 70 % train, 10, 20."""
    share = int(bytes_hash([name.encode()]), 16) % 10
    return "validation" if share == 7 else "test" if share > 7 else "train"


def find_midi(folder: Path) -> list[Path]:
    """The MIDI files in a folder and below, sorted.

    Raises
    ------
    UserError
        If the folder is missing or holds none.
    """
    if not folder.is_dir():
        raise UserError(f"the folder of MIDI files {folder} does not exist: mend data.path")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    if not paths:
        raise UserError(f"{folder} holds no .mid file: point data.path at the folder that does")
    return paths


def read_midi(path: Path) -> Song:
    """Read a MIDI file as a song.

    A sustain pedal lengthens the notes that it holds. Pitch bends and other controllers are left out: the
    synthesiser knows none.

    Raises
    ------
    UserError
        If the file is damaged, holds no note, or lasts longer than half an hour.
    """
    import pretty_midi  # and not symusic, which a file cut short can kill

    data = path.read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about tempi in odd places, which pretty_midi reads all the same
            midi = pretty_midi.PrettyMIDI(io.BytesIO(data))
        seconds = midi.get_end_time()
    except Exception as error:  # the parser stumbles over damage in many ways
        raise UserError(f"{path} can't be read as MIDI ({error!r}): replace or remove it") from None
    if seconds > LONGEST:
        raise UserError(
            f"{path} lasts {seconds / 60:.0f} minutes, more than {LONGEST / 60:.0f}: split or remove it"
        )

    def beat(time: float) -> float:
        return midi.time_to_tick(time) / midi.resolution

    stems = []
    for instrument in midi.instruments:
        notes = [
            Note(beat(note.start), beat(end) - beat(note.start), note.pitch, note.velocity)
            for note, end in zip(instrument.notes, _ends(instrument), strict=True)
            if note.velocity
        ]
        inst_class = "Drums" if instrument.is_drum else INST_CLASSES[instrument.program // 8]
        if notes:
            patch = patch_for(int(instrument.program), instrument.is_drum)
            stems.append(Stem(inst_class, patch, notes, instrument.is_drum))
    if not stems:
        raise UserError(f"{path} holds no note: replace or remove it")
    tempos = [(beat(time), float(tempo)) for time, tempo in zip(*midi.get_tempo_changes(), strict=True)]
    signatures = midi.time_signature_changes
    metre = (signatures[0].numerator, signatures[0].denominator) if signatures else (4, 4)
    return Song(hashlib.md5(data, usedforsecurity=False).hexdigest(), stems, tempos, metre, path.name)


def _ends(instrument) -> np.ndarray:
    """When an instrument's notes end, in seconds: those that end under a pressed pedal, when it is let go."""
    ends = np.array([note.end for note in instrument.notes])
    pedal = [
        (change.time, change.value >= 64) for change in instrument.control_changes if change.number == 64
    ]
    times = np.array([time for time, _ in pedal])
    for i, (time, down) in enumerate(pedal):
        if down:
            let_go = next((later for later, still in pedal[i:] if not still), time)
            held = (ends >= time) & (ends < (times[i + 1] if i + 1 < len(times) else let_go))
            ends[held] = np.maximum(ends[held], let_go)
    return ends

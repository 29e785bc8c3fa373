"""What follows the samples of an audio file: chunks, tags, or samples that its header doesn't tell of."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import BinaryIO

STREAMED = 0x7FFFF000  # bytes, and beyond, that programs which write to a pipe put for a length
# How a chunk's name and length are packed, where the first one is, and what the one with the samples is called
RIFF, AIFF, CAF = ("<4sI", 12, b"data"), (">4sI", 12, b"SSND"), (">4sq", 8, b"data")
FORMATS = {"WAV": RIFF, "WAVEX": RIFF, "RF64": RIFF, "AIFF": AIFF, "CAF": CAF}
NAME = re.compile(rb"[ -~]{4}")
TAGS = (b"ID3", b"APE", b"TAG")  # how what tells of a song begins, wherever it stands


def seconds_after(path: Path, form: str, seconds: float) -> float:
    """How much more a file of one of `FORMATS`, or AU, holds than the `seconds` that its header tells of.

    Chunks and tags that follow the samples don't count.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if form == "AU":
            offset, samples = struct.unpack("<II" if file.read(4) == b"dns." else ">II", file.read(8))
            rest = 0 if samples >= STREAMED else size - offset - samples
        else:
            rest, samples = _rest(file, size, *FORMATS[form])
    return max(rest, 0) / max(samples, 1) * seconds


def _rest(file: BinaryIO, size: int, packed: str, place: int, wanted: bytes) -> tuple[int, int]:
    """Bytes from where chunks end, after the one of the name `wanted`, to the end of the file; that chunk's length."""
    step, samples, long = struct.calcsize(packed), 0, 0
    padded = False  # whether a byte that makes a length even should lie before `place`, which some programs leave out
    while place + step <= size:
        file.seek(place)
        name, length = struct.unpack(packed, file.read(step))
        if samples and name[:3] in TAGS:
            return 0, samples
        if samples and not (NAME.fullmatch(name) and 0 <= length <= size - place - step):
            if not padded:
                return size - place, samples
            place, padded = place - 1, False
            continue
        if name == b"ds64":  # of RF64, whose samples may be more than 32 bits can tell
            long = struct.unpack("<8xQ", file.read(16))[0]
        if length < 0:  # of CAF: until the end
            return 0, samples
        if name == wanted:
            length = samples = long if length == 2**32 - 1 else length
        padded = step == 8 and length % 2 == 1
        place += step + length + padded
    return 0, samples

"""Mending a SoundFont for symusic's synthesiser.

symusic 0.5.9 reads two things of a SoundFont 2.04 otherwise than the format says. It tunes a sample by its header,
though a zone may say the key at which it sounds as recorded (generator 58, overridingRootKey): notes are off by whole
octaves (its issue 55) and drums play too fast or too slow. And it cuts a sample without a loop after 5 ms unless its
zone sets generator 37 (sustainVolEnv) to 1000. The copy made here gives a zone with a root key a sample header
of its own, and sets generator 37 where a zone leaves it out.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from ucr.foundation.errors import UserError
from ucr.foundation.files import replacing

SUSTAIN, SAMPLE, ROOT_KEY = 37, 53, 58
HEADER = 46  # bytes of a sample header
ORIGINAL_PITCH = 40  # its byte that holds the key
BAG = np.dtype([("generator", "<u2"), ("modulator", "<u2")])
GENERATOR = np.dtype([("operator", "<u2"), ("amount", "<u2")])
INSTRUMENT = np.dtype([("name", "S20"), ("bag", "<u2")])


def mend_soundfont(source: Path, target: Path) -> None:
    """Write a copy of a SoundFont that symusic plays in tune and to the end.

    Raises
    ------
    UserError
        If `source` is missing or no SoundFont 2 file.
    """
    try:
        data = source.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"the SoundFont {source} does not exist: mend data.soundfont or train_soundfonts, or install it"
        ) from None
    try:
        if data[:4] != b"RIFF" or data[8:12] != b"sfbk":
            raise ValueError("no sfbk header")
        mended = _chunk(b"RIFF", b"sfbk" + b"".join(_list(*part) for part in _chunks(data, 12)))
    except (struct.error, ValueError, IndexError, KeyError) as error:
        raise UserError(f"{source} is no SoundFont 2 file ({error}): mend data.soundfont") from None
    with replacing(target) as temporary:
        temporary.write_bytes(mended)


def _chunks(data: bytes, start: int) -> list[tuple[bytes, bytes]]:
    found = []
    while start < len(data):
        name, size = struct.unpack_from("<4sI", data, start)
        if start + 8 + size > len(data):
            raise ValueError("cut short")
        found.append((name, data[start + 8 : start + 8 + size]))
        start += 8 + size + size % 2
    return found


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", name, len(body)) + body + b"\0" * (len(body) % 2)


def _list(name: bytes, body: bytes) -> bytes:
    if name != b"LIST" or body[:4] != b"pdta":
        return _chunk(name, body)
    parts = dict(_chunks(body, 4))
    parts |= _mend(parts)
    return _chunk(name, b"pdta" + b"".join(_chunk(*part) for part in parts.items()))


def _mend(parts: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """The instruments' zones (`ibag`), their generators (`igen`) and the sample headers (`shdr`), mended."""
    instruments = np.frombuffer(parts[b"inst"], INSTRUMENT)["bag"].astype(int)
    bags = np.frombuffer(parts[b"ibag"], BAG).copy()
    old = np.frombuffer(parts[b"igen"], GENERATOR).tolist()
    starts = bags["generator"].astype(int)
    table = parts[b"shdr"]
    *headers, last = [table[i : i + HEADER] for i in range(0, len(table), HEADER)]
    places: dict[tuple[int, int], int] = {}
    generators: list[tuple[int, int]] = []
    firsts = set(instruments[:-1].tolist())
    common: dict[int, int] = {}
    for zone in range(len(bags) - 1):
        own = old[starts[zone] : starts[zone + 1]]
        bags["generator"][zone] = len(generators)
        values = dict(own)
        if zone in firsts:  # a first zone without a sample holds what is common to its instrument's zones
            common = {} if SAMPLE in values else values
        if SAMPLE in values:
            values = common | values
            sample = values[SAMPLE]
            key = (sample, values.get(ROOT_KEY, headers[sample][ORIGINAL_PITCH]))
            if key not in places:
                places[key] = len(headers)
                header = headers[sample]
                headers.append(header[:ORIGINAL_PITCH] + bytes([key[1]]) + header[ORIGINAL_PITCH + 1 :])
            own = [pair for pair in own if pair[0] != SAMPLE]
            own += [] if SUSTAIN in values else [(SUSTAIN, 1000)]
            own.append((SAMPLE, places[key]))  # the format wants it last
        generators += own
    bags["generator"][-1] = len(generators)
    generators.append(old[-1])
    return {
        b"ibag": bags.tobytes(),
        b"igen": np.array(generators, GENERATOR).tobytes(),
        b"shdr": b"".join([*headers, last]),
    }

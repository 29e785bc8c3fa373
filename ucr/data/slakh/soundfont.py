"""Rewriting a SoundFont for symusic's synthesiser.

symusic 0.5.9 reads several things of a SoundFont 2.04 otherwise than the format says:

- It tunes a sample by its header, though a zone may say at which key it sounds as recorded (generator 58, its issue
  55), by how much each key moves it (56), or tune it by over a semitone (51, 52).
- It takes offsets that shorten a sample or its loop and leaves out those that lengthen them (generators 0 to 4, 12,
  45, 50). A loop may then end before it begins, and what is played is no sample.
- It keeps what it has resampled by the place of the first sample, modulo 2^24, and the key: two zones of one sample
  that are tuned, looped or attenuated otherwise sound alike.
- It cuts a sample without a loop after 5 ms unless its zone sets generator 37 (sustainVolEnv) to 1000. Otherwise it
  does without decay and sustain.
- It adds tremolo (13) of 1 dB to a note's level, which doubles it.
- It reads a compressed file (SoundFont 3) by the headers alone, whatever its loops.

The copy made here says the same without any of these: each zone that sounds at full velocity has a sample of its own,
uncompressed, with its tuning and loop in the header.
"""

from __future__ import annotations

import io
import itertools
import math
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from ucr.foundation.errors import UserError
from ucr.foundation.files import replacing

SUSTAIN, INSTRUMENT, KEYS, VELOCITIES, KEY, ATTENUATION = 37, 41, 43, 44, 46, 48
COARSE_TUNE, FINE_TUNE, SAMPLE, MODE, SCALE, ROOT_KEY = 51, 52, 53, 54, 56, 58
START, END, LOOP_START, LOOP_END = (
    (0, 4),
    (1, 12),
    (2, 45),
    (3, 50),
)  # offsets in samples, and in 32768 samples
KEPT = {33, 34, 38, ATTENUATION}  # of those, delay, attack and release of the volume
BAG = np.dtype([("generator", "<u2"), ("modulator", "<u2")])
GENERATOR = np.dtype([("operator", "<u2"), ("amount", "<i2")])
NAMED = np.dtype([("name", "S20"), ("bag", "<u2")])
PRESET = np.dtype([("name", "S20"), ("number", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("rest", "V12")])
HEADER = np.dtype(
    [
        ("name", "S20"), ("start", "<u4"), ("end", "<u4"), ("loop_start", "<u4"), ("loop_end", "<u4"),
        ("rate", "<u4"), ("pitch", "u1"), ("correction", "i1"), ("link", "<u2"), ("kind", "<u2"),
    ]
)  # fmt: skip
MONO, COMPRESSED, ROM = 1, 0x10, 0x8000
TABLES = (b"phdr", b"pbag", b"pmod", b"pgen", b"inst", b"ibag", b"imod", b"igen", b"shdr")
DRUMS = 128  # the bank of drum kits
SILENCE = 46  # samples after each, as the format wants
LOWEST_RATE = 22050.0  # Hz: an octave under the rate at which notes are made, for those tuned up
CACHE = 2**24  # places that the synthesiser tells apart


def fix_soundfont(source: Path, target: Path) -> None:
    """Write a copy of a SoundFont that symusic plays as the format says: in tune, to the end, and nothing else.

    Parameters
    ----------
    source
        A SoundFont 2, or a SoundFont 3, whose samples are Ogg Vorbis.
    target
        A SoundFont 2.

    Raises
    ------
    UserError
        If `source` is missing, is no SoundFont, or has no drum kit.
    """
    try:
        data = source.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(
            f"the SoundFont {source} does not exist or is no file: fix data.soundfont or train_soundfonts, "
            "or install it"
        ) from None
    try:
        parts = _parts(data)
        pieces, tables = _rewritten(parts)
    except (struct.error, ValueError, IndexError, KeyError, soundfile.LibsndfileError) as error:
        raise UserError(f"{source} is no SoundFont 2 file ({error}): fix data.soundfont") from None
    if not any(bank == DRUMS for bank, _ in _presets(parts)):
        raise UserError(
            f"{source} has no drum kit (no preset in bank {DRUMS}): choose a General MIDI SoundFont as data.soundfont"
        )
    samples = sum(piece.nbytes for piece in pieces)
    info = _list(b"INFO", [(b"ifil", struct.pack("<HH", 2, 4))])
    presets = _list(
        b"pdta", [(name, tables.get(name, body)) for name, body in parts.items() if name in TABLES]
    )
    with replacing(target) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<4sI4s", b"RIFF", 4 + len(info) + 20 + samples + len(presets), b"sfbk"))
        file.write(info)
        file.write(struct.pack("<4sI4s4sI", b"LIST", 12 + samples, b"sdta", b"smpl", samples))
        for piece in pieces:
            file.write(piece.tobytes())
        file.write(presets)


@lru_cache
def presets(soundfont: Path) -> set[tuple[int, int]]:
    """Bank and program of every preset of a SoundFont that `fix_soundfont` wrote."""
    return _presets(_parts(soundfont.read_bytes()))


def _presets(parts: dict[bytes, bytes]) -> set[tuple[int, int]]:
    table = np.frombuffer(parts[b"phdr"], PRESET)[:-1]
    return set(zip(table["bank"].tolist(), table["number"].tolist(), strict=True))


def _parts(data: bytes) -> dict[bytes, bytes]:
    """The samples and the tables."""
    if data[:4] != b"RIFF" or data[8:12] != b"sfbk":
        raise ValueError("no sfbk header")
    lists = {
        data[start : start + 4]: (start, size) for name, start, size in _chunks(data, 12) if name == b"LIST"
    }
    return {
        name: data[first : first + length]
        for start, size in (lists[b"sdta"], lists[b"pdta"])
        for name, first, length in _chunks(data, start + 4, start + size)
    }


def _chunks(data: bytes, start: int, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and size of each chunk; writers of SoundFont 3 leave out the byte that makes a size even."""
    while start + 8 <= (end or len(data)):
        name, size = struct.unpack_from("<4sI", data, start)
        if start + 8 + size > len(data):
            raise ValueError("cut short")
        yield name, start + 8, size
        start += 8 + size
        start += size % 2 and data[start : start + 1] == b"\0"


def _list(kind: bytes, chunks: list[tuple[bytes, bytes]]) -> bytes:
    body = kind + b"".join(struct.pack("<4sI", name, len(chunk)) + chunk for name, chunk in chunks)
    return struct.pack("<4sI", b"LIST", len(body)) + body


def _rewritten(parts: dict[bytes, bytes]) -> tuple[list[np.ndarray], dict[bytes, bytes]]:
    """The samples that the zones play, int16 each, and the tables that say so."""
    instruments = np.frombuffer(parts[b"inst"], NAMED).copy()
    bags = np.frombuffer(parts[b"ibag"], BAG)["generator"].astype(int)
    generators = np.frombuffer(parts[b"igen"], GENERATOR).tolist()
    headers = np.frombuffer(parts[b"shdr"], HEADER)
    samples = _Samples(parts[b"smpl"], headers[:-1])
    used = _keys_used(parts)
    old = instruments["bag"].astype(int).tolist()
    firsts: list[int] = []
    written: list[tuple[int, int]] = []
    for instrument in range(len(old) - 1):
        instruments["bag"][instrument] = len(firsts)
        common: dict[int, int] = {}
        for zone in range(old[instrument], old[instrument + 1]):
            own = dict(generators[bags[zone] : bags[zone + 1]])
            if SAMPLE not in own:
                common = common if zone > old[instrument] else own  # of all zones, if it is the first
                continue
            for copy in samples.zones(common | own, used.get(instrument, set())):
                firsts.append(len(written))
                written += copy
    if max(len(firsts), len(written), len(samples.headers)) > 0xFFFF:
        raise ValueError("too many zones")
    instruments["bag"][-1] = len(firsts)
    firsts.append(len(written))
    return samples.pieces, {
        b"inst": instruments.tobytes(),
        b"ibag": np.array([(first, 0) for first in firsts], BAG).tobytes(),
        b"imod": bytes(10),
        b"igen": np.array([*written, (0, 0)], GENERATOR).tobytes(),
        b"shdr": np.array([*samples.headers, headers[-1]], HEADER).tobytes(),
    }


def _range(values: dict[int, int], operator: int) -> tuple[int, int]:
    low, high = np.int16(values.get(operator, 0x7F00)).tobytes()
    return low, min(high, 127)


def _keys_used(parts: dict[bytes, bytes]) -> dict[int, set[int]]:
    """The keys at which any preset plays an instrument, by its number."""
    presets = np.frombuffer(parts[b"phdr"], PRESET)["bag"].tolist()
    bags = np.frombuffer(parts[b"pbag"], BAG)["generator"].tolist()
    generators = np.frombuffer(parts[b"pgen"], GENERATOR).tolist()
    used: dict[int, set[int]] = {}
    for first, last in itertools.pairwise(presets):
        common: dict[int, int] = {}
        for zone in range(first, last):
            values = common | dict(generators[bags[zone] : bags[zone + 1]])
            if INSTRUMENT in values:
                low, high = _range(values, KEYS)
                used.setdefault(values[INSTRUMENT], set()).update(range(low, high + 1))
            elif zone == first:
                common = values
    return used


class _Samples:
    """The samples of the copy: of each, as often as its loop, tuning or attenuation differs."""

    def __init__(self, data: bytes, headers: np.ndarray) -> None:
        self.data, self.old = data, headers
        self.pcm = np.frombuffer(data, "<i2", len(data) // 2)
        self.decoded: dict[int, np.ndarray] = {}
        self.headers: list[tuple] = []
        self.pieces: list[np.ndarray] = []
        self.places: dict[tuple, tuple[int, int]] = {}
        self.taken: set[int] = set()
        self.end = 0

    def zones(self, values: dict[int, int], used: set[int]) -> Iterator[list[tuple[int, int]]]:
        """The generators of a zone's copy, or of one per key where keys are not a semitone apart.

        There is none if the zone is silent at full velocity, or its sample is not in the file.
        """
        number = values[SAMPLE]
        header = self.old[number]
        sound, start, end, loop_start, loop_end = self._sound(number, values)
        low, high = _range(values, KEYS)
        apart = values.get(SCALE, 100) != 100 or values.get(KEY, -1) >= 0
        keys = sorted(used & set(range(low, high + 1))) if apart else [high]
        inside = 0 <= start < min(end, len(sound)) and header["rate"]
        if not keys or not inside or _range(values, VELOCITIES)[1] < 127:
            return
        tunings = [_tuning(values, header, key) for key in keys]
        highest = min(2 ** ((pitch - key) / 12) for key, (pitch, _) in zip(keys, tunings, strict=True))
        shortest = (
            LOWEST_RATE / float(header["rate"]) * highest
        )  # what a sample becomes of at the highest key
        mode = values.get(MODE, 0) & 3
        if not start <= loop_start < loop_end <= len(sound) or (loop_end - loop_start) * shortest < 1:
            mode, loop_start, loop_end = 0, start, start
        tuned = tuple(
            values.get(operator) for operator in (ROOT_KEY, COARSE_TUNE, FINE_TUNE, SCALE, KEY, ATTENUATION)
        )
        which = (number, start, end, loop_start, loop_end, mode, tuned)
        if which not in self.places:
            beyond = SILENCE + math.ceil(4 / shortest)  # so that a loop ends before its sample at every rate
            piece = np.concatenate([sound[start : max(end, loop_end)], np.zeros(beyond, np.int16)])
            if mode == 1:
                last = loop_end - start
                piece[last:] = np.resize(sound[loop_start:loop_end], len(piece) - last)
            self.places[which] = self._append(piece)
        first, after = self.places[which]
        loop = first + loop_start - start, first + loop_end - start
        kept = {operator: values[operator] for operator in sorted(KEPT & values.keys())}
        for key, tuning in zip(keys, tunings, strict=True):
            new = (header["name"], first, after, *loop, header["rate"], *tuning, 0, MONO)
            if not self.headers or self.headers[-1] != new:
                self.headers.append(new)
            heard = (key << 8 | key) if apart else values.get(KEYS, 0x7F00)  # comes first, the sample last
            yield [
                (KEYS, heard),
                *kept.items(),
                (SUSTAIN, 1000),
                (MODE, mode),
                (SAMPLE, len(self.headers) - 1),
            ]

    def _sound(self, number: int, values: dict[int, int]) -> tuple[np.ndarray, int, int, int, int]:
        """The samples that hold one, its first and the one after its last, and so of its loop."""
        header = self.old[number]
        start, end, *loop = (int(header[name]) for name in ("start", "end", "loop_start", "loop_end"))
        sound = self.pcm
        if header["kind"] & ROM:
            sound = sound[:0]
        elif header["kind"] & COMPRESSED:
            if number not in self.decoded:
                self.decoded[number] = soundfile.read(io.BytesIO(self.data[start:end]), dtype="int16")[0]
            sound = self.decoded[number]
            start, end = 0, len(sound)
        moved = [
            place + values.get(fine, 0) + 32768 * values.get(coarse, 0)
            for place, (fine, coarse) in zip(
                (start, end, *loop), (START, END, LOOP_START, LOOP_END), strict=True
            )
        ]
        return sound, moved[0], moved[1], moved[2], moved[3]

    def _append(self, piece: np.ndarray) -> tuple[int, int]:
        """Where a piece begins and ends; it begins at a place that the synthesiser tells apart from all others."""
        while self.end % CACHE in self.taken:
            self.pieces.append(np.zeros(1, np.int16))
            self.end += 1
        first = self.end
        self.taken.add(first % CACHE)
        self.pieces.append(piece)
        self.end += len(piece)
        return first, self.end


def _tuning(values: dict[int, int], header: np.void, key: int) -> tuple[int, int]:
    """The key at which a zone's sample sounds as recorded, and the cents by which it is then tuned up."""
    root = values.get(ROOT_KEY, -1)
    if root < 0:
        root = int(header["pitch"]) if header["pitch"] < 128 else 60
    cents = int(header["correction"]) + values.get(FINE_TUNE, 0) + 100 * values.get(COARSE_TUNE, 0)
    heard = values[KEY] if values.get(KEY, -1) >= 0 else key
    cents += (heard - root) * values.get(SCALE, 100) - (key - root) * 100
    semitones = round(cents / 100)
    pitch = min(max(root - semitones, 0), 127)
    return pitch, cents - 100 * semitones

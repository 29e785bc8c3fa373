"""MIDI files written byte by byte, with what libraries do not write."""

from __future__ import annotations

import struct

Event = tuple[int, list[int]]
NOTE: list[Event] = [(0, [0x90, 60, 90]), (480, [0x80, 60, 0])]
BASS: list[Event] = [(0, [0xC1, 33]), (0, [0x91, 40, 90]), (480, [0x81, 40, 0])]
DRUMS: list[Event] = [(0, [0x99, 36, 90]), (480, [0x89, 36, 0])]


def number(value: int) -> bytes:
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def track(*events: Event) -> bytes:
    """Events as (ticks since the one before, bytes), and the end."""
    body = b"".join(number(delta) + bytes(event) for delta, event in events) + b"\0\xff\x2f\0"
    return b"MTrk" + struct.pack(">I", len(body)) + body


def midi(*tracks: bytes, division: int = 480, kind: int = 1, n_tracks: int | None = None) -> bytes:
    count = len(tracks) if n_tracks is None else n_tracks
    return b"MThd" + struct.pack(">IHHH", 6, kind, count, division) + b"".join(tracks)

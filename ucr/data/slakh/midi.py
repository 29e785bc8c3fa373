"""The user's MIDI files as songs: General MIDI programs become Slakh's instrument classes, a track per stem."""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ucr.data.slakh.patches import patch_for
from ucr.data.slakh.rhythm import Channel, Rhythm
from ucr.data.slakh.song import INST_CLASSES, Note, Song, Stem
from ucr.data.tracks import files_below
from ucr.foundation.errors import UserError, check_name
from ucr.foundation.hashes import bytes_hash

CHUNK = re.compile(rb"[A-Za-z0-9 ]{4}")  # a name in the format, such as MTrk
ENDINGS = {".mid", ".midi", ".kar", ".rmi"}
LONGEST = 1800.0  # seconds; a longer one is a medley or damaged, and would not fit in memory
META, SYSTEM_EXCLUSIVE = 0xFF, (0xF0, 0xF7)
NOTE_OFF, NOTE_ON, CONTROL, PROGRAM, CHANNEL_PRESSURE = 0x8, 0x9, 0xB, 0xC, 0xD
PORT, END_OF_TRACK, TEMPO, METRE = 0x21, 0x2F, 0x51, 0x58
BANK, PEDAL, SOUND_OFF, RESET = 0, 64, 120, 121
NOTES_OFF = range(123, 128)  # modes too, all of which end what sounds


def split_of(name: str) -> str:
    """The split of a file by its path in the folder: others coming or going never move it; 70 % train, 10, 20."""
    share = int(bytes_hash([os.fsencode(name)]), 16) % 10
    return "validation" if share == 7 else "test" if share > 7 else "train"


def find_midi(folder: Path) -> list[Path]:
    """The MIDI files in a folder, below and in folders linked there, sorted; hidden files and folders are left out.

    Raises
    ------
    UserError
        If the folder is missing or holds none.
    """
    if not folder.is_dir():
        raise UserError(f"the folder of MIDI files {folder} does not exist: fix data.path")
    paths = files_below(folder, ENDINGS)
    if not paths:
        raise UserError(f"{folder} holds no .mid file: point data.path at the folder that does")
    return paths


def read_midi(path: Path) -> Song:
    """Read a Standard MIDI File as a song.

    Tempi count wherever they stand. A note sounds with the program that its track, or else another, has given its
    channel when it begins, or with a drum kit (`ucr.data.slakh.rhythm`). A note that nothing ends lasts as long as its
    track. A sustain pedal lengthens the notes that it holds, until it is let go, controllers are reset, all sound is
    turned off or the file ends. Pitch bends and other controllers are left out: the
    synthesiser knows none. A metre that can't be is taken for 4/4.

    Raises
    ------
    UserError
        If the file is damaged, holds no note or independent sequences (format 2), or lasts longer than half an hour.
    """
    check_name(path)
    data = path.read_bytes()
    try:
        sequence = _read(data)
    except (ValueError, IndexError, struct.error) as error:
        reason = str(error) if type(error) is ValueError else "it ends too early"
        raise UserError(f"{path} can't be read as MIDI ({reason}): replace or remove it") from None
    if not sequence.parts:
        raise UserError(f"{path} holds no note: replace or remove it")
    stems = []
    for (_, channel, program, is_drum), notes in sequence.parts.items():
        ends = _ends(notes, sequence.pedals.get(channel, []), sequence.last)
        beats = [
            Note(
                note.start / sequence.resolution,
                (end - note.start) / sequence.resolution,
                note.pitch,
                note.velocity,
            )
            for note, end in zip(notes, ends.tolist(), strict=True)
        ]
        inst_class = "Drums" if is_drum else INST_CLASSES[program // 8]
        stems.append(Stem(inst_class, patch_for(program, is_drum), beats, is_drum))
    tempos = [(tick / sequence.resolution, tempo) for tick, tempo in sorted(sequence.tempos.items())]
    seconds = _seconds(max(note.start + note.length for stem in stems for note in stem.notes), tempos)
    if seconds > LONGEST:
        raise UserError(
            f"{path} lasts {seconds / 60:.0f} minutes, more than {LONGEST / 60:.0f}: split or remove it"
        )
    return Song(
        hashlib.md5(data, usedforsecurity=False).hexdigest(), stems, tempos, sequence.metre, path.name
    )


@dataclass
class _Played:
    """A note in ticks; `end` is -1 until something ends it."""

    start: int
    pitch: int
    velocity: int
    end: int = -1


@dataclass
class _Sequence:
    """What a file plays, in ticks: its notes by (track, channel, program, is_drum), and what holds for all of them."""

    resolution: float  # ticks per beat
    parts: dict[tuple[int, Channel, int, bool], list[_Played]] = field(default_factory=dict)
    pedals: dict[Channel, list[tuple[int, bool]]] = field(default_factory=dict)
    tempos: dict[int, float] = field(default_factory=lambda: {0: 120.0})  # beats per minute
    metre: tuple[int, int] = (4, 4)
    last: int = 0  # when its last event is


def _read(data: bytes) -> _Sequence:
    """Play a file's tracks together, as a synthesiser does.

    Raises
    ------
    ValueError, IndexError, struct.error
        If the file is damaged.
    """
    start = data.find(b"MThd")  # after the header of a RIFF or MacBinary file, where there is one
    if start < 0:
        raise ValueError("it has no MIDI header" if data else "it is empty")
    data = data[start:]
    _, size, kind, _, division = struct.unpack_from(">4sIHHH", data)
    if kind == 2:
        raise ValueError("its tracks are songs of their own, format 2")
    timed = bool(division & 0x8000)  # ticks are of SMPTE frames, and tempi mean nothing
    frames = 256 - (division >> 8)
    per_second = (30000 / 1001 if frames == 29 else frames) * (division & 0xFF)
    sequence = _Sequence(per_second / 2 if timed else division)
    if not sequence.resolution:
        raise ValueError("its header gives no ticks per beat")
    tracks = [list(_events(track)) for track in _tracks(data, 8 + size)]
    ports = [0] * len(tracks)
    programs: dict[Channel | tuple[int, Channel], int] = {}
    sounding: dict[tuple[int, Channel, int], list[_Played]] = {}
    offs: dict[tuple[int, Channel, int], list[int]] = {}
    rhythm, metred = Rhythm(), False
    merged = [(tick, i, status, body) for i, track in enumerate(tracks) for tick, status, body in track]
    sequence.last = max((event[0] for event in merged), default=0)
    for tick, track, status, body in sorted(merged, key=lambda event: event[0]):
        if status == META:
            if body[0] == PORT and len(body) > 1:
                ports[track] = body[1]
            elif body[0] == TEMPO and len(body) == 4 and any(body[1:]) and not timed:
                sequence.tempos[tick] = 6e7 / int.from_bytes(body[1:])
            elif body[0] == METRE and len(body) > 2 and not metred and body[1] and body[2] < 8:
                sequence.metre, metred = (body[1], 2 ** body[2]), True
            continue
        if status in SYSTEM_EXCLUSIVE:
            rhythm.message(ports[track], body)
            continue
        kind, channel = status >> 4, (ports[track], status & 0xF)
        if kind == PROGRAM:
            rhythm.change(channel)
            programs[channel] = programs[track, channel] = body[0]
        elif kind == CONTROL and body[0] == BANK:
            rhythm.select(channel, body[1])
        elif kind == CONTROL:
            if body[0] in (PEDAL, SOUND_OFF, RESET):
                down = body[0] == PEDAL and body[1] >= 64
                sequence.pedals.setdefault(channel, []).append((tick, down))
            if body[0] == SOUND_OFF or body[0] in NOTES_OFF:
                for (_, place, _), notes in sounding.items():
                    while place == channel and notes:
                        notes.pop(0).end = tick
        elif kind in (NOTE_ON, NOTE_OFF):
            pitch, velocity = body
            key = (track, channel, pitch)
            if kind == NOTE_ON and velocity:
                note = _Played(tick, pitch, velocity)
                program = programs.get((track, channel), programs.get(channel, 0))
                part = (track, channel, program, channel in rhythm)
                sequence.parts.setdefault(part, []).append(note)
                sounding.setdefault(key, []).append(note)
            else:
                offs.setdefault(key, []).append(tick)
                if sounding.get(key):
                    sounding[key].pop(0).end = tick
    for (track, channel, pitch), notes in sounding.items():
        for note in notes:  # begun twice and ended once, or never
            later = (tick for tick in offs.get((track, channel, pitch), []) if tick > note.start)
            note.end = next(later, max(tracks[track][-1][0], note.start))
    return sequence


def _tracks(data: bytes, place: int) -> Iterator[bytes]:
    """The tracks that are there, whatever number of them the header gives, and whatever their lengths."""
    while place + 8 <= len(data):
        name, size = struct.unpack_from(">4sI", data, place)
        end = place + 8 + size
        if not CHUNK.fullmatch(data[end : end + 4]) and (found := data.find(b"MTrk", place + 8)) > 0:
            end = found  # a track's length is wrong
        if name == b"MTrk":
            if end > len(data):
                raise ValueError("it ends too early")
            yield data[place + 8 : end]
        place = end
    if data[place:] and b"MTrk".startswith(data[place : place + 4]):
        raise ValueError("it ends too early")


def _events(track: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Tick, status and data bytes of what a track holds; of META, its kind first."""
    place, tick, running = 0, 0, 0
    while place < len(track):
        delta, place = _number(track, place)
        tick += delta
        status = track[place] if track[place] & 0x80 else running
        place += bool(track[place] & 0x80)
        if status == META:
            size, after = _number(track, place + 1)
            if after + size > len(track):
                raise ValueError("it ends too early")
            yield tick, META, track[place : place + 1] + track[after : after + size]
            if track[place] == END_OF_TRACK:
                return
            place = after + size
        elif status in SYSTEM_EXCLUSIVE:
            size, place = _number(track, place)
            yield tick, status, track[place : place + size]
            place += size
        elif 0x80 <= status < 0xF0:
            running = status
            size = 1 if status >> 4 in (PROGRAM, CHANNEL_PRESSURE) else 2
            if place + size > len(track):
                raise ValueError("it ends too early")
            yield tick, status, bytes(byte & 0x7F for byte in track[place : place + size])
            place += size
        else:
            raise ValueError(f"no event has the status {status:#04x}")


def _number(data: bytes, place: int) -> tuple[int, int]:
    """A number, and the place after it: the 28 bits that the format has for it, whatever more a program writes."""
    value = 0
    while True:
        value = value << 7 | data[place] & 0x7F
        place += 1
        if not data[place - 1] & 0x80:
            return value & 0x0FFFFFFF, place


def _ends(notes: list[_Played], pedal: list[tuple[int, bool]], last: int) -> np.ndarray:
    """When notes end, in ticks: under a pressed pedal when it is let go, at the `last` event if it never is."""
    ends = np.array([note.end for note in notes])
    times = [time for time, _ in pedal]
    for i, (time, down) in enumerate(pedal):
        if down:
            let_go = next((later for later, still in pedal[i:] if not still), last)
            held = (ends >= time) & (ends < (times[i + 1] if i + 1 < len(times) else let_go))
            ends[held] = np.maximum(ends[held], let_go)
    return ends


def _seconds(beat: float, tempos: list[tuple[float, float]]) -> float:
    """When a beat is, by a map of tempi (beats per minute)."""
    starts = [start for start, _ in tempos] + [beat]
    return sum(
        60 / tempo * max(min(starts[i + 1], beat) - start, 0.0) for i, (start, tempo) in enumerate(tempos)
    )

"""What each player of a `slakh_mini` song plays in a bar: drums, bass, chords, pads and melodies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ucr.data.slakh.song import Note
from ucr.data.slakh.styles import Style

STEPS_PER_BEAT = 4
LOUDNESS = {"X": 112, "x": 88, "o": 48}
KEYS = {"kick": 36, "snare": 38, "rim": 37, "clap": 39, "hat": 42, "open": 46, "ride": 51}
CRASHES = (49, 57)
PERCUSSION = (  # tambourine, shaker, congas, cowbell by their General MIDI keys
    "54:..x...x...x...x.", "54:....x.......x...", "70:xoxoxoxoxoxoxoxo", "63:..x..xx...x..xx.", "64:x..x..x...x.x...",
    "56:x...x...x...x...",
)  # fmt: skip
TOMS = (50, 47, 45, 43)


@dataclass(frozen=True)
class Chord:
    """A chord: pitch class of its root and its tones in semitones above it."""

    root: int
    tones: tuple[int, ...]


@dataclass(frozen=True)
class Bar:
    """One bar of the form: where, how long, its chord and the next bar's, energy in [0, 1], place in its section."""

    start: float
    beats: int
    chord: Chord
    following: Chord
    energy: float
    first: bool
    last: bool


class Feel:
    """A player's hands: swing shared by the band, and deviations in timing and velocity of the player's own.

    Parameters
    ----------
    rng
        The song's generator.
    swing, unit
        Share of an off-beat pair that its first note takes, and the pair's length in beats.
    looseness
        Standard deviation of the timing in beats.
    """

    def __init__(self, rng: np.random.Generator, swing: float, unit: float, looseness: float) -> None:
        self.rng, self.swing, self.unit, self.looseness = rng, swing, unit, looseness
        self.lag = rng.normal(0, looseness)
        self.spread = rng.uniform(3, 9)
        self.touch = rng.normal(0, 6)

    def place(self, beat: float) -> float:
        """Where a note written at `beat` is played."""
        pair, within = divmod(beat, self.unit)
        half = within / self.unit
        warped = half * 2 * self.swing if half < 0.5 else self.swing + (half - 0.5) * 2 * (1 - self.swing)
        return max(0.0, (pair + warped) * self.unit + self.lag + self.rng.normal(0, self.looseness))

    def velocity(self, written: float) -> int:
        """How hard a note written with this velocity is played."""
        return int(np.clip(round(written + self.touch + self.rng.normal(0, self.spread)), 12, 127))

    def note(self, start: float, length: float, pitch: int, velocity: float) -> Note:
        """A note as played."""
        return Note(self.place(start), max(length, 0.05), int(pitch), self.velocity(velocity))


def strokes(pattern: str) -> list[tuple[int, int, str]]:
    """Read a pattern: (step, length in steps, character) of each note, `-` holding the one before."""
    found: list[tuple[int, int, str]] = []
    for step, character in enumerate(pattern):
        if character == "-" and found and found[-1][0] + found[-1][1] == step:
            found[-1] = (found[-1][0], found[-1][1] + 1, found[-1][2])
        elif character not in ".-":
            found.append((step, 1, character))
    return found


def choose(rng: np.random.Generator, options: tuple):
    """Draw one of the options evenly."""
    return options[rng.integers(len(options))]


class Player(Protocol):
    """Who plays a part."""

    def play(self, bar: Bar) -> list[Note]:
        """The notes of one bar."""


class Drummer:
    """A drum part: a groove for each level of energy, hand percussion in some songs, fills and crashes."""

    def __init__(self, rng: np.random.Generator, style: Style, feel: Feel) -> None:
        self.rng, self.feel = rng, feel
        full = [
            ["kick:" + choose(rng, style.kick), choose(rng, style.snare), choose(rng, style.hat)]
            for _ in range(2)
        ]
        sparse = [full[0][2:], full[0][:1] + full[0][2:], full[0][1:]][rng.integers(3)]
        self.grooves = {"quiet": sparse, "middle": full[0], "loud": full[1]}
        if style.metre == (4, 4) and rng.random() < 0.3:
            self.grooves["loud"] = [*full[1], choose(rng, PERCUSSION)]
            if rng.random() < 0.5:
                self.grooves["middle"] = [*full[0], self.grooves["loud"][-1]]
        self.keys = KEYS | {"kick": int(rng.choice([35, 36])), "snare": int(rng.choice([38, 40]))}
        self.fills = rng.uniform(0.5, 1.0)
        self.variation = rng.uniform(0.0, 0.12)
        self.hat_touch = rng.uniform(0.6, 1.0)

    def play(self, bar: Bar) -> list[Note]:
        """The notes of one bar."""
        notes = []
        groove = self.grooves["quiet" if bar.energy < 0.52 else "middle" if bar.energy < 0.7 else "loud"]
        fill = bar.last and self.rng.random() < self.fills
        cut = bar.beats - self.rng.choice([0.5, 1, 1, 2]) if fill else bar.beats
        for line in groove:
            voice, pattern = line.split(":")
            for step, _, mark in strokes(pattern):
                beat = step / STEPS_PER_BEAT
                if beat >= cut or (mark != "X" and self.rng.random() < self.variation):
                    continue
                velocity = LOUDNESS[mark] * (0.82 + 0.2 * bar.energy)
                velocity *= self.hat_touch if voice in ("hat", "ride") else 1
                key = self.keys[voice] if voice in self.keys else int(voice)
                notes.append(self.feel.note(bar.start + beat, 0.25, key, velocity))
        if fill:
            notes += self.fill(bar, cut)
        if bar.first and bar.energy > 0.5:
            notes.append(self.feel.note(bar.start, 2, choose(self.rng, CRASHES), 100))
        return notes

    def fill(self, bar: Bar, cut: float) -> list[Note]:
        """A run over snare and toms from beat `cut` to the end of the bar."""
        step = choose(self.rng, (0.25, 0.25, 0.5))
        beats = np.arange(cut, bar.beats - 1e-6, step)
        route = np.sort(self.rng.integers(0, len(TOMS) + 1, len(beats)))
        keys = (self.keys["snare"], *TOMS)
        return [
            self.feel.note(bar.start + beat, 0.25, keys[place], 84 + 24 * i / max(len(beats) - 1, 1))
            for i, (beat, place) in enumerate(zip(beats, route, strict=True))
            if self.rng.random() < 0.9
        ]


class Bassist:
    """A bass line: patterns of chord tones in the low register."""

    def __init__(self, rng: np.random.Generator, style: Style, feel: Feel) -> None:
        self.rng, self.feel = rng, feel
        self.patterns = [choose(rng, style.bass) for _ in range(2)]
        self.floor = int(
            rng.choice([28, 28, 28, 31, 33])
        )  # E, as the lowest string; G or A where the part lies high
        self.gate = rng.uniform(0.85, 1.0)
        self.variation = rng.uniform(0, 0.25)

    def play(self, bar: Bar) -> list[Note]:
        """The notes of one bar."""
        root = self.floor + (bar.chord.root - self.floor) % 12
        pattern = self.patterns[bar.energy > 0.65]
        notes = []
        for step, steps, mark in strokes(pattern):
            if step and mark == "1" and self.rng.random() < self.variation / 4:
                mark = choose(self.rng, ("5", "8"))
            accent = 98 if step % STEPS_PER_BEAT == 0 else 88
            length = steps / STEPS_PER_BEAT * self.gate
            notes.append(
                self.feel.note(bar.start + step / STEPS_PER_BEAT, length, self.pitch(mark, root, bar), accent)
            )
        return notes

    def pitch(self, mark: str, root: int, bar: Bar) -> int:
        """The key that a pattern's character asks for over this bar's chord."""
        if mark == "a":
            target = self.floor + (bar.following.root - self.floor) % 12
            return target + (1 if root > target else -1) * choose(self.rng, (1, 2))
        third, fifth, top = bar.chord.tones[1], bar.chord.tones[2], bar.chord.tones[-1]
        return root + {"1": 0, "3": third, "5": fifth, "6": 9, "7": top if top > fifth else 10, "8": 12}[mark]


class Comper:
    """Chords on a keyboard or guitar: block, broken, or with the root in the left hand.

    Parameters
    ----------
    rng, style, feel
        As for the others.
    centre
        Pitch about which the chords are voiced.
    strum
        Beats between the tones of a chord.
    pedal
        Whether everything rings to the end of its bar.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        style: Style,
        feel: Feel,
        centre: int,
        strum: float = 0.0,
        pedal: bool = False,
    ) -> None:
        self.rng, self.feel, self.centre, self.strum, self.pedal = rng, feel, centre, strum, pedal
        self.patterns = [choose(rng, style.chords) for _ in range(2)]
        self.gate = rng.uniform(0.6, 1.0)
        self.doubled = rng.random() < 0.3
        self.voices = int(rng.integers(3, 5))

    def voicing(self, chord: Chord) -> list[int]:
        """The chord's tones, each in the octave nearest to the centre, lowest first."""
        tones = chord.tones[: self.voices]
        pitches = {self.centre - 6 + (chord.root + tone - self.centre + 6) % 12 for tone in tones}
        return sorted(pitches | ({max(pitches) - 12} if self.doubled else set()))

    def play(self, bar: Bar) -> list[Note]:
        """The notes of one bar."""
        pitches = self.voicing(bar.chord)
        third, fifth, top = bar.chord.tones[1], bar.chord.tones[2], bar.chord.tones[-1]
        low = self.centre - 12 + (bar.chord.root - self.centre) % 12
        notes = []
        for step, steps, mark in strokes(self.patterns[bar.energy > 0.65]):
            beat = bar.start + step / STEPS_PER_BEAT
            length = steps / STEPS_PER_BEAT * self.gate
            accent = 70 + 22 * bar.energy + (8 if step % STEPS_PER_BEAT == 0 else 0)
            if mark == "c":
                heard = pitches
            elif mark == "b":
                heard = [low - 12, low]
            else:
                heard = [low + {"1": 0, "3": third, "5": fifth, "6": 9, "7": top, "8": 12}[mark]]
                length = max(length, 0.5)
            if self.pedal:
                length = bar.beats - step / STEPS_PER_BEAT
            order = heard if self.rng.random() < 0.7 else heard[::-1]
            for i, pitch in enumerate(order):
                notes.append(self.feel.note(beat + i * self.strum, length, pitch, accent - 2 * i))
        return notes


class Padder(Comper):
    """Chords held for the whole bar, as strings and pads play them."""

    def play(self, bar: Bar) -> list[Note]:
        """The notes of one bar."""
        return [
            self.feel.note(bar.start, bar.beats * 0.98, pitch, 62 + 24 * bar.energy)
            for pitch in self.voicing(bar.chord)
        ]


class Soloist:
    """A melody: steps and small leaps on the scale, chord tones on strong beats, with breaths."""

    def __init__(self, rng: np.random.Generator, feel: Feel, scale: tuple[int, ...], centre: int) -> None:
        self.rng, self.feel, self.centre = rng, feel, centre
        self.ladder = [pitch for pitch in range(centre - 9, centre + 12) if pitch % 12 in scale]
        self.place = len(self.ladder) // 2
        self.motif = [self.rhythm() for _ in range(2)]

    def rhythm(self) -> list[float]:
        """Lengths in beats of a motif, rests being negative."""
        lengths = self.rng.choice([0.5, 0.5, 1.0, 1.5, 0.25, 2.0], 16)
        return [float(length) * (-1 if self.rng.random() < 0.2 else 1) for length in lengths]

    def play(self, bar: Bar) -> list[Note]:
        """The notes of one bar."""
        notes: list[Note] = []
        beat = 0.0
        for length in choose(self.rng, tuple(self.motif)):
            if beat >= bar.beats:
                break
            held = min(abs(length), bar.beats - beat)
            if length > 0:
                leap = int(self.rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 3]))
                self.place = int(np.clip(self.place + leap, 0, len(self.ladder) - 1))
                pitch = self.ladder[self.place]
                if beat == 0:
                    tones = {(bar.chord.root + tone) % 12 for tone in bar.chord.tones}
                    pitch = min(self.ladder, key=lambda key: (key % 12 not in tones, abs(key - pitch)))
                    self.place = self.ladder.index(pitch)
                notes.append(self.feel.note(bar.start + beat, held * 0.92, pitch, 84 + 16 * bar.energy))
            beat += abs(length)
        return notes

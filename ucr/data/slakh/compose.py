"""Composing the songs of `slakh_mini`: everything about a song follows from its seed."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np

from ucr.data.slakh.parts import Bar, Bassist, Chord, Comper, Drummer, Feel, Padder, Player, Soloist, choose
from ucr.data.slakh.patches import EFFECTS, draw_patch
from ucr.data.slakh.song import SPLITS, Note, Song, Stem
from ucr.data.slakh.styles import PROGRESSIONS, STYLES, Style

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)
SECTIONS = (
    ("intro", 0.35),
    ("verse", 0.55),
    ("chorus", 0.9),
    ("verse", 0.6),
    ("chorus", 1.0),
    ("bridge", 0.5),
    ("outro", 0.7),
)
RESOLUTION = 8  # tempo changes per bar of a ritardando


def compose(seed: int, split: str, number: int, seconds: float) -> Song:
    """Compose one song.

    Parameters
    ----------
    seed
        The run's seed.
    split
        `train`, `validation` or `test`: part of the song's seed, so that no two splits share a song.
    number
        The song's place in its split.
    seconds
        About how long the song is to last.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), number])
    uuid = hashlib.md5(f"{seed}/{split}/{number}".encode(), usedforsecurity=False).hexdigest()
    names = list(STYLES)
    weights = np.array([STYLES[name].weight for name in names])
    style = STYLES[names[rng.choice(len(names), p=weights / weights.sum())]]
    key, minor = int(rng.integers(12)), bool(rng.random() < 0.42)
    tempo = float(rng.uniform(*style.tempo))
    beats = style.metre[0] * 4 // style.metre[1]
    n_bars = max(4, round(seconds * tempo / 60 / beats))
    bars = _form(rng, n_bars, beats, key, minor)
    stems = _band(rng, style, bars, split, key, minor, tempo)
    return Song(uuid, stems, _tempos(rng, tempo, n_bars, beats), style.metre, f"{uuid}.mid")


def _form(rng: np.random.Generator, n_bars: int, beats: int, key: int, minor: bool) -> list[Bar]:
    """Lay sections of two to eight bars over the song and a progression over each kind of section."""
    scale = MINOR if minor else MAJOR
    sevenths = rng.random() < 0.35
    harmony = {name: choose(rng, PROGRESSIONS[minor]) for name in ("verse", "chorus", "bridge")}
    harmony |= {"intro": harmony["verse"], "outro": harmony["chorus"]}
    skip = 1 if rng.random() < 0.4 else 0
    plan: list[tuple[int, float, bool, bool]] = []
    for name, energy in itertools.cycle(SECTIONS[skip:]):
        length = 2 if name in ("intro", "outro") else int(rng.choice([4, 4, 8]))
        length = min(length if n_bars > 12 else max(2, length // 2), n_bars - len(plan))
        level = float(np.clip(energy + rng.normal(0, 0.14), 0, 1))
        plan += [
            (harmony[name][i % len(harmony[name])], level, i == 0, i == length - 1) for i in range(length)
        ]
        if len(plan) >= n_bars:
            break
    plan[-1] = (0, *plan[-1][1:])
    lift = int(rng.choice([1, 2])) if rng.random() < 0.12 else 0  # the last sections a semitone or two up
    turn = next((i for i, (_, _, first, _) in enumerate(plan) if first and i > 0.6 * n_bars), n_bars)
    chords = [
        _chord(key + (lift if i >= turn else 0), scale, degree, sevenths)
        for i, (degree, *_) in enumerate(plan)
    ]
    return [
        Bar(i * beats, beats, chords[i], chords[min(i + 1, n_bars - 1)], energy, first, last)
        for i, (_, energy, first, last) in enumerate(plan)
    ]


def _chord(key: int, scale: tuple[int, ...], degree: int, seventh: bool) -> Chord:
    steps = [degree + third for third in ((0, 2, 4, 6) if seventh else (0, 2, 4))]
    pitches = [scale[step % 7] + 12 * (step // 7) for step in steps]
    return Chord((key + pitches[0]) % 12, tuple(pitch - pitches[0] for pitch in pitches))


def _tempos(rng: np.random.Generator, tempo: float, n_bars: int, beats: int) -> list[tuple[float, float]]:
    """A tempo map: steady or drifting by the bar; some songs change tempo midway, some slow down at the end."""
    drift = rng.choice([0.0, 0.004, 0.012])
    change = 1 + rng.choice([0, 0, 0, 0, -0.12, 0.08, 0.15])
    turn = n_bars // 2 if change != 1 else n_bars
    walk = np.clip(np.cumsum(rng.normal(0, drift, n_bars)), -0.05, 0.05)
    tempos = [
        (bar * beats, tempo * (1 + walk[bar]) * (change if bar >= turn else 1)) for bar in range(n_bars)
    ]
    if rng.random() < 0.35:
        last, final = tempos.pop()
        slow = rng.uniform(0.6, 0.85)
        steps = np.linspace(0, 1, RESOLUTION, endpoint=False)
        tempos += [(last + beats * step, final * (1 - (1 - slow) * step)) for step in steps]
    return [tempos[0]] + [new for old, new in itertools.pairwise(tempos) if new[1] != old[1]]


def _band(
    rng: np.random.Generator, style: Style, bars: list[Bar], split: str, key: int, minor: bool, tempo: float
) -> list[Stem]:
    swing = float(rng.uniform(*style.swing))
    looseness = rng.uniform(0.002, 0.010) * tempo / 60  # seconds, in beats

    def feel() -> Feel:
        return Feel(rng, swing, style.swing_unit, looseness)

    scale = tuple((key + step) % 12 for step in (MINOR if minor else MAJOR))

    def stem(inst_class: str, player: Player, rendered: bool = True) -> Stem:
        notes = _arrange(rng, inst_class, player, bars)
        return Stem(inst_class, draw_patch(rng, inst_class, split), notes, inst_class == "Drums", rendered)

    stems = [
        stem("Drums", Drummer(rng, style, feel())),
        stem("Bass", Bassist(rng, style, feel())),
        stem("Piano", Comper(rng, style, feel(), int(rng.integers(54, 67)), pedal=bool(rng.random() < 0.5))),
        stem("Guitar", Comper(rng, style, feel(), int(rng.integers(54, 64)), strum=0.02)),
    ]
    if rng.random() < 0.3:
        stems.append(stem("Guitar", Comper(rng, style, feel(), int(rng.integers(60, 70)), strum=0.015)))
    if rng.random() < 0.15:
        stems.append(stem("Piano", Comper(rng, style, feel(), int(rng.integers(64, 76)))))
    if rng.random() < 0.05:
        stems.append(stem("Bass", Bassist(rng, style, feel())))
    colours = ["Organ", "Strings (continued)", "Synth Pad"]
    for inst_class in rng.permutation(colours)[: 1 + (rng.random() < 0.3)]:
        stems.append(stem(str(inst_class), Padder(rng, style, feel(), int(rng.integers(60, 72)))))
    if rng.random() < 0.5:
        lead = str(rng.choice(["Synth Lead", "Reed", "Pipe", "Brass", "Chromatic Percussion"]))
        rendered = bool(rng.random() < 0.5)
        stems.append(stem(lead, Soloist(rng, feel(), scale, int(rng.integers(67, 77))), rendered))
    if rng.random() < 0.15:  # Slakh's renderer had no patch for sound effects
        notes = [Note(bar.start, bar.beats, 60, 80) for bar in bars if bar.first]
        stems.append(Stem("Sound Effects", EFFECTS[rng.integers(len(EFFECTS))], notes, rendered=False))
    order = rng.permutation(len(stems))
    return [stems[i] for i in order]


def _arrange(rng: np.random.Generator, inst_class: str, player: Player, bars: list[Bar]) -> list[Note]:
    """Let a player play the sections that the arrangement gives it: rhythm sections rest seldom, others often."""
    rest = {"Drums": 0.08, "Bass": 0.06, "Piano": 0.15, "Guitar": 0.2}.get(inst_class, 0.35)
    notes: list[Note] = []
    playing = True
    for i, bar in enumerate(bars):
        if bar.first:
            playing = rng.random() > rest * (2 if bar.energy < 0.5 else 1) or i == len(bars) // 2
        if playing:
            notes += player.play(bar)
    if not notes:
        notes = [note for bar in bars for note in player.play(bar)]
    return sorted(notes, key=lambda note: (note.start, note.pitch))

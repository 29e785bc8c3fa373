"""What a song is before it is heard: notes in beats, a map of tempi, and the instrument of each stem."""

from __future__ import annotations

from dataclasses import dataclass, field

TICKS_PER_BEAT = 480
SPLITS = ("train", "validation", "test")

# General MIDI's families of eight programs, by the names that Slakh2100's metadata gives them.
INST_CLASSES = (
    "Piano", "Chromatic Percussion", "Organ", "Guitar", "Bass", "Strings", "Strings (continued)", "Brass",
    "Reed", "Pipe", "Synth Lead", "Synth Pad", "Sound Effects", "Ethnic", "Percussive", "Sound effects",
)  # fmt: skip


@dataclass(frozen=True)
class Note:
    """One note: start and length in quarter-note beats, MIDI pitch and velocity."""

    start: float
    length: float
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Patch:
    """How an instrument sounds: a program of the SoundFont and what a player or engineer does to it.

    Attributes
    ----------
    name
        Written to the metadata as `plugin_name`.
    program
        General MIDI program, or the number of a drum kit.
    weight
        How often pop music uses it, relative to others of its class.
    cutoff, low_cut
        Corners in Hz of its low-pass and high-pass (12 dB an octave each).
    attack
        Seconds in which a note rises.
    decay
        Seconds in which a held note falls by 60 dB, beside the sample's own decay (a string dies away).
    release
        Seconds in which a note falls by 60 dB after its end.
    room
        Amplitude of the room's reverberation, the direct sound's being 1 (drums have room microphones).
    tune
        Semitones by which the samples are tuned up; for drums, which no key tunes.
    voices
        Of a drum kit: level in dB and decay in seconds of each voice.
    test_only
        Whether the patch is kept for the test split.
    """

    name: str
    program: int
    weight: float = 1.0
    cutoff: float = 20000.0
    low_cut: float = 20.0
    attack: float = 0.0
    decay: float = 20.0
    release: float = 0.12
    room: float = 0.0
    tune: float = 0.0
    voices: dict[str, tuple[float, float]] = field(default_factory=dict)
    test_only: bool = False


@dataclass
class Stem:
    """One instrument of a song; a stem that is not rendered has notes in `all_src.mid` but no file of its own."""

    inst_class: str
    patch: Patch
    notes: list[Note]
    is_drum: bool = False
    rendered: bool = True


@dataclass
class Song:
    """A composition.

    Attributes
    ----------
    uuid
        32 hexadecimal digits: of the song's seed, or of the MIDI file that it comes from.
    stems
        In the order of their files, S00 first.
    tempos
        (beat, quarter notes per minute), the first at beat 0.
    metre
        (numerator, denominator).
    origin
        Name of the MIDI file that it comes from, or would be.
    """

    uuid: str
    stems: list[Stem]
    tempos: list[tuple[float, float]]
    metre: tuple[int, int]
    origin: str

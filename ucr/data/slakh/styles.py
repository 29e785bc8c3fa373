"""Styles of `slakh_mini`'s songs: tempi, grooves, bass lines and accompaniments, written as one string per bar.

A pattern has one character for each sixteenth note of the bar (16 in 4/4, 12 in 3/4 and 6/8). For drums:
`X` accent, `x` stroke, `o` ghost note. For pitched parts: `1` root, `3` third, `5` fifth, `6` sixth above the
root, `7` topmost tone of the chord, `8` octave, `a` a step towards the next chord's root, `c` the whole chord,
`b` its root in the left hand, `-` holds what sounds. `.` is a rest everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """What a style allows; a song draws one of each.

    Attributes
    ----------
    weight
        How often songs are in this style.
    metre
        (numerator, denominator).
    tempo
        Lowest and highest, in quarter notes per minute.
    swing
        Lowest and highest share of an off-beat pair that its first note takes (0.5 is straight).
    swing_unit
        Length of that pair in beats: 1 swings eighths, 0.5 sixteenths.
    kick, snare, hat
        Patterns; a name before a colon says which key of the kit plays it.
    bass, chords
        Patterns of the bass and of chordal instruments.
    """

    weight: float
    metre: tuple[int, int]
    tempo: tuple[float, float]
    swing: tuple[float, float]
    swing_unit: float
    kick: tuple[str, ...]
    snare: tuple[str, ...]
    hat: tuple[str, ...]
    bass: tuple[str, ...]
    chords: tuple[str, ...]


STRAIGHT = (0.5, 0.52)
BACKBEAT = ("snare:....X.......X...",)

STYLES = {
    "rock": Style(
        5, (4, 4), (96, 150), STRAIGHT, 0.5,
        ("X.......X.......", "X.......X.x.....", "X.....x.X.......", "X..x....X.x.....", "X.x.....X.x...x."),
        (*BACKBEAT, "snare:....X....o..X..o"),
        ("hat:X.x.X.x.X.x.X.x.", "hat:X...X...X...X...", "ride:X.x.X.x.X.x.X.x.", "open:X.x.X.x.X.x.X.x."),
        ("1-1-1-1-1-1-1-1-", "1---1---1---1---", "1-----1-1-----5-", "1-1-1-1-5-5-8-5-", "1-----1-1-1---a-"),
        ("c---------------", "c-------c-------", "c-----c-------c-", "c-c-c-c-c-c-c-c-", "c---c---c---c---"),
    ),
    "pop": Style(
        6, (4, 4), (84, 124), STRAIGHT, 0.5,
        ("X.......X.......", "X.....x.x.......", "X..x..x...x.....", "X.......x.x.....", "X.....X...X....."),
        (*BACKBEAT, "clap:....X.......X...", "rim:....X.......X..."),
        ("hat:x.x.x.x.x.x.x.x.", "hat:xoxoxoxoxoxoxoxo", "hat:X.x.X.x.X.x.X.o."),
        (
            "1-------1-------", "1-----1-1-----1-", "1-----1---1-----", "1---5---8---5---", "1--1----1--1--a-",
            "1-------------5-",
        ),
        (
            "c---------------", "c-------c-------", "c--c--c-c--c--c-", "b---c---b---c---", "1-5-8-5-1-5-8-5-",
            "1-3-5-8-7-5-3-5-",
        ),
    ),
    "ballad": Style(
        3, (4, 4), (60, 84), STRAIGHT, 0.5,
        ("X.......x.......", "X.......X.x.....", "X.....o.x......."),
        ("rim:....x.......x...", "snare:....X.......X...", "snare:........X......."),
        ("hat:x.x.x.x.x.x.x.x.", "ride:x...x...x...x...", "hat:x.o.x.o.x.o.x.o."),
        ("1---------------", "1-------5-------", "1-----1-5-------", "1-----------5-a-"),
        ("c---------------", "b-------c-------", "1-3-5-8-5-3-5-8-", "b---c---c---c---", "1-5-8-5-7-5-8-5-"),
    ),
    "disco": Style(
        2, (4, 4), (110, 130), STRAIGHT, 0.5,
        ("X...X...X...X...",),
        (*BACKBEAT, "clap:....X.......X..."),
        ("open:..X...X...X...X.", "hat:xoXoxoXoxoXoxoXo", "hat:..x...x...x...x."),
        ("1-8-1-8-1-8-1-8-", "1.1.8.1.1.1.8.5.", "..1-..1-..1-..1-", "1-..8-1-..1-8-5-"),
        ("..c-..c-..c-..c-", "c.c.c-..c.c.c-..", "c---------------", "c--c--c-..c-..c-"),
    ),
    "funk": Style(
        2, (4, 4), (88, 116), (0.5, 0.58), 0.5,
        ("X..x..x...x.x...", "X.x....x..X..x..", "X.X....x..x....."),
        ("snare:....X..o.o..X..o", "snare:....X.......X.o.", "snare:..o.X..o.o..X..."),
        ("hat:xoxoxoxoxoxoxoxo", "hat:X.x.X.x.X.x.X.x."),
        ("1..1..8.1.....7.", "1.1...8..1..5.a.", "1--.1.8.--1.5-7-", "1...1..1..8.7.5."),
        ("..c...c....c..c.", "c.c...c..c....c.", "....c-......c-..", "..cc..c...cc..c."),
    ),
    "hiphop": Style(
        2, (4, 4), (78, 100), (0.54, 0.62), 0.5,
        ("X..x......X..x..", "X......x..X.....", "X.x.......X..x.."),
        (*BACKBEAT, "clap:....X.......X..."),
        ("hat:x.x.x.x.x.x.x.x.", "hat:xoxoxoxxxoxoxoxx"),
        ("1-----------1---", "1---------1-----", "1---------1-5---", "1--.......1--..."),
        ("c---------------", "c-----c---------", "..c-......c-....", "1---5---8---5---"),
    ),
    "punk": Style(
        1, (4, 4), (150, 184), STRAIGHT, 0.5,
        ("X...X...X...X...", "X..xX...X..xX...", "X.......X......."),
        ("snare:..X...X...X...X.", "snare:....X.......X..."),
        ("hat:X.X.X.X.X.X.X.X.", "open:X...X...X...X...", "ride:X.x.X.x.X.x.X.x."),
        ("1-1-1-1-1-1-1-1-",),
        ("c-c-c-c-c-c-c-c-", "c---------------"),
    ),
    "shuffle": Style(
        2, (4, 4), (84, 132), (0.62, 0.67), 1.0,
        ("X.......X.......", "X.....x.X.....x.", "X...X...X...X..."),
        BACKBEAT,
        ("hat:X.x.X.x.X.x.X.x.", "ride:X.x.X.x.X.x.X.x."),
        ("1-1-3-3-5-5-6-6-", "1---3---5---6---", "1-1-1-1-5-5-6-5-", "1-.1-.5-6-.5-.a-"),
        ("c---c---c---c---", "..c-..c-..c-..c-", "c-----c---------"),
    ),
    "swing": Style(
        1, (4, 4), (110, 180), (0.62, 0.67), 1.0,
        ("o...o...o...o...", "x...............", "o...o...o...o.x."),
        ("snare:......o.......o.", "rim:............x...", "snare:..............o."),
        ("ride:X...x.x.X...x.x.",),
        ("1---3---5---a---", "1---5---3---a---", "1---8---5---a---", "1---6---5---a---"),
        ("c-....c-........", "..c---....c-....", "......c-......c-"),
    ),
    "bossa": Style(
        1, (4, 4), (110, 140), STRAIGHT, 0.5,
        ("x.....x.x.....x.",),
        ("rim:x..x..x...x..x..", "rim:x.....x.....x..."),
        ("hat:xoxoxoxoxoxoxoxo", "hat:x.x.x.x.x.x.x.x."),
        ("1-----5-5-----1-", "1-----1-5-----5-"),
        ("c--c--c---c--c--", "..c---c-..c---c-", "b-----c---c-----"),
    ),
    "reggae": Style(
        1, (4, 4), (66, 92), (0.5, 0.6), 1.0,
        ("........X.......", "X.......X.......", "x...x...X...x..."),
        ("rim:........X.......", "snare:........X......."),
        ("hat:x.x.x.x.x.x.x.x.", "hat:..x...x...x...x."),
        ("1---....1-3-5---", "....1-1-5---3---", "1-1-....3-3-5-.."),
        ("..c...c...c...c.", "..cc..cc..cc..cc"),
    ),
    "country": Style(
        2, (4, 4), (92, 126), (0.5, 0.6), 0.5,
        ("X.......X.......", "X...x...X...x..."),
        ("snare:ooooXoooooooXooo", "snare:....X.......X...", "snare:..x...x...x...x."),
        ("hat:x.x.x.x.x.x.x.x.", "hat:..x...x...x...x."),
        ("1-------5-------", "1-----..5-----..", "1-------5---6-a-"),
        ("b---c---b---c---", "b-c-c-c-b-c-c-c-", "c--cc-c-c--cc-c-"),
    ),
    "house": Style(
        1, (4, 4), (118, 130), STRAIGHT, 0.5,
        ("X...X...X...X...", "X...X...X...X.x."),
        ("clap:....X.......X...", "snare:....X.......X..."),
        ("open:..X...X...X...X.", "hat:xoXoxoXoxoXoxoXo"),
        ("..1-..1-..1-..1-", "1-.1-.1-1-.1-.5-", "1--1--1-1--1--8-"),
        ("c-----c-----c---", "..c...c...c...c.", "c---------------"),
    ),
    "waltz": Style(
        1.5, (3, 4), (84, 150), (0.5, 0.54), 1.0,
        ("X...........", "X.......x..."),
        ("snare:....x...x...", "rim:....x...x...", "snare:........X..."),
        ("hat:x...x...x...", "ride:x...x.x.x...", "hat:x.x.x.x.x.x."),
        ("1-----------", "1-------5---", "1---5---8---"),
        ("b---c---c---", "c-----------", "1-3-5-8-5-3-"),
    ),
    "six_eight": Style(
        1.5, (6, 8), (60, 96), STRAIGHT, 0.5,
        ("X...........", "X.......x...", "X.....x.....", "X...x......."),
        ("snare:......X.....", "rim:......X.....", "snare:......X...o."),
        ("hat:X.x.x.X.x.x.", "ride:X.x.x.X.x.x.", "hat:x.o.o.x.o.o."),
        ("1-----------", "1-----5-----", "1---1-5---5-", "1-----1-5-a-"),
        ("c-----------", "c-----c-----", "1-3-5-8-5-3-", "b-c-c-b-c-c-"),
    ),
}  # fmt: skip

# Degrees of the scale (0 the tonic's), one chord per bar, as pop songs turn them over.
PROGRESSIONS = {
    False: (
        (0, 4, 5, 3), (5, 3, 0, 4), (0, 5, 3, 4), (0, 3, 4, 3), (0, 3, 0, 4), (3, 0, 4, 5), (0, 4, 3, 3),
        (1, 4, 0, 0), (0, 2, 3, 4), (0, 5, 1, 4), (0, 0, 3, 4), (3, 4, 2, 5), (0, 6, 3, 0), (0, 4, 1, 3),
        (0, 0, 0, 0, 3, 3, 0, 0, 4, 3, 0, 4), (0, 4, 5, 2, 3, 0, 3, 4),
    ),
    True: (
        (0, 5, 2, 6), (0, 6, 5, 6), (0, 3, 4, 0), (0, 5, 6, 0), (0, 3, 6, 2), (5, 6, 0, 0), (0, 2, 6, 3),
        (0, 6, 5, 4), (0, 0, 3, 4), (0, 4, 5, 3), (0, 3, 0, 4), (1, 4, 0, 0), (0, 0, 5, 6),
        (0, 3, 6, 2, 5, 1, 4, 0),
    ),
}  # fmt: skip

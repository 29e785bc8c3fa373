"""Songs: the same from the same seed, varied, and playable."""

from __future__ import annotations

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from ucr.data.slakh.compose import compose
from ucr.data.slakh.patches import CLASSES, reserved_patches
from ucr.data.slakh.song import SPLITS
from ucr.data.slakh.styles import STYLES


@cache
def songs(split: str) -> list:
    return [compose(0, split, number, 20.0) for number in range(60)]


def test_a_song_follows_from_its_seed():
    assert compose(3, "train", 5, 40.0) == compose(3, "train", 5, 40.0)
    assert compose(3, "train", 5, 40.0) != compose(4, "train", 5, 40.0)


def test_splits_share_no_song():
    uuids = [compose(0, split, number, 20.0).uuid for split in SPLITS for number in range(30)]
    assert len(set(uuids)) == len(uuids)
    first = [compose(0, split, 0, 20.0).stems for split in SPLITS]
    assert first[0] != first[1] != first[2] != first[0]


def test_songs_vary():
    band = songs("train")
    assert {song.metre for song in band} == {(4, 4), (3, 4), (6, 8)}
    assert sum(len(song.tempos) > 1 for song in band) > 20
    assert len({round(song.tempos[0][1]) for song in band}) > 40
    assert len({stem.patch.name for song in band for stem in song.stems}) > 40
    assert {"Drums", "Bass", "Piano", "Guitar"} <= set.intersection(
        *({stem.inst_class for stem in song.stems} for song in band)
    )
    classes = [[stem.inst_class for stem in song.stems if stem.rendered] for song in band]
    assert len({name for names in classes for name in names}) > 8
    assert sum(len(set(names)) < len(names) for names in classes) > 10
    assert sum(not stem.rendered for song in band for stem in song.stems) > 10
    velocities = {note.velocity for song in band for stem in song.stems for note in stem.notes}
    assert len(velocities) > 80


def test_some_patches_are_in_the_test_split_alone():
    kept = set(reserved_patches())
    heard = {split: {stem.patch.name for song in songs(split) for stem in song.stems} for split in SPLITS}
    assert not kept & (heard["train"] | heard["validation"])
    assert len(kept & heard["test"]) > 5


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(SPLITS), st.integers(0, 5000), st.floats(10, 120))
def test_every_song_is_playable(seed, split, number, seconds):
    song = compose(seed, split, number, seconds)
    assert song.tempos[0][0] == 0
    assert all(20 < tempo < 300 for _, tempo in song.tempos)
    for stem in song.stems:
        assert stem.notes
        assert all(
            note.start >= 0 and note.length > 0 and 12 <= note.pitch <= 110 and 1 <= note.velocity <= 127
            for note in stem.notes
        )


def test_patterns_fill_their_bar():
    for name, style in STYLES.items():
        steps = 16 if style.metre == (4, 4) else 12
        lines = [
            *style.kick,
            *style.bass,
            *style.chords,
            *(line.split(":")[1] for line in style.snare + style.hat),
        ]
        assert {len(line) for line in lines} == {steps}, name


def test_patch_names_are_unique():
    names = [patch.name for patches in CLASSES.values() for patch in patches]
    assert len(set(names)) == len(names)

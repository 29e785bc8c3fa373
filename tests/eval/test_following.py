import numpy as np
import pytest

from eval.following import MAJOR, MINOR, Part, agreement, describe, find_key, key_score

RATE = 24000


def clicks(beats_per_minute, shift=0.0, seconds=7.0):
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(0).normal(size=len(time))
    return (noise * np.exp(-60 * ((time - shift) % (60 / beats_per_minute)))).astype(np.float32)


def chord(*midi):
    time = np.arange(7 * RATE) / RATE
    return sum(np.sin(2 * np.pi * 440 * 2 ** ((note - 69) / 12) * time) for note in midi).astype(np.float32)


def test_the_same_rhythm_agrees_and_another_does_not():
    a, same, off, other = (describe(clicks(*args), RATE) for args in [(120,), (120,), (120, 0.2), (97,)])
    assert agreement(a, same)["onset_agreement"] == pytest.approx(1, abs=1e-6)
    assert agreement(a, off)["onset_agreement"] < 0.3
    assert agreement(a, other)["onset_agreement"] < 0.5
    assert agreement(a, off)["tempo_agreement"] == 1
    assert agreement(a, other)["tempo_agreement"] == 0


def test_twice_the_tempo_agrees():
    a, b = (Part(np.ones(3, np.float32), tempo, 0) for tempo in (70.0, 140.0))
    assert agreement(a, b)["tempo_agreement"] == 1
    assert agreement(a, b)["onset_agreement"] == 0  # constant: nothing to correlate


@pytest.mark.parametrize("tonic", range(12))
def test_each_key_is_found_from_its_profile(tonic):
    assert find_key(np.roll(MAJOR, tonic)) == tonic
    assert find_key(np.roll(MINOR, tonic)) == 12 + tonic


def test_a_triad_over_its_tonic_has_its_key():
    assert describe(chord(48, 60, 60, 64, 67), RATE).key == 0
    assert describe(chord(45, 57, 57, 60, 64), RATE).key == 12 + 9


@pytest.mark.parametrize(
    ("a", "b", "score"),
    [(0, 0, 1.0), (0, 7, 0.5), (0, 5, 0.5), (0, 21, 0.3), (0, 12, 0.2), (0, 6, 0.0), (12, 19, 0.5)],
)
def test_keys_score_as_mirex_weighs_them(a, b, score):
    assert key_score(a, b) == key_score(b, a) == score


def test_silence_is_described():
    part = describe(np.zeros(RATE, np.float32), RATE)
    assert all(np.isfinite(value) for value in agreement(part, part).values())

"""Copies among clips; `test_calibration` measures what the check finds and what it takes for a copy by mistake."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.signal import resample_poly

from eval import copies
from eval.copies import bound, outline, similarity
from eval.embeddings import log_mel
from ucr.codecs.mel import MelCodec
from ucr.data.slakh.compose import compose
from ucr.data.slakh.render import SAMPLE_RATE, Sampler, default_soundfont, score_of
from ucr.data.slakh.soundfont import fix_soundfont
from ucr.data.slakh.styles import STYLES

RATE = 24000
SEGMENT = 7 * RATE


def spectrograms(n, bands=8, frames=40, seed=0):
    return np.random.default_rng(seed).normal(-20, 8, (n, bands, frames)).astype(np.float32)


def test_the_similarity_is_pearsons_correlation_of_the_best_place():
    """Bands have a mean of their own in every place, and one standard deviation over all bands."""
    training, clips = spectrograms(3), spectrograms(2, seed=1)
    clips[1, :, 5:30] += 2 * training[1, :, 3:28]

    def correlation(a, b):
        a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
        return (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())

    starts = np.linspace(0, 20, 4).round().astype(int)
    expected = [
        max(
            correlation(clip[:, i : i + 20], segment[:, k : k + 20])
            for i in starts
            for segment in training
            for k in range(21)
        )
        for clip in clips
    ]
    np.testing.assert_allclose(similarity(clips, training), expected, atol=1e-4)


def test_a_copy_is_found_wherever_it_lies_and_however_loud_and_bright_it_is():
    training = spectrograms(5)
    clips = spectrograms(1, seed=1)
    clips[0, :, 20:] = training[3, :, 7:27] - 30 + np.arange(8)[:, None]
    assert similarity(clips, training)[0] == pytest.approx(1, abs=1e-3)
    assert similarity(spectrograms(1, seed=2), training)[0] < 0.5


def test_silence_and_tones_resemble_nothing():
    training = spectrograms(4)
    training[0] = -80
    still = np.stack([np.full((8, 40), -80.0), np.repeat(training[1, :, :1], 40, axis=1)]).astype(np.float32)
    np.testing.assert_allclose(similarity(still, training), 0, atol=1e-3)


def test_large_sets_are_compared_in_blocks(monkeypatch):
    training, clips = spectrograms(7), spectrograms(5, seed=1)
    whole = similarity(clips, training)
    monkeypatch.setattr(copies, "BLOCK", 3)
    monkeypatch.setattr(copies, "BATCH", 2)
    np.testing.assert_allclose(similarity(clips, training), whole, atol=1e-6)


def test_the_bound_is_what_other_songs_reach():
    """All but 1 % of them: one segment that is also in another song, three of 400 with its own song's, lies above."""
    songs = np.repeat(spectrograms(200), 2, axis=0)
    songs[399] = songs[0]
    tracks = [f"T{i // 2}" for i in range(400)]
    strange = np.array(tracks)[:, None] != np.array(tracks)
    assert similarity(songs, songs, strange).max() == pytest.approx(1, abs=1e-3)
    assert 0.1 < bound(songs, tracks) < 0.6
    assert np.isnan(bound(songs[:2], tracks[:2]))


def test_an_outline_does_not_know_the_level():
    audio = np.random.default_rng(0).normal(size=(2, RATE)).astype(np.float32)
    loud, quiet = outline(log_mel(audio, RATE)), outline(log_mel(audio / 100, RATE))
    assert loud.shape[1] == 32
    np.testing.assert_allclose(loud - quiet, 40, atol=1e-3)


@pytest.fixture(scope="module")
def band(tmp_path_factory):
    """Renders drums and bass of a song: float32[n_samples] at `RATE`."""
    soundfont = tmp_path_factory.mktemp("soundfont") / "fixed.sf2"
    fix_soundfont(default_soundfont(), soundfont)
    sampler = Sampler(soundfont)

    def render(split, number, seconds=15.0):
        song = compose(1, split, number, seconds)
        song = dataclasses.replace(song, stems=[s for s in song.stems if s.inst_class in ("Drums", "Bass")])
        total = 0
        for stem, track in zip(song.stems, score_of(song).to("second").tracks, strict=True):
            notes = np.array([(note.start, note.duration, note.pitch, note.velocity) for note in track.notes])
            audio = sampler.stem(notes, stem.patch, stem.is_drum, round(seconds * SAMPLE_RATE))
            total = total + audio / max(float(audio.std()), 1e-6)
        return resample_poly(0.1 * total, RATE, SAMPLE_RATE).astype(np.float32)

    return render


def describe(clips):
    return outline(np.concatenate([log_mel(clip[None], RATE) for clip in clips]))


def halves_of(songs):
    """Two segments of each song."""
    return np.concatenate([song[: 2 * SEGMENT].reshape(2, SEGMENT) for song in songs])


@pytest.mark.slow
def test_calibration(band, monkeypatch):
    """At least 95 % of planted copies are found; at most 7 % of songs that copy nothing are taken for copies."""
    songs = [band("train", number) for number in range(60)]
    training = describe(halves_of(songs))
    tracks = [f"T{i // 2}" for i in range(len(training))]
    least = bound(training, tracks)
    rng = np.random.default_rng(0)
    held_out = [band("test", number) for number in range(40)]
    monkeypatch.setattr("ucr.data.slakh.compose.STYLES", {"pop": STYLES["pop"]})
    pop = [band("test", number) for number in range(1000, 1030)]

    def shares(sets):
        return {name: float((similarity(each, training) > least).mean()) for name, each in sets.items()}

    real, centre = describe(halves_of(held_out)), training.mean(axis=(0, 2), keepdims=True)
    honest = shares(
        {
            "held out": real,
            "half as wide": centre + 0.5 * (real - centre),
            "one style": describe(halves_of(pop)),
        }
    )
    originals = halves_of(songs)
    cuts = rng.integers(len(songs[0]) - SEGMENT, size=len(songs))
    levels = 10 ** (rng.uniform(-40, 10, (len(originals), 1)) / 20)
    mixed = [originals[:80, : SEGMENT // 2], halves_of(held_out)[:, SEGMENT // 2 :]]
    planted = {
        "aligned": originals,
        "shifted": [song[cut : cut + SEGMENT] for song, cut in zip(songs, cuts, strict=True)],
        "at another level": originals * levels,
        "through the codec": decode(MelCodec(RATE, 64, 0.5), originals[::6]),
        "before another song's second half": np.concatenate(mixed, axis=1),
    }
    found = shares({name: describe(np.float32(clips)) for name, clips in planted.items()})
    assert max(honest.values()) <= 0.07, honest
    assert min(found.values()) >= 0.95, found


def decode(codec, clips):
    with torch.no_grad():
        return codec.decode(codec.encode(torch.from_numpy(clips)), clips.shape[1]).numpy()

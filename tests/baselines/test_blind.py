"""Each blind method on the kind of mixture that its assumption describes."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from baselines._shared.components import mfcc
from baselines.ft2d import peak_weights
from baselines.repet import beat_spectrum, repeating_period, repeating_spectrogram
from baselines.rpca import principal_component_pursuit, shrink_singular_values
from ucr.methods.registry import make_method
from ucr.signal.masks import ratio_masks
from ucr.signal.spectrogram import apply_masks, stft

RATE = 24000
TIME = np.arange(6 * RATE) / RATE


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    target = (reference @ estimate) / (reference @ reference) * reference
    return 10 * np.log10((target @ target) / ((estimate - target) @ (estimate - target)))


def steady() -> np.ndarray:
    """A held chord."""
    return sum(np.sin(2 * np.pi * pitch * TIME) for pitch in (220.0, 331.0, 447.0))


def clicks() -> np.ndarray:
    """Short bursts of noise at irregular times."""
    rng, bursts = np.random.default_rng(0), np.zeros_like(TIME)
    for start in rng.choice(len(TIME) - 500, 12, replace=False):
        bursts[start : start + 500] += rng.standard_normal(500)
    return bursts


def loop() -> np.ndarray:
    """Half a second of chopped noise, over and over: 24 hops of 500 samples."""
    rng = np.random.default_rng(0)
    once = np.repeat(rng.uniform(0, 1, 24) ** 3, 500) * rng.standard_normal(12000)
    return np.tile(once, len(TIME) // 12000)


def melody() -> np.ndarray:
    """Notes that never come again, one every third of a second."""
    pitches = np.repeat(np.random.default_rng(0).permutation(np.geomspace(200, 2000, 18)), RATE // 3)
    return np.sin(2 * np.pi * np.cumsum(pitches) / RATE)


def low_notes() -> np.ndarray:
    """The chord, played again and again."""
    return steady() * np.exp(-4 * (TIME % 0.7))


def hisses() -> np.ndarray:
    """High bursts of noise."""
    return np.diff(np.random.default_rng(0).standard_normal(len(TIME) + 1)) * np.exp(-20 * (TIME % 0.31))


@pytest.mark.parametrize(
    ("name", "options", "sources", "gain", "least"),
    [
        ("hpss", {}, (steady, clicks), 1, 15),
        ("rpca", {}, (loop, melody), 1, 15),
        ("repet", {"hop": 500}, (loop, melody), 2, 12),
        ("repet_sim", {"hop": 500, "neighbours": 10}, (loop, melody), 1, 6),
        ("ft2d", {}, (loop, melody), 1, 5),
        ("nmf", {}, (low_notes, hisses), 1, 10),
        ("ica", {}, (low_notes, hisses), 1, 10),
        ("pca", {}, (low_notes, hisses), 1, 10),
    ],
)
def test_a_mixture_as_the_method_assumes_it_comes_apart(name, options, sources, gain, least):
    true = np.stack([source() for source in sources])
    true *= np.array([[gain], [1]]) / true.std(axis=1, keepdims=True)
    mixture = true.mean(axis=0)
    estimates = make_method(name, options)[1].separate(mixture.astype(np.float32), RATE, 2)
    # the order of the estimates is part of a card, but for those whose clusters have none
    orders = permutations(estimates) if name in ("nmf", "ica", "pca") else [estimates]
    gains = [
        [
            si_sdr(source, estimate) - si_sdr(source, mixture)
            for source, estimate in zip(true, order, strict=True)
        ]
        for order in orders
    ]
    assert min(max(gains, key=sum)) > least


@pytest.mark.parametrize("name", ["nmf", "ica", "pca"])
def test_the_seed_decides(name, pretend_music):
    mixture = pretend_music(2, RATE).mean(axis=0)
    first, again = (make_method(name, {"seed": 3})[1].separate(mixture, RATE, 2) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_more_sources_than_components_are_refused(pretend_music):
    with pytest.raises(ValueError, match="2 components cannot make 3 sources"):
        make_method("nmf", {"components": 2})[1].separate(pretend_music(3, RATE).mean(axis=0), RATE, 3)


def test_principal_component_pursuit_is_that_of_a_public_solver():
    from pyrpca import rpca_pcp_ialm

    rng = np.random.default_rng(0)
    low_rank = rng.uniform(size=(60, 4)) @ rng.uniform(size=(4, 90))
    spikes = np.where(rng.uniform(size=low_rank.shape) < 0.05, 5 * rng.uniform(size=low_rank.shape), 0)
    matrix = (low_rank + spikes).astype(np.float32)
    found = principal_component_pursuit(torch.from_numpy(matrix), 1 / np.sqrt(90), 1e-5)
    expected = rpca_pcp_ialm(matrix.astype(np.float64), 1 / np.sqrt(90), tol=1e-5, verbose=False)
    for part, true in zip(found, expected, strict=True):
        np.testing.assert_allclose(part.numpy(), true, atol=2e-3)
    assert np.linalg.norm(found[0].numpy() - low_rank) < 1e-3 * np.linalg.norm(low_rank)


@pytest.mark.parametrize(("rows", "columns"), [(80, 50), (50, 80)])
@pytest.mark.parametrize("threshold", [1e-3, 3.0, 1e3])
def test_no_singular_value_above_the_threshold_is_missed(rows, columns, threshold):
    matrix = np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32)
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(rows, 1, generator=generator)
    for _ in range(12):  # from the last basis, as the solver does
        low_rank, basis = shrink_singular_values(torch.from_numpy(matrix), threshold, basis, generator)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    expected = (left * np.maximum(values - threshold, 0)) @ right
    assert np.linalg.norm(low_rank.numpy() - expected) < 0.02 * np.linalg.norm(matrix)


def test_peaks_of_a_periodic_pattern_stand_out_the_same_on_both_sides():
    rate = np.zeros((8, 60))
    rate[2, 12] = rate[-2, -12] = 4.0
    rate[0, 0] = 10.0
    weights = peak_weights(rate + 0.01 * np.random.default_rng(0).uniform(size=rate.shape), (1, 25))
    assert weights.max() == 1
    assert min(weights[2, 12], weights[2, -12], weights[-2, 12], weights[-2, -12]) > 0.9
    np.testing.assert_array_equal(weights[1:], weights[:0:-1])
    np.testing.assert_array_equal(weights[:, 1:], weights[:, :0:-1])


def test_no_mask_in_0_to_1_comes_nearer_than_the_phase_sensitive_one():
    sources = np.random.default_rng(0).standard_normal((2, RATE)).astype(np.float32)
    sources[1] += 0.3 * sources[0]
    mixture = sources.mean(axis=0)

    def error(name: str, **options) -> float:
        estimates = make_method(name, options)[1].separate(mixture, RATE, sources)
        return float(((estimates - sources) ** 2).sum())

    best = error("psm")
    assert all(best < error(*other) for other in (("irm",), ("ibm",)))
    assert error("irm") > error("irm", power=2.0) > best
    assert error("psm", truncated=False) < best  # of real masks, which may cancel or add


def test_masks_of_greater_power_leave_less_of_the_mixture_in_both(pretend_music):
    mixture = pretend_music(2, RATE).mean(axis=0)
    by_power = {p: make_method("nmf", {"power": p})[1].separate(mixture, RATE, 2) for p in (1.0, 4.0)}
    overlap = {p: np.abs(stft(e, 2048, 512)).prod(axis=0).sum() for p, e in by_power.items()}
    assert overlap[4.0] < overlap[1.0]


magnitudes = arrays(np.float32, (3, 2, 4), elements=st.floats(0, 1e6, width=32))


@given(magnitudes, st.sampled_from([0.5, 1.0, 2.0]))
def test_ratio_masks_share_every_bin(values, power):
    masks = ratio_masks(values, power)
    assert (masks >= 0).all()
    np.testing.assert_allclose(masks.sum(axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(masks * (values**power).sum(axis=0), values**power, rtol=1e-3, atol=1e-6)


def test_equal_masks_give_the_mixture_back():
    mixture = np.random.default_rng(0).standard_normal(10001).astype(np.float32)
    spectrogram = stft(mixture, 2048, 512)
    estimates = apply_masks(spectrogram, np.full((2, *spectrogram.shape), 0.5), len(mixture), 2048, 512)
    np.testing.assert_allclose(estimates, np.stack([mixture, mixture]), atol=1e-5)


def test_beat_spectrum_is_the_mean_autocorrelation():
    power = np.random.default_rng(0).uniform(size=(5, 40))
    expected = [np.mean([row[: 40 - lag] @ row[lag:] / (40 - lag) for row in power]) for lag in range(40)]
    np.testing.assert_allclose(beat_spectrum(power), np.array(expected) / expected[0])


@pytest.mark.parametrize("period", [7, 20, 31])
def test_the_period_of_a_periodic_spectrogram_is_found(period):
    magnitude = np.tile(np.random.default_rng(0).uniform(size=(10, period)), 8)[:, :150]
    assert repeating_period(beat_spectrum(magnitude**2)) == period
    np.testing.assert_allclose(repeating_spectrogram(magnitude, period), magnitude)


def test_timbre_does_not_depend_on_loudness():
    spectra = np.random.default_rng(0).uniform(size=(1025, 3))
    np.testing.assert_allclose(mfcc(1000 * spectra, RATE), mfcc(spectra, RATE), atol=1e-4)


def test_grouping_gives_clicks_and_a_chord_back_each_by_itself():
    """Outside of a run, as `ucr separate` calls it; told the sources, whose names say what is percussive."""
    sources = 0.1 * np.stack([3 * clicks(), steady()]).astype(np.float32)
    mixture = sources.mean(axis=0)
    for name in ("grouping", "grouping_adapted"):
        _, method = make_method(name, {})
        method.load(Path(), ["drums", "piano"])
        estimates = method.separate(mixture, RATE, 2)
        assert min(si_sdr(source, each) for source, each in zip(sources, estimates, strict=True)) > 10
        np.testing.assert_allclose(estimates.mean(axis=0), mixture, atol=1e-5)


def test_grouping_needs_magnitudes():
    _, method = make_method("grouping", {})
    method.codec, method.percussive = SimpleNamespace(name="encodec_24khz", sample_rate=RATE), True
    with pytest.raises(ValueError, match="the codec encodec_24khz has none of: choose mel"):
        method.separate(np.ones(RATE, np.float32), RATE, 2)

"""Intervals and tests: known answers, coverage, parity with SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from eval.statistics import holm, mean_interval, median_interval, resampled_counts, wilcoxon_p


def test_every_resample_draws_as_many_tracks_as_there_are_and_the_seed_decides_which():
    draws = resampled_counts(7, 100, seed=3)
    assert (draws.sum(1) == 7).all()
    np.testing.assert_array_equal(draws, resampled_counts(7, 100, seed=3))
    assert (draws != resampled_counts(7, 100, seed=4)).any()


def test_mean_interval_of_equal_tracks_is_scipys_t_interval_of_their_means():
    values = np.random.default_rng(0).normal(size=(9, 3))  # of nine tracks three segments
    low, high = mean_interval(values.sum(1)[None], np.full((1, 9), 3))
    expected = scipy.stats.ttest_1samp(values.mean(1), 0).confidence_interval(0.95)
    np.testing.assert_allclose([low[0], high[0]], expected)


def test_mean_interval_of_unequal_tracks_equals_a_loop_that_leaves_each_out():
    rng = np.random.default_rng(0)
    tracks = [rng.normal(size=size) for size in (5, 1, 0, 3, 4)]
    low, high = mean_interval(
        np.array([[track.sum() for track in tracks]]), np.array([[len(track) for track in tracks]])
    )
    used = [track for track in tracks if len(track)]
    mean = np.concatenate(used).mean()
    without = np.array([np.concatenate(used[:i] + used[i + 1 :]).mean() for i in range(4)])
    margin = scipy.stats.t.ppf(0.975, 3) * np.sqrt(3 / 4 * ((without - mean) ** 2).sum())
    np.testing.assert_allclose([low[0], high[0]], [mean - margin, mean + margin])


def test_median_interval_of_known_order_statistics():
    """Of 14 values the 3rd to the 12th cover the median in 98.7 %, the 4th to the 11th in 94.3 %."""
    values = np.random.default_rng(0).permutation(np.arange(1.0, 15))
    low, high = median_interval(np.stack([values, np.full(14, 7.0), -values]))
    assert 3.5 < low[0] < 4
    assert low[0] + high[0] == pytest.approx(15)
    assert (low[1], high[1]) == (7, 7)
    assert (low[2], high[2]) == (-high[0], -low[0])
    with_gaps = np.concatenate([values, [np.nan, np.nan]])[None]
    assert median_interval(with_gaps)[0][0] == low[0]


def test_median_interval_of_six_lies_just_within_their_range_and_of_five_there_is_none():
    low, high = median_interval(np.array([[1.0, 2, 3, 4, 5, 6]]))
    assert low[0] == pytest.approx(1 + 0.5 / 1.4)  # a tenth of the way from coverage 31 / 32 to 25 / 32
    assert high[0] == pytest.approx(7 - low[0])
    assert np.isnan(median_interval(np.array([[1.0, 2, 3, 4, 5, np.nan]]))).all()


@pytest.mark.parametrize("n_tracks", [6, 14, 40])
def test_intervals_cover_the_truth_of_normal_data_as_often_as_they_say(n_tracks):
    values = np.random.default_rng(0).normal(2, 1, size=(10_000, n_tracks))
    for low, high in (mean_interval(values, np.ones_like(values)), median_interval(values)):
        assert 0.94 < ((low < 2) & (high > 2)).mean() < 0.96


def test_mean_interval_covers_the_truth_of_tracks_of_unequal_length():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 5, size=(10_000, 14))
    sums = rng.normal(size=counts.shape) * counts + rng.normal(size=counts.shape) * np.sqrt(counts)
    low, high = mean_interval(sums, counts)
    assert 0.94 < ((low < 0) & (high > 0)).mean() < 0.96


@pytest.mark.parametrize("values", [[[np.nan, 3.0]], [[np.nan, np.nan]]])
def test_one_track_or_none_has_no_interval(values):
    values = np.array(values)
    counts = np.isfinite(values).astype(int)
    for low, high in (mean_interval(np.nan_to_num(values), counts), median_interval(values)):
        assert np.isnan([low, high]).all()


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1, 2, 3, 4, 5], 0.0625),  # one sign pattern of 32 to each side
        ([-1, 2, 3, 4, 5], 0.125),
        ([1, -2, 3, 4, -5, 6], 36 / 64),  # 36 of 64 sign patterns have ranks of 7 or less to one side
        ([2, 2, 2, 2, 2], 0.0625),  # tied, still exact
        (np.arange(1.0, 13), 2 / 2**12),
        (np.arange(1.0, 61), 2 / 2**60),
    ],
)
def test_wilcoxon_is_exact(differences, p):
    assert wilcoxon_p(np.array([differences], float))[0] == pytest.approx(p)


def test_the_least_p_of_many_differences_is_no_zero_whichever_side_is_ahead():
    differences = np.arange(1, 123) / 10
    np.testing.assert_allclose(wilcoxon_p(np.stack([differences, -differences])), 2.0**-121, rtol=1e-6)


def test_wilcoxon_leaves_zeros_and_gaps_out():
    differences = np.random.default_rng(0).normal(0.4, 1, size=(4, 12))
    differences[0, :2] = [0, 1e-13]
    differences[1, 0] = np.nan
    differences[2] = 0
    differences[3] = np.nan
    kept = [differences[0, 2:], differences[1, 1:]]
    expected = [scipy.stats.wilcoxon(np.round(each, 9)).pvalue for each in kept]
    np.testing.assert_allclose(wilcoxon_p(differences), [*expected, 1, np.nan])


def test_holm_of_a_worked_example():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.04, np.nan, 0.01])), [0.04, np.nan, 0.02])
    assert holm(np.empty(0)).size == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_never_lowers_p_keeps_its_order_and_ends_at_one(p):
    p = np.array(p)
    corrected = holm(p)
    assert (corrected >= p).all()
    assert (corrected <= 1).all()
    assert (corrected <= np.minimum(1, p * len(p)) + 1e-12).all()  # never more than Bonferroni
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all()

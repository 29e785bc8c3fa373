"""Intervals and tests: known answers, coverage, parity with SciPy and with a plain loop."""

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


def test_mean_interval_resamples_whole_tracks():
    """Against a loop over resamples, with unequal numbers of segments and an empty track."""
    rng = np.random.default_rng(0)
    tracks = [rng.normal(size=size) for size in (5, 1, 0, 3, 4)]
    draws = resampled_counts(len(tracks), 400, seed=0)
    means = []
    for drawn in draws:
        values = np.concatenate([np.tile(track, times) for track, times in zip(tracks, drawn, strict=True)])
        means.append(values.mean() if len(values) else np.nan)
    sums = np.array([[track.sum() for track in tracks]])
    counts = np.array([[len(track) for track in tracks]])
    low, high = mean_interval(sums, counts, draws)
    np.testing.assert_allclose([low[0], high[0]], np.nanquantile(means, [0.025, 0.975]))


def test_median_interval_equals_a_loop_with_tracks_left_out():
    values = np.array([[3.0, 1, np.nan, 7, 5], [1, 1, 1, 1, 1]])
    draws = resampled_counts(5, 300, seed=0)
    medians = [np.nanmedian(np.repeat(values[0], drawn)) for drawn in draws]
    low, high = median_interval(values, draws)
    np.testing.assert_allclose([low[0], high[0]], np.nanquantile(medians, [0.025, 0.975]))
    assert (low[1], high[1]) == (1, 1)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    values = rng.normal(2, 1, size=(400, 30))
    low, high = mean_interval(values, np.ones_like(values), resampled_counts(30, 500, seed=0))
    assert 0.90 < ((low < 2) & (high > 2)).mean() < 0.97


@pytest.mark.parametrize("values", [[[np.nan, 3.0]], [[np.nan, np.nan]]])
def test_one_track_or_none_has_no_interval(values):
    values = np.array(values)
    draws = resampled_counts(2, 100, seed=0)
    counts = np.isfinite(values).astype(int)
    for low, high in (mean_interval(np.nan_to_num(values), counts, draws), median_interval(values, draws)):
        assert np.isnan([low, high]).all()


def test_wilcoxon_is_scipys_and_leaves_ties_and_gaps_out():
    rng = np.random.default_rng(0)
    differences = rng.normal(0.4, 1, size=(4, 12))
    differences[1, :2] = [0, 1e-13]
    differences[2, 0] = np.nan
    differences[3] = 0
    kept = [differences[0], differences[1, 2:], differences[2, 1:]]
    expected = [scipy.stats.wilcoxon(np.round(each, 9)).pvalue for each in kept]
    np.testing.assert_allclose(wilcoxon_p(differences), [*expected, 1])


def test_wilcoxon_of_twelve_gains_is_the_exact_sign_pattern():
    assert wilcoxon_p(np.arange(1.0, 13)[None])[0] == pytest.approx(2 / 2**12)


def test_holm_of_a_worked_example():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    assert holm(np.empty(0)).size == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_never_lowers_p_keeps_its_order_and_ends_at_one(p):
    p = np.array(p)
    corrected = holm(p)
    assert (corrected >= p).all()
    assert (corrected <= 1).all()
    assert (corrected <= np.minimum(1, p * len(p)) + 1e-12).all()  # never more than Bonferroni
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all()

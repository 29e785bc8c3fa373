"""What a rate allows a codec, on sources whose answer is known."""

import numpy as np
import pytest

from benchmarks.codec import band_edges, bounds, distortion


def test_water_filling_of_known_sources():
    ones = np.ones(4)
    assert distortion(ones, ones, 8) == pytest.approx(4 * 2**-4)  # 2 bits each
    # a coefficient under the water takes no bits
    assert distortion(np.array([1, 1e-3]), np.ones(2), 2) == pytest.approx(2**-4 + 1e-3)
    assert distortion(np.array([1, 0.25]), np.array([2, 6]), 0) == pytest.approx(3.5)


def test_white_noise_has_6_db_at_a_bit_per_sample():
    noise = np.random.default_rng(0).normal(size=120_000)
    shared, alone = bounds(noise)
    assert shared == pytest.approx(6.02, abs=1.0)  # bands' own variances are estimates
    assert alone == pytest.approx(6.02, abs=1.0)


def test_bits_shared_over_time_serve_a_sound_between_silences_better():
    time = np.arange(48_000)
    noise = np.random.default_rng(0).normal(size=time.size) * (time % 12_000 < 1_000)
    shared, alone = bounds(noise)
    assert shared > alone + 10


def test_bands_cover_the_spectrum():
    edges = band_edges()
    assert (edges[0], edges[-1], len(edges)) == (0, 320, 26)
    assert (np.diff(edges) > 0).all()

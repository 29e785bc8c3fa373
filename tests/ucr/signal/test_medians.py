"""Median filters against those of SciPy and librosa."""

import librosa
import numpy as np
import pytest
from scipy import ndimage

from ucr.signal.medians import harmonic_percussive_masks, median_filter


@pytest.mark.parametrize("shape", [(40, 33), (1, 7), (7, 1), (3, 20, 15)])
@pytest.mark.parametrize("length", [1, 2, 5, 9, 31])
@pytest.mark.parametrize("axis", [-1, -2])
def test_it_is_scipy_s_filter_bit_for_bit(shape, length, axis):
    values = np.random.default_rng(0).random(shape).astype(np.float32)
    size = [1] * len(shape)
    size[axis] = length
    assert np.array_equal(median_filter(values, length, axis), ndimage.median_filter(values, size))


def test_rows_don_t_leak_into_each_other():
    values = np.repeat([[0.0], [1.0], [0.0]], 6, axis=1)
    assert np.array_equal(median_filter(values, 5, axis=1), values)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_masks_are_those_of_librosa(power):
    magnitudes = np.random.default_rng(1).exponential(size=(65, 50)).astype(np.float32)
    magnitudes[:, 10] += 5
    magnitudes[20] += 5
    magnitudes[40:, 30:] = 0  # shared evenly
    masks = harmonic_percussive_masks(magnitudes, 17, power)
    expected = librosa.decompose.hpss(magnitudes, kernel_size=17, power=power, mask=True)
    np.testing.assert_allclose(masks, np.stack(expected), atol=1e-6)
    np.testing.assert_allclose(masks.sum(axis=0), 1, atol=1e-6)

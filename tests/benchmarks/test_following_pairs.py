import numpy as np

from benchmarks.following import compare, pairs
from tests.ucr.model.test_recomposition import RATE, make_recomposer, songs


def test_a_component_is_compared_rebuilt_and_generated_with_the_kept_one():
    recomposer, audio = make_recomposer(), songs()
    sources = np.stack([audio, songs(seed=1)], axis=1)
    found, again = (pairs(recomposer, audio, sources, 2, seed) for seed in (0, 1))
    separated = found["separated"]
    assert {each.shape for pair in found.values() for each in pair} == {audio.shape}
    np.testing.assert_array_equal(found["true sources"][1], sources[:, 1])
    for i in (0, 1):
        rebuilt, generated = found[f"component_{i} rebuilt"], found[f"component_{i} generated"]
        np.testing.assert_array_equal(rebuilt[1], separated[1 - i])
        np.testing.assert_array_equal(generated[1], separated[1 - i])
        assert not np.allclose(rebuilt[0], generated[0], atol=1e-4)
        assert not np.allclose(found[f"component_{i} generated, no guidance"][0], generated[0], atol=1e-4)
        np.testing.assert_array_equal(rebuilt[0], again[f"component_{i} rebuilt"][0])
        assert not np.allclose(generated[0], again[f"component_{i} generated"][0], atol=1e-4)


def test_a_part_agrees_with_itself():
    (clicks,) = songs(1, seconds=4.0)
    assert compare(clicks, clicks, RATE)["onset_agreement"] > 0.999

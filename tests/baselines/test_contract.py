"""Every file in baselines/ keeps the contract of ucr/methods/contract.py."""

from __future__ import annotations

import numpy as np
import pytest

from ucr.data.segments import Segment
from ucr.foundation.errors import UserError
from ucr.methods.contract import Baseline, Oracle
from ucr.methods.registry import find, make_method, names
from ucr.methods.running import MethodRun

RATE = 24000
METHODS = [*names(), "_template"]
pytestmark = pytest.mark.parametrize("name", METHODS)


def separate(method: Baseline | Oracle, sources: np.ndarray) -> np.ndarray:
    """Separate the mean of `sources`, which only an oracle sees; the input must come back unchanged."""
    mixture = sources.mean(axis=0)
    given = mixture.copy()
    if isinstance(method, Oracle):
        references = sources.copy()
        estimates = method.separate(given, RATE, references)
        np.testing.assert_array_equal(references, sources)
    else:
        estimates = method.separate(given, RATE, len(sources))
    np.testing.assert_array_equal(given, mixture)
    return estimates


def assert_sound(estimates: np.ndarray, sources: np.ndarray) -> None:
    assert estimates.shape == sources.shape
    assert estimates.dtype == np.float32
    assert np.isfinite(estimates).all()


def test_card_says_what_it_is(name):
    plugin = find(name)
    meta, method = plugin.meta, plugin.method
    assert meta.paper
    assert meta.summary
    assert "\n" not in meta.summary
    assert method.__doc__


# 1 s is a whole number of the codec's frames, 47 * 512 samples of every STFT's hops; each and one more
@pytest.mark.parametrize("n_samples", [RATE, RATE + 1, 47 * 512 + 1])
def test_any_length_comes_back_whole_and_the_same_twice(name, n_samples, build, pretend_music):
    sources = pretend_music(2, n_samples)
    method = build(name)
    estimates = separate(method, sources)
    assert_sound(estimates, sources)
    np.testing.assert_array_equal(separate(method, sources), estimates)


@pytest.mark.slow
def test_a_minute(name, build, pretend_music):
    sources = pretend_music(2, 60 * RATE)
    assert_sound(separate(build(name), sources), sources)


def test_nan_is_refused_before_a_method_sees_it(name):
    sources = np.full((2, RATE), np.nan, dtype=np.float32)
    segment = Segment("Track00001_0", "Track00001", 0, "test", sources[0], sources)
    with pytest.raises(UserError, match="Track00001_0 holds samples that are not finite"):
        MethodRun(*make_method(name, {}), [segment]).run(range(1))


def test_silence_gives_numbers(name, build):
    sources = np.zeros((2, RATE), dtype=np.float32)
    assert_sound(separate(build(name), sources), sources)


def test_three_sources_unless_the_card_says_that_it_cannot(name, build, pretend_music):
    meta = find(name).meta
    if meta.inapplicable(3) or meta.weights != "none":
        pytest.skip("the card, or the weights, say two sources")
    sources = pretend_music(3, RATE)
    assert_sound(separate(build(name), sources), sources)


def test_estimates_are_on_the_scale_of_the_sources(name, build, pretend_music):
    if find(name).meta.weights != "none":
        pytest.skip("weights are random")
    sources = pretend_music(2, RATE)
    total, expected = separate(build(name), sources).sum(axis=0), sources.sum(axis=0)
    assert (total @ expected) / (expected @ expected) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("level", [-100, -60, -30, 20])
def test_a_gain_changes_the_estimates_by_that_gain(name, level, build, pretend_music):
    sources = pretend_music(2, 2 * RATE)
    sources /= np.abs(sources.mean(axis=0)).max()  # a mixture of 0 dBFS
    gain = np.float32(10 ** (level / 20))
    method = build(name)
    expected = separate(method, name, sources).astype(np.float64)
    estimates = separate(method, name, gain * sources).astype(np.float64) / gain
    assert np.sum((estimates - expected) ** 2) < 1e-5 * np.sum(expected**2)


def test_a_batch_is_separated_as_its_mixtures_are(name, build, pretend_music):
    if find(name).meta.kind == "oracle":
        pytest.skip("oracles take no batches")
    first, second = (pretend_music(2, RATE + extra)[:, extra:].mean(axis=0) for extra in (0, 5000))
    method = build(name)
    together = method.separate_batch(np.stack([first, second]), RATE, 2)
    apart = np.stack([method.separate(mixture, RATE, 2) for mixture in (first, second)])
    np.testing.assert_allclose(together, apart, atol=1e-4)


def test_an_option_that_does_not_exist_is_refused(name):
    with pytest.raises(UserError, match=rf"methods\.{name} .* argument 'no_such_option' \({name} takes \w+"):
        make_method(name, {"no_such_option": 1})

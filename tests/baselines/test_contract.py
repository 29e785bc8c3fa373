"""Every file in baselines/ keeps the contract of ucr/methods/contract.py."""

from __future__ import annotations

import numpy as np
import pytest

from ucr.data.segments import Segment
from ucr.foundation.errors import UserError
from ucr.methods.checks import CHECKS, check
from ucr.methods.registry import find, make_method, names
from ucr.methods.running import MethodRun

RATE = 24000
METHODS = [*names(), "_template"]
pytestmark = pytest.mark.parametrize("name", METHODS)


@pytest.mark.parametrize("key", CHECKS)
def test_the_contract_is_kept(key, name, subject):
    if key == "scale" and find(name).meta.weights != "none":
        pytest.skip("weights are random")
    result = check(subject(name), key)
    if result.status == "skipped":
        pytest.skip(result.sentence)
    assert result.status == "ok", result.sentence


@pytest.mark.slow
def test_a_minute(name, subject, pretend_music):
    subject(name).whole(pretend_music(2, 60 * RATE))


@pytest.mark.parametrize("level", [-100, -60, -30, 20])
def test_a_gain_changes_the_estimates_by_that_gain(name, level, subject, pretend_music):
    sources = pretend_music(2, 2 * RATE)
    sources /= np.abs(sources.mean(axis=0)).max()  # a mixture of 0 dBFS
    gain = np.float32(10 ** (level / 20))
    separated = subject(name).separated
    expected = separated(sources).astype(np.float64)
    estimates = separated(gain * sources).astype(np.float64) / gain
    assert np.sum((estimates - expected) ** 2) < 1e-5 * np.sum(expected**2)


def test_nan_is_refused_before_a_method_sees_it(name):
    sources = np.full((2, RATE), np.nan, dtype=np.float32)
    segment = Segment("Track00001_0", "Track00001", 0, "test", sources[0], sources)
    with pytest.raises(UserError, match="Track00001_0 holds samples that are not finite"):
        MethodRun(*make_method(name, {}), [segment]).run(range(1))


def test_an_option_that_does_not_exist_is_refused(name):
    with pytest.raises(UserError, match=rf"methods\.{name} .* argument 'no_such_option' \({name} takes \w+"):
        make_method(name, {"no_such_option": 1})

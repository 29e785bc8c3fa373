"""Methods to test, built once a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.baselines import helpers
from tests.baselines.helpers import QUICK_OPTIONS, TINY_WEIGHTS
from tests.helpers import PARAMS
from ucr.foundation.params import Params, load_params
from ucr.methods.contract import Baseline
from ucr.methods.registry import find, make_method


@pytest.fixture(scope="session")
def params() -> Params:
    return load_params(PARAMS)


@pytest.fixture(scope="session")
def tiny_weights() -> dict[str, Callable[[Path, Params], None]]:
    return TINY_WEIGHTS


@pytest.fixture(scope="session")
def build(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Baseline]:
    """Build and load a method by its name, once a session."""
    methods: dict[str, Baseline] = {}

    def build_once(name: str) -> Baseline:
        if name in methods:
            return methods[name]
        needs = tmp_path_factory.mktemp(name)
        if find(name).meta.weights != "none":
            if name not in TINY_WEIGHTS:
                pytest.skip(
                    f"no tiny weights for {name}: add them to TINY_WEIGHTS in tests/baselines/helpers.py"
                )
            TINY_WEIGHTS[name](needs, params)
        if name in ("codec_oracle", "grouping", "grouping_adapted"):
            helpers.describe_codec(needs, params)
        methods[name] = make_method(name, QUICK_OPTIONS.get(name, {}))[1]
        methods[name].load(needs, params.sources)
        return methods[name]

    return build_once


@pytest.fixture(scope="session")
def pretend_music() -> Callable[..., np.ndarray]:
    """(n_sources, n_samples) -> sources that differ as instruments do: decaying noise, and plucked tones."""
    return helpers.pretend_music

"""Methods to test, built once per session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.baselines import helpers
from tests.baselines.helpers import PUBLISHED, QUICK_OPTIONS, TINY_WEIGHTS
from tests.helpers import PARAMS
from ucr.foundation.params import Params, load_params
from ucr.methods.checks import Subject
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
    """Build and load a method by its name, once per session."""
    methods: dict[str, Baseline] = {}

    def build_once(name: str) -> Baseline:
        if name in methods:
            return methods[name]
        needs, options = tmp_path_factory.mktemp(name), QUICK_OPTIONS.get(name, {})
        if (weights := find(name).meta.weights) == "published":
            options = {"weights": PUBLISHED[name](needs)}
        elif weights != "none":
            if name not in TINY_WEIGHTS:
                pytest.skip(
                    f"no tiny weights for {name}: add them to TINY_WEIGHTS in tests/baselines/helpers.py"
                )
            TINY_WEIGHTS[name](needs, params)
        if name in ("codec_oracle", "grouping", "grouping_adapted"):
            helpers.describe_codec(needs, params)
        methods[name] = make_method(name, options)[1]
        methods[name].load(needs, params.sources)
        return methods[name]

    return build_once


@pytest.fixture(scope="session")
def subject(build: Callable[[str], Baseline]) -> Callable[[str], Subject]:
    """A method by its name, and 1.2 s of music to check it with; what it gave is kept for the session."""
    subjects: dict[str, Subject] = {}

    def subject_once(name: str) -> Subject:
        if name not in subjects:
            subjects[name] = Subject(find(name).meta, build(name), helpers.pretend_music(2, 28800), 24000)
        return subjects[name]

    return subject_once


@pytest.fixture(scope="session")
def pretend_music() -> Callable[..., np.ndarray]:
    """(n_sources, n_samples) -> sources that differ as instruments do: decaying noise, and plucked tones."""
    return helpers.pretend_music

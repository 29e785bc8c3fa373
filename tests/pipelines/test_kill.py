"""The short form of `tests/pipelines/kill.py`: one kill -9 in each of the cheap stages, run as plain modules."""

from __future__ import annotations

import math
import random
import sys
from pathlib import Path

import pytest
import yaml

from tests.helpers import PARAMS, ROOT, TEN_SECONDS
from tests.pipelines.kill import contents, differences, killed

SMALL = {
    "channels": [8, 8],
    "kernels": [3, 3],
    "strides": [2, 2],
    "attention": [False, False],
    "dropout": 0.0,
}
STAGES = {
    "data": "data",
    "segments": "segments",
    "latents": "latents",
    "train_decomposition": "models/decomposition",
}


@pytest.fixture
def tiny(project, monkeypatch):
    """A folder to run stages in as in the project itself, with parameters that take seconds."""
    decomposition = yaml.safe_load(PARAMS.read_text())["decomposition"]
    optim = {"steps": 12, "batch": 2, "crop": 16, "warmup": 1, "validate_every": 3}
    decomposition |= {
        "encoder": {"channels": [8, 4], "kernel": 3, "pool": 1},
        "denoiser": SMALL,
        "guided": 0.0,
    }
    decomposition["optim"] |= optim
    folder = project(
        data={"tracks": {"train": 3, "validation": 1, "test": 1}, "seconds": TEN_SECONDS},
        segments={"seconds": 2.0},
        decomposition=decomposition,
    )
    for package in ("pipelines", "ucr", "baselines", "eval"):
        (folder / package).symlink_to(ROOT / package)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return folder


@pytest.mark.slow
def test_a_killed_stage_ends_as_an_unbroken_one(tiny):
    rng = random.Random(0)
    for stage, output in STAGES.items():
        command = [sys.executable, "-m", f"pipelines.{stage}"]
        lasts = killed(command, tiny, math.inf)
        unbroken = contents(tiny / output)
        assert unbroken
        instant = rng.uniform(0.3, 0.95) * lasts
        while killed(command, tiny, instant) != math.inf:  # it ended before: this machine is faster by now
            instant *= 0.8
        killed(command, tiny, math.inf)
        assert differences(unbroken, contents(tiny / output)) == [], f"{stage} killed after {instant} s"
        assert not list(Path("runs").glob("*")), stage

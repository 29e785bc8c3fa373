"""`benchmarks/scale.py`: the page's arithmetic, with and without measurements."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmarks import scale
from ucr.foundation.errors import UserError


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The page's lines, from tables in an empty folder."""
    counts = {"decomposition": 0.01, "prior": 0.001, "sampling": 0.2, "codec_hour": 13.0}
    monkeypatch.setattr(scale, "operations", lambda: counts)
    params = scale.setting("paper.yaml", {})
    monkeypatch.setattr(scale, "setting", lambda file, changes: params)
    monkeypatch.setattr(scale, "ROOT", tmp_path)
    (tmp_path / "benchmarks").mkdir()
    step = {
        "batch": 64,
        "step_seconds": 0.1,
        "peak_memory_mb": 2048,
        "device": "a GPU",
        "precision": "bfloat16",
    }
    name = "decomposition, params/paper.yaml, 128 mel bands"
    pd.DataFrame([{"training": name} | step]).to_csv(tmp_path / "benchmarks" / "gpu.csv", index=False)
    return lambda: {what: (how, result) for what, how, result in scale.rows()}


def test_the_gpu_s_hours_are_its_steps_and_the_rate_at_which_it_took_them(page):
    lines = page()
    assert lines["decomposition model, from measured steps"] == ("0.1 s × 416,500 steps", "11.6 h")
    rate = 3 * 0.01 * 64 / 0.1
    assert lines["prior"][1] == f"{3 * 0.001 * 416_500 * 64 / rate / 3600:.1f} h"
    assert lines["its tensors on a GPU"][1] == "2.0 GB"


def test_a_missing_step_of_the_gpu_is_named(page, tmp_path):
    (tmp_path / "benchmarks" / "gpu.csv").unlink()
    with pytest.raises(UserError, match=r"benchmarks/gpu\.csv lacks the step"):
        page()


def test_what_was_not_measured_says_what_to_run(page):
    how, result = page()["decomposition model"]
    assert (how, result) == ("run `python -m benchmarks.against_scheme`", "not measured")


def test_measurements_are_scaled_to_the_set(page, tmp_path):
    measured = [
        {"what": "peak memory of the training step, batch 4", "ours": 1334.0},
        {"what": "training step, the paper's networks, batch 4", "ours": 0.5},
    ]
    pd.DataFrame(measured).to_csv(tmp_path / "benchmarks" / "against_scheme.csv", index=False)
    stage = {"codec": "encodec_24khz", "hours": 1, "peak_private_mb": 400.0, "disk_mb_per_hour": 300.0}
    stages = [
        stage | {"stage": name, "audio_hours_per_hour": 5.0} for name in ("segments", "latents", "both")
    ]
    pd.DataFrame(stages).to_csv(tmp_path / "benchmarks" / "preprocessing.csv", index=False)
    lines = page()
    assert lines["steps of a training"][1] == "416,500"
    assert lines["decomposition model"] == ("0.500 s × 64/4 × 416,500 steps", "39 days")
    assert lines["segments and latents"] == ("145 h / 5 hours of songs per hour", "29 h")
    fixed = 5 * 4 * 16_293_310 / 2**20
    expected = (fixed + (1334 - fixed) * 16) / 1024
    assert lines["a training step of the decomposition model"][1] == f"{expected:.1f} GB"
    assert lines["latents"][1] == "400 MB"

"""Short songs, and the shipped weights with a prior that was not trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ucr.foundation.checkpoints import save_model, sha256
from ucr.foundation.params import load_params
from ucr.model.decomposition import load_decomposition
from ucr.model.prior import PriorModel, prior_config
from ucr.program import shipped
from ucr.weights import FOLDER

ROOT = Path(__file__).resolve().parents[3]


def make_song(path: Path, seconds: float = 9.0, rate: int = 44100, channels: int = 2, seed: int = 0) -> Path:
    """Clicks and a changing tone, in any format that soundfile writes."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    clicks = 0.2 * rng.normal(size=len(time)) * np.exp(-25 * (time % 0.5))
    tone = 0.15 * np.sin(2 * np.pi * np.cumsum(rng.choice([65, 82, 98], 40).repeat(rate)[: len(time)]) / rate)
    gains = np.linspace(1, 0.6, channels)
    soundfile.write(str(path), np.outer(clicks + tone, gains), rate)
    return path


@pytest.fixture
def song(tmp_path: Path) -> Path:
    return make_song(tmp_path / "song.wav")


@pytest.fixture
def with_prior(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the shipped weights of drums+bass are taken from, with a prior as it is before training."""
    folder = tmp_path / "shipped" / "drums+bass"
    shutil.copytree(FOLDER / "drums+bass", folder, ignore=shutil.ignore_patterns("prior"))
    model, setting, _ = load_decomposition(folder)
    width = model.n_components * model.params.encoder.channels[-1]
    config = prior_config(
        load_params(ROOT / "params.yaml"),
        setting,
        sha256(folder / "model.safetensors"),
        [0.0] * width,
        [1.0] * width,
        1.0,
    )
    torch.manual_seed(0)
    save_model(folder / "prior", PriorModel.from_config(config), config, {})
    monkeypatch.setattr(shipped, "FOLDER", folder.parent)
    return folder

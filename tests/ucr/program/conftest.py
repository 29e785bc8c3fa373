"""A short song, and the shipped weights with a prior that was not trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.helpers import PARAMS
from tests.ucr.program.helpers import make_song
from ucr.foundation.checkpoints import save_model
from ucr.foundation.hashes import file_hash
from ucr.foundation.params import load_params
from ucr.model.decomposition import load_decomposition
from ucr.model.prior import PriorModel, prior_config
from ucr.program import shipped
from ucr.weights import FOLDER


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
        load_params(PARAMS),
        setting,
        file_hash(folder / "model.safetensors"),
        [0.0] * width,
        [1.0] * width,
        [1.0],
    )
    torch.manual_seed(0)
    save_model(folder / "prior", PriorModel.from_config(config), config, {})
    monkeypatch.setattr(shipped, "FOLDER", folder.parent)
    return folder

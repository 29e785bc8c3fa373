"""The stage `train_unsupervised`: weights that separate, from mixtures alone."""

import sys

import numpy as np
import pandas as pd
import pytest

from pipelines import data, latents, segments, train_unsupervised
from tests.helpers import TEN_SECONDS
from ucr.data.segments import SegmentStore
from ucr.foundation.files import read_json
from ucr.methods.registry import make_method

SIZES = {
    "bootstrap": {"channels": [16], "kernels": [3], "strides": [2], "attention": [False], "dropout": 0.0},
    "mixit": {"N": 8, "L": 16, "B": 8, "H": 8, "Sc": 8, "P": 3, "X": 2, "R": 1},
}
OPTIM = {
    **{"steps": 4, "batch": 2, "crop": 120, "lr": 1e-3, "weight_decay": 0.0, "warmup": 0, "clip": 1.0},
    **{"ema": 0.5, "validate_every": 2, "schedule": "constant"},
}


def train(monkeypatch, name):
    monkeypatch.setattr(sys, "argv", ["train_unsupervised", name])
    train_unsupervised.main()


@pytest.mark.slow
def test_both_trainings_write_weights_that_separate(project, monkeypatch):
    tracks = {"train": 3, "validation": 1, "test": 1}
    optims = {"bootstrap": OPTIM, "mixit": OPTIM | {"crop": 12000}}
    rivals = {name: {"network": SIZES[name], "optim": optims[name]} for name in SIZES}
    folder = project(data={"tracks": tracks, "seconds": TEN_SECONDS}, unsupervised=rivals)
    for stage in (data, segments, latents):
        stage.main()
    for name in SIZES:
        train(monkeypatch, name)
        curve = pd.read_csv(folder / "models" / name / "training.csv")
        assert list(curve.step) == [2, 4]
        assert curve.validation_loss.notna().all()
        assert read_json(folder / "models" / name / "card.json")["ended_by"] == "steps"
        _, method = make_method(name, {})
        method.load(folder / "models" / name, ["drums", "bass"])
        mixture = SegmentStore("segments", "test")[0].mixture
        estimates = method.separate(mixture, 24000, 2)
        np.testing.assert_allclose(estimates.mean(axis=0), mixture, atol=1e-4)


def test_a_method_that_is_not_there_is_one_sentence(project, monkeypatch, capsys):
    project()
    with pytest.raises(SystemExit) as ended:
        train(monkeypatch, "nothing")
    assert ended.value.code == 1
    assert "unsupervised lacks 'nothing': add it, or choose bootstrap, mixit" in capsys.readouterr().err

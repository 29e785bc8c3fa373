"""`benchmarks/training.py`: a step is timed whatever ends the training."""

import pytest
import torch

from benchmarks import training
from ucr.foundation.files import read_json
from ucr.foundation.params import OptimParams
from ucr.training.trainer import Job


@pytest.mark.parametrize("patience", [0, 1])
def test_a_training_is_timed_for_all_of_the_steps(patience, tmp_path, monkeypatch):
    optim = OptimParams(
        steps=100, batch=2, crop=8, lr=1e-2, weight_decay=0.0, warmup=0, clip=0.0, ema=0.0, validate_every=1,
        patience=patience, schedule="constant",
    )  # fmt: skip
    net = torch.nn.Linear(1, 1)
    steps = []

    def draw(rng, step):
        steps.append(step)
        return (torch.ones(2, 1),)

    def validate():
        raise AssertionError("what is timed is not validated")

    job = Job(
        "toy", net, draw, lambda batch: net(batch[0]).mean(), validate, optim, 100, 0, {}, runs=tmp_path
    )
    monkeypatch.setattr(training, "make_job", lambda name: job)
    training.measure("toy", 3, compiled=False, full_precision=False, out=tmp_path / "figures.json")
    figures = read_json(tmp_path / "figures.json")
    assert steps == list(range(6))
    assert figures["step_seconds"] > 0
    assert figures["batch"] == 2

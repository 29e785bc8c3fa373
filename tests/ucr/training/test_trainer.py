import itertools
import math
import os
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from tests.helpers import PARAMS, kill_when
from ucr.foundation.checkpoints import load_tensors
from ucr.foundation.params import OptimParams, load_params
from ucr.training import trainer
from ucr.training.results import model_card
from ucr.training.trainer import Job, learning_rate, train

OPTIM = OptimParams(
    steps=10, batch=4, crop=8, lr=1e-2, weight_decay=0.01, warmup=2, clip=1.0, ema=0.9, validate_every=2,
    schedule="cosine",
)  # fmt: skip
PROGRAM = textwrap.dedent(
    """
    import sys, time, torch
    from pathlib import Path
    from safetensors.torch import save_file
    from ucr.foundation.params import OptimParams
    from ucr.training.trainer import Job, train

    optim = OptimParams.model_validate_json(sys.argv[1])
    pause = float(sys.argv[2])
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))

    def loss(batch):
        time.sleep(pause)
        return (net(batch[0]) + 0.1 * torch.randn(1) - batch[0].sum(1, keepdim=True)).square().mean()

    def draw(rng, step):
        return (torch.from_numpy(rng.standard_normal((optim.batch, 3), dtype="float32")),)

    job = Job("toy", net, draw, loss, lambda: {"figure": net[0].weight.sum().item()}, optim, optim.steps, 7, {})
    history = train(job, torch.device("cpu"))
    save_file(net.state_dict(), "out.safetensors")
    Path("history").write_text(repr([{k: row[k] for k in ("step", "loss", "figure")} for row in history]))
    """
)


def start(folder, pause):
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, OPTIM.model_dump_json(), str(pause)],
        cwd=folder,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )


def test_a_killed_run_ends_as_an_unbroken_one(tmp_path):
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    whole = start(unbroken, 0.0)
    _, log = whole.communicate()
    assert whole.returncode == 0, log.decode()
    kill_when(start(broken, 0.3), lambda: list(broken.glob("runs/*/checkpoint.safetensors")))
    assert not (broken / "out.safetensors").exists()
    resumed = start(broken, 0.0)
    _, log = resumed.communicate()
    assert resumed.returncode == 0, log.decode()
    assert b" 0/10" not in log  # it went on; it didn't begin again
    assert (broken / "out.safetensors").read_bytes() == (unbroken / "out.safetensors").read_bytes()
    assert (broken / "history").read_text() == (unbroken / "history").read_text()


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = torch.nn.Linear(2, 1)

    def job(**changes):
        values = {
            "name": "toy",
            "module": net,
            "draw": lambda rng, step: (torch.from_numpy(rng.standard_normal((16, 2), dtype="float32")),),
            "loss": lambda batch: (net(batch[0]) - batch[0].sum(1, keepdim=True)).square().mean(),
            "validate": dict,
            "optim": OPTIM,
            "steps": 200,
            "seed": 0,
            "identity": {},
        }
        return Job(**(values | changes))

    return job


def test_it_learns_and_returns_a_row_a_validation(toy):
    history = train(
        toy(optim=OPTIM.model_copy(update={"validate_every": 50, "lr": 0.05})), torch.device("cpu")
    )
    assert [row["step"] for row in history] == [50, 100, 150, 200]
    assert history[-1]["loss"] < 0.01 * history[0]["loss"]


def test_a_clock_that_jumps_back_does_not_change_the_seconds_of_training(toy, monkeypatch):
    now = itertools.count(2e9, -86400)
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    optim = OPTIM.model_copy(update={"validate_every": 2})
    seconds = [row["seconds"] for row in train(toy(steps=6, optim=optim), torch.device("cpu"))]
    assert seconds == sorted(seconds)
    assert 0 <= seconds[0] <= seconds[-1] < 60


def test_another_identity_starts_anew(toy, tmp_path):
    train(toy(steps=2, identity={"data": "a"}), torch.device("cpu"))
    train(toy(steps=4, identity={"data": "b"}), torch.device("cpu"))
    steps = {load_tensors(path)[1]["step"] for path in tmp_path.glob("runs/*/checkpoint.safetensors")}
    assert steps == {2, 4}


def test_other_code_or_precision_starts_anew(toy, tmp_path, monkeypatch):
    train(toy(steps=2), torch.device("cpu"))
    monkeypatch.setattr("ucr.training.trainer.code_hash", lambda: "other code")
    train(toy(steps=2), torch.device("cpu"))
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: True)
    train(toy(steps=2, cpu_bfloat16=True), torch.device("cpu"))
    assert len(list(tmp_path.glob("runs/*/checkpoint.safetensors"))) == 3


PATIENT = OptimParams(
    steps=100, batch=4, crop=8, lr=0.1, weight_decay=0.0, warmup=0, clip=0.0, ema=0.0, validate_every=1, patience=3,
    schedule="constant",
)  # fmt: skip


class Counter(torch.nn.Module):
    """A weight that Adam raises by its rate, 0.1, at every step."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))


def counting(toy, best_at, optim=PATIENT, **changes):
    """The job whose validation loss is least after `best_at` steps."""
    net = Counter()
    return toy(
        module=net,
        loss=lambda batch: -net.weight + 0 * batch[0].sum(),
        validate=lambda: {"validation_loss": abs(net.weight.item() - 0.1 * best_at)},
        optim=optim,
        steps=optim.steps,
        **changes,
    )


def test_patience_ends_a_training_and_keeps_the_best_weights(toy):
    job = counting(toy, best_at=5)
    history = train(job, torch.device("cpu"))
    assert [row["step"] for row in history] == list(range(1, 9))
    assert job.module.weight.item() == pytest.approx(0.5)
    card = model_card(load_params(PARAMS), job, history, torch.device("cpu"), "toy")
    assert (card["ended_by"], card["kept"]["step"], card["last"]["step"]) == ("patience", 5, 8)


def test_steps_bound_a_patient_training_whose_best_weights_are_kept(toy):
    job = counting(toy, best_at=5, optim=PATIENT.model_copy(update={"steps": 7}))
    history = train(job, torch.device("cpu"))
    assert len(history) == 7
    assert job.module.weight.item() == pytest.approx(0.5)
    assert model_card(load_params(PARAMS), job, history, torch.device("cpu"), "toy")["ended_by"] == "steps"


def test_without_patience_the_last_weights_are_kept(toy):
    optim = PATIENT.model_copy(update={"steps": 7, "patience": 0})
    job = counting(toy, best_at=5, optim=optim)
    assert len(train(job, torch.device("cpu"))) == 7
    assert job.module.weight.item() == pytest.approx(0.7)


@pytest.mark.parametrize("killed_at", [3, 6, 8])
def test_a_patient_run_that_was_killed_ends_as_an_unbroken_one(toy, tmp_path, monkeypatch, killed_at):
    whole = counting(toy, best_at=5, identity={"run": "unbroken"})
    unbroken = train(whole, torch.device("cpu"))
    writes = itertools.count(1)

    def save_then_die(*arguments):
        trainer_save(*arguments)
        if next(writes) == killed_at:
            raise KeyboardInterrupt

    trainer_save = trainer._save
    monkeypatch.setattr(trainer, "_save", save_then_die)
    with pytest.raises(KeyboardInterrupt):
        train(counting(toy, best_at=5), torch.device("cpu"))
    monkeypatch.setattr(trainer, "_save", trainer_save)
    resumed = counting(toy, best_at=5)
    history = train(resumed, torch.device("cpu"))
    assert [row["step"] for row in history] == [row["step"] for row in unbroken]
    assert resumed.module.weight.item() == whole.module.weight.item()


def test_a_validation_that_is_no_number_is_no_improvement(toy):
    job = counting(toy, best_at=5)
    values = iter([math.nan, 1.0, math.nan, math.nan, math.nan, 0.0])
    history = train(replace(job, validate=lambda: {"validation_loss": next(values)}), torch.device("cpu"))
    assert [row["step"] for row in history] == [1, 2, 3, 4, 5]
    assert job.module.weight.item() == pytest.approx(0.2)


def test_patience_with_a_falling_rate_is_refused():
    with pytest.raises(ValidationError, match="set schedule to constant"):
        OptimParams.model_validate(PATIENT.model_dump() | {"schedule": "cosine"})


def test_the_rate_rises_then_falls():
    rates = [learning_rate(OPTIM.model_copy(update={"warmup": 10}), step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(OPTIM.lr / 10)
    assert max(rates) == pytest.approx(OPTIM.lr)
    assert rates[-1] < 0.01 * OPTIM.lr

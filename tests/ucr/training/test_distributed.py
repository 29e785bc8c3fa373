"""One training on several processes and in several parts; started by torchrun, this file is such a process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.helpers import ROOT
from ucr.foundation.checkpoints import load_tensors
from ucr.foundation.network_params import IadbParams, UNetParams
from ucr.foundation.params import OptimParams, PriorParams
from ucr.model.prior import PriorModel
from ucr.training.trainer import Job, train

CPU = torch.device("cpu")
SAVED, CRASH = 4, 7  # steps: the first checkpoint, and where a process dies if told to
LOSS, WEIGHTS = 1e-5, 1e-4  # relative and absolute: float32's rounding, which Adam enlarges


def make_job(accumulate: int = 1, drawn: list[int] | None = None, crash: bool = False) -> Job:
    optim = OptimParams(
        steps=12, batch=8, accumulate=accumulate, crop=16, lr=3e-3, weight_decay=0.01, warmup=2, clip=1.0,
        ema=0.9, validate_every=SAVED, schedule="cosine",
    )  # fmt: skip
    params = PriorParams(
        full_mask_share=0.5,
        normalise=True,
        denoiser=UNetParams(
            channels=[8, 16], kernels=[3, 3], strides=[1, 2], attention=[False, True], dropout=0.0
        ),
        iadb=IadbParams(variant="c", alpha_zero_share=0.3),
        optim=optim,
    )
    torch.manual_seed(0)
    model = PriorModel(2, 1, params, torch.zeros(2), torch.ones(2), torch.ones(1))
    held_out = torch.randn(8, 2, 1, 16)

    def draw(rng, step):
        if drawn is not None:
            drawn.append(step)
        if crash and step == CRASH and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return (torch.from_numpy(rng.standard_normal((8, 2, 1, 16), dtype="float32")),)

    return Job(
        name="toy",
        module=model,
        draw=draw,
        loss=lambda batch: model.loss(*batch),
        validate=lambda: {"validation_loss": model.loss(held_out, *model.draw_noise(held_out)).item()},
        optim=optim,
        steps=12,
        seed=7,
        identity={},
        noise=lambda batch, progress: (batch[0], *model.draw_noise(batch[0], progress)),
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The history and the averaged weights of one process that takes whole batches."""
    job = make_job()
    with contextlib.chdir(tmp_path_factory.mktemp("alone")):
        return train(job, CPU), job.module.state_dict()


def assert_same(expected, history, weights):
    for name in ("step", "loss", "validation_loss"):
        assert [row[name] for row in history] == pytest.approx([row[name] for row in expected[0]], rel=LOSS)
    for name, tensor in expected[1].items():
        # Not the biases that a normalisation or a softmax undoes: Adam makes steps of their gradients' rounding.
        if name.endswith("weight"):
            torch.testing.assert_close(
                weights[name], tensor, atol=WEIGHTS, rtol=0, msg=lambda m, n=name: f"{n}: {m}"
            )


def torchrun(folder: Path, processes: int, argument: str) -> subprocess.CompletedProcess:
    folder.mkdir()
    return subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *(f"--nproc-per-node={processes}", __file__, argument),
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("accumulate", [2, 4])
def test_a_batch_in_parts_trains_as_the_whole(alone, tmp_path, monkeypatch, accumulate):
    monkeypatch.chdir(tmp_path)
    job = make_job(accumulate)
    assert_same(alone, train(job, CPU), job.module.state_dict())


@pytest.mark.parametrize(
    ("processes", "accumulate"),
    [(2, 1), *(pytest.param(*each, marks=pytest.mark.slow) for each in ((2, 2), (4, 1)))],
)
def test_processes_train_as_one(alone, tmp_path, processes, accumulate):
    done = torchrun(tmp_path / "together", processes, str(accumulate))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(" 0/12") == 1  # one bar
    (checkpoint,) = tmp_path.glob("together/runs/*/checkpoint.safetensors")
    tensors, config = load_tensors(checkpoint)
    average = {name.removeprefix("average."): tensor for name, tensor in tensors.items()}
    assert_same(alone, config["history"], average)


@pytest.mark.slow
def test_one_process_goes_on_where_two_were_killed(alone, tmp_path, monkeypatch):
    done = torchrun(tmp_path / "together", 2, "crash")
    assert done.returncode == 1
    monkeypatch.chdir(tmp_path / "together")
    drawn: list[int] = []
    job = make_job(drawn=drawn)
    history = train(job, CPU)
    assert drawn == list(range(SAVED, 12))
    assert_same(alone, history, job.module.state_dict())


if __name__ == "__main__":
    crash = sys.argv[1] == "crash"
    train(make_job(1 if crash else int(sys.argv[1]), crash=crash), CPU)

"""The stage `train_supervised`: what is drawn, what is written, what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipelines import train_supervised
from tests.helpers import PARAMS, ROOT
from ucr.data.cutting import Cut, SegmentWriter
from ucr.data.segments import SegmentStore
from ucr.data.slakh.read import Track
from ucr.foundation.files import read_json
from ucr.methods.registry import make_method
from ucr.training.supervised import GAINS, remixed, true_crops

RATE, COUNT = 24000, 6


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with 6 segments of a second a split: drums constant and positive, bass a ramp times a constant."""
    folder = tmp_path_factory.mktemp("project")
    values = yaml.safe_load(PARAMS.read_text())
    optim = {**values["supervised"]["conv_tasnet"]["optim"], "steps": 4, "batch": 2, "crop": 6000}
    network = {"N": 8, "L": 16, "B": 8, "H": 8, "Sc": 8, "P": 3, "X": 2, "R": 1}
    values["supervised"] = {
        "conv_tasnet": {"network": network, "optim": {**optim, "validate_every": 2}},
        "demucs": {"network": {"no_such_size": 1}, "optim": optim},
        "htdemucs": {"network": values["supervised"]["htdemucs"]["network"] | {"nfft": 512}, "optim": optim},
        "hpss": {"network": {}, "optim": optim},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    writer = SegmentWriter(folder / "work")
    for split in ("train", "validation", "test"):
        level = np.arange(1, COUNT + 1)[:, None] * np.ones(RATE) * 1000
        ramp = level * np.linspace(-1, 1, RATE)
        audio = {
            f"Track00001_{i}": np.stack([level[i], ramp[i]]).astype(np.int16).tobytes() for i in range(COUNT)
        }
        index = [{"split": split, "track": "Track00001", "segment": name, "digest": ""} for name in audio]
        writer.add(Track("Track00001", split, Path("data")), Cut(audio, index, [], []))
    meta = {"sources": ["drums", "bass"], "sample_rate": RATE, "seconds": 1.0, "dataset": "test"}
    writer.finish(folder / "segments", meta)
    return folder


def train(project: Path, method: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pipelines.train_supervised", method]
    return subprocess.run(command, cwd=project, capture_output=True, text=True)


SUBNORMAL = """
import sys, torch
from pipelines import train_supervised

def look(job, device):
    small = torch.full((1 << 22,), 71362, dtype=torch.int32).view(torch.float32)  # 1e-40 each
    print(torch.get_num_threads(), int((small * 1).view(torch.int32).count_nonzero()))
    raise SystemExit

train_supervised.train = look
sys.argv = ["train_supervised", "conv_tasnet"]
train_supervised.main()
"""


def test_no_thread_of_a_training_computes_with_subnormal_numbers(project):
    environment = os.environ | {"OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SUBNORMAL]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["2", "0"], done.stderr


@pytest.mark.slow
def test_a_batch_that_processes_cannot_share_is_one_sentence(project):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3", "-m"]
    done = subprocess.run(
        [*command, "pipelines.train_supervised", "conv_tasnet"],
        cwd=project,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    assert "error: conv_tasnet: a batch of 2 has no even parts for 3 processes" in done.stderr
    assert done.stderr.count("Traceback") == 1  # torchrun's own
    assert not (project / "models").exists()


def test_remixes_keep_the_classes_and_mix_the_songs(project):
    store = SegmentStore(project / "segments", "train")
    crops = remixed(store, np.random.default_rng(0), 64, 6000).numpy()
    assert crops.shape == (64, 2, 6000)
    assert crops.dtype == np.float32
    drums, bass = crops[:, 0], crops[:, 1]
    np.testing.assert_allclose(np.ptp(drums, axis=1), 0, atol=1e-6)
    assert (np.ptp(bass, axis=1) > 1e-4).all()
    levels = np.abs(drums[:, 0]) * 32768 / 1000
    assert GAINS[0] <= levels.min() < levels.max() <= GAINS[1] * COUNT
    assert {-1, 1} == set(np.sign(drums[:, 0]))
    again = remixed(store, np.random.default_rng(0), 64, 6000).numpy()
    np.testing.assert_array_equal(again, crops)


def test_crops_for_validation_are_as_recorded(project):
    store = SegmentStore(project / "segments", "validation")
    crops = true_crops(store, np.random.default_rng(0), 10, 6000).numpy()
    steps = np.diff(crops[:, 1]).mean(axis=1) * (RATE - 1) / 2
    np.testing.assert_allclose(steps, crops[:, 0, 0], rtol=0.01)


def test_training_writes_weights_that_separate(project):
    done = train(project, "conv_tasnet")
    assert done.returncode == 0, done.stderr
    folder = project / "models" / "conv_tasnet"
    assert sorted(path.name for path in folder.iterdir()) == [
        "card.json",
        "model.safetensors",
        "training.csv",
    ]
    curve = pd.read_csv(folder / "training.csv")
    assert list(curve.step) == [2, 4]
    assert curve.validation_loss.notna().all()
    card = read_json(folder / "card.json")
    assert card["last"]["step"] == 4
    assert card["parameters"] > 0
    _, method = make_method("conv_tasnet", {})
    method.load(folder, ["drums", "bass"])
    mixture = SegmentStore(project / "segments", "test")[0].mixture
    assert method.separate(mixture, RATE, 2).shape == (2, RATE)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "supervised lacks 'nothing'"),
        ("hpss", "hpss is not trained on true sources"),
        ("demucs", "supervised.demucs.network"),
        ("htdemucs", "supervised.htdemucs.network"),
    ],
)
def test_mistakes_are_one_sentence(project, monkeypatch, capsys, name, words):
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "argv", ["train_supervised", name])
    with pytest.raises(SystemExit, match="1"):
        train_supervised.main()
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (project / "models" / name).exists()

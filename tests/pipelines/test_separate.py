"""The stage `separate`: files, names, times, and what a failing method costs."""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipelines.score import failures
from tests.helpers import PARAMS, ROOT
from ucr.data.cutting import Cut, SegmentWriter
from ucr.data.held_out import HeldOut, held_out_stores
from ucr.data.segments import SegmentStore
from ucr.data.slakh.read import Track
from ucr.foundation.checkpoints import save_model
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_audio, read_json
from ucr.foundation.params import Params, check_params
from ucr.methods.contract import Baseline, Meta
from ucr.methods.registry import find, make_method
from ucr.methods.running import MethodRun, open_run

RATE, COUNT = 24000, 5

FAULTY = """
import numpy as np
from ucr.methods.contract import Baseline, Meta

META = Meta(name="faulty", kind="supervised", paper="None", summary="Fails in every way, by the mixture's level")


class Method(Baseline):
    def separate(self, mixture, sample_rate, n_sources):
        level = round(100 * float(np.abs(mixture).max()))
        mixture *= 0  # a method may not, but one that does harms itself only
        estimates = np.ones((n_sources, len(mixture)), dtype=np.float32)
        if level == 1:
            raise RuntimeError("out of\\nluck")
        if level == 2:
            return estimates[:, :-1]
        if level == 3:
            return estimates * np.nan
        if level == 4:
            return estimates.astype(np.float64)
        return estimates
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with a faulty method and 5 test segments of a second, the loudest last."""
    for package in ("ucr", "pipelines", "eval"):
        (tmp_path / package).symlink_to(ROOT / package)
    shutil.copytree(ROOT / "baselines", tmp_path / "baselines", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "baselines" / "faulty.py").write_text(FAULTY)
    values = yaml.safe_load(PARAMS.read_text())
    needs = dict.fromkeys(("mixture", "irm", "faulty", "ghost", "broken"), "segments") | {
        "conv_tasnet": "models/conv_tasnet"
    }
    values["methods"] = {
        name: {"code": f"baselines/{name}.py", "needs": each} for name, each in needs.items()
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    writer = SegmentWriter(tmp_path / "runs")
    rng = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        noise = rng.uniform(-1, 1, size=(COUNT, RATE))
        loudness = 0.01 * np.arange(1, COUNT + 1)
        half = noise / np.abs(noise).max(axis=1, keepdims=True) * loudness[:, None] * 32768
        audio = {
            f"Track00001_{i}": np.stack([half[i], half[i]]).astype(np.int16).tobytes() for i in range(COUNT)
        }
        index = [{"split": split, "track": "Track00001", "segment": name, "digest": ""} for name in audio]
        writer.add(Track("Track00001", split, Path("data")), Cut(audio, index, [], []))
    meta = {"sources": ["drums", "bass"], "sample_rate": RATE, "seconds": 1.0, "dataset": "test"}
    writer.finish(tmp_path / "segments", meta)
    return tmp_path


def separate(project: Path, method: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pipelines.separate", method]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, **options)


def params_of(project: Path) -> Params:
    return check_params(yaml.safe_load((project / "params.yaml").read_text()))


def test_a_failing_method_costs_its_segments_only(project):
    done = separate(project, "faulty")
    assert done.returncode == 0, done.stderr
    assert "failed on 4 of 5 segments" in done.stderr
    timing = pd.read_csv(project / "estimates/faulty/timing.csv", keep_default_na=False)
    assert list(timing.columns) == ["segment", "status", "reason", "seconds", "batch"]
    assert list(timing.segment) == [f"Track00001_{i}" for i in range(COUNT)]
    assert list(timing.status) == ["failed"] * 4 + ["ok"]
    reasons = ["RuntimeError: out of luck", "float32[1, 2, 23999]", "not finite", "float64[1, 2, 24000]", ""]
    assert 'faulty.py", line 14, in separate' in (project / "estimates/faulty/traceback.txt").read_text()
    for found, expected in zip(timing.reason, reasons, strict=True):
        assert expected in found
    assert list(timing.seconds[:4]) == [""] * 4
    kept = sorted(
        path.relative_to(project / "estimates/faulty") for path in project.glob("estimates/faulty/*/*")
    )
    assert kept == [Path("Track00001_4/bass.wav"), Path("Track00001_4/drums.wav")]


@pytest.mark.parametrize(
    ("name", "labels"), [("irm", ("drums", "bass")), ("mixture", ("component_0", "component_1"))]
)
def test_files_hold_what_the_method_returns(project, name, labels):
    done = separate(project, name)
    assert done.returncode == 0, done.stderr
    store = SegmentStore(project / "segments", "test")
    _, method = make_method(name, {})
    for segment in store:
        expected = method.separate(segment.mixture, RATE, segment.sources if name == "irm" else 2)
        for label, estimate in zip(labels, expected, strict=True):
            audio, rate = read_audio(project / "estimates" / name / segment.name / f"{label}.wav")
            assert rate == RATE
            np.testing.assert_allclose(audio[0], estimate, atol=1e-6)
    timing = pd.read_csv(project / "estimates" / name / "timing.csv")
    assert (timing.seconds > 0).all()
    assert (timing.batch == 1).all()
    card = read_json(project / "estimates" / name / "method.json")
    assert card["card"]["name"] == name
    assert card["card"]["labelled"] == (name == "irm")
    assert card["segments"] == {"test": store.fingerprint}
    assert card["provenance"].keys() == {"code", "libraries", "machine"}
    assert separate(project, name).returncode == 0  # takes another time
    assert read_json(project / "estimates" / name / "method.json") == card


def test_another_estimate_or_failure_is_another_hash(project):
    def made() -> str:
        done = separate(project, "faulty")
        assert done.returncode == 0, done.stderr
        return read_json(project / "estimates/faulty/method.json")["hash"]

    code = project / "baselines" / "faulty.py"
    text, hashes = code.read_text(), {made()}
    for old, new in (("luck", "time"), ("np.ones", "0.5 * np.ones")):
        assert old in text
        code.write_text(text.replace(old, new))
        hashes.add(made())
    assert len(hashes) == 3


SIZES = {"N": 8, "L": 16, "B": 8, "H": 8, "Sc": 8, "P": 3, "X": 2, "R": 1}


def save_weights(project: Path, **config) -> Path:
    """Weights of a small `conv_tasnet`, described by `config`."""
    network = find("conv_tasnet").method.make_network(2, RATE, **SIZES)
    known = {"method": "conv_tasnet", "sources": ["drums", "bass"], "sample_rate": RATE, "network": SIZES}
    folder = project / "models" / "conv_tasnet"
    save_model(folder, network, known | config, {})
    return folder / "model.safetensors"


class Bomb:
    """Leaves a folder behind where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


MISTAKES = {
    "not in params": ("nothing", lambda project: None, "methods lacks 'nothing'"),
    "no file": ("ghost", lambda project: None, "baselines/ghost.py does not exist: fix the path of the method"),
    "no import": (
        "broken", lambda project: (project / "baselines/broken.py").write_text("import nothing_there"),
        "broken.py fails to import (ModuleNotFoundError: No module named 'nothing_there'): fix it",
    ),
    "no Python": (
        "broken", lambda project: (project / "baselines/broken.py").write_text("def ("),
        "broken.py fails to import (SyntaxError: ",
    ),
    "no contract": (
        "broken", lambda project: (project / "baselines/broken.py").write_text(""), "broken.py needs a META",
    ),
    "no weights": ("conv_tasnet", lambda project: None, "models/conv_tasnet does not exist, which conv_tasnet needs"),
    "other shape": (
        "conv_tasnet", lambda project: save_weights(project, network=SIZES | {"N": 4}),
        "models/conv_tasnet: tensor decoder.weight has shape (8, 1, 16), the model needs (4, 1, 16): use",
    ),
    "other sources": (
        "conv_tasnet", lambda project: save_weights(project, sources=["bass", "piano"]),
        "models/conv_tasnet separates bass+piano, not drums+bass: train it again",
    ),
    "a pickle": (
        "conv_tasnet", lambda project: save_weights(project).write_bytes(pickle.dumps(Bomb())),
        "conv_tasnet/model.safetensors is not a whole safetensors file",
    ),
    "weights cut short": (
        "conv_tasnet", lambda project: cut_short(save_weights(project)), "is not a whole safetensors file"
    ),
    "store cut short": (
        "mixture", lambda project: cut_short(project / "segments/test.lmdb"),
        "segments/test.lmdb is cut short: delete its folder and run its stage again",
    ),
    "no folder": ("mixture", lambda project: (project / "estimates").write_text(""), "in the way of estimates"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(project, mistake):
    method, spoil, sentence = MISTAKES[mistake]
    spoil(project)
    done = separate(project, method)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (project / "ran").exists()
    assert not list(project.glob("estimates/*"))


def test_a_full_disk_is_one_sentence_at_the_end_and_leaves_nothing_behind(project):
    def small_disk():  # a limit on each file stands in for the end of the disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    done = separate(project, "mixture", preexec_fn=small_disk)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: estimates/")
    assert done.stderr.endswith("/Track00001_0/component_0.wav: File too large\n")
    assert not list(project.glob("estimates/*"))


def test_other_sources_than_the_segments_are_refused(project, monkeypatch):
    monkeypatch.chdir(project)
    params = params_of(project).model_copy(update={"sources": ["bass", "piano"]})
    with pytest.raises(UserError, match=r"segments holds drums, bass but params\.yaml asks for bass, piano"):
        open_run("mixture", params)


ELSEWHERE = """
import numpy as np
from ucr.methods.contract import Baseline, Meta, NotAvailable

META = Meta(name="mine", kind="blind", paper="None", summary="A method outside of the project")


class Method(Baseline):
    def __init__(self, there: bool = True):
        self.there = there

    def load(self, weights, sources):
        if not self.there:
            raise NotAvailable("its server does not answer")

    def separate(self, mixture, sample_rate, n_sources):
        return np.stack([mixture * np.float32(0.5 + i) for i in range(n_sources)])
"""


def add_mine(project: Path, **options) -> None:
    """A method outside of the project's folder, in its parameters."""
    path = project / "elsewhere" / "mine.py"
    path.parent.mkdir()
    path.write_text(ELSEWHERE)
    values = yaml.safe_load((project / "params.yaml").read_text())
    values["methods"]["mine"] = {"code": "elsewhere/mine.py", "needs": "segments", **options}
    (project / "params.yaml").write_text(yaml.safe_dump(values))


def test_a_method_of_another_folder(project):
    add_mine(project)
    done = separate(project, "mine")
    assert done.returncode == 0, done.stderr
    audio, _ = read_audio(project / "estimates/mine/Track00001_2/component_1.wav")
    mixture = SegmentStore(project / "segments", "test")[2].mixture
    np.testing.assert_allclose(audio[0], 1.5 * mixture, atol=1e-4)


def test_a_method_that_is_not_available_has_rows_that_say_why(project):
    add_mine(project, there=False)
    done = separate(project, "mine")
    assert done.returncode == 0, done.stderr
    assert "not available: its server does not answer" in done.stderr
    timing = pd.read_csv(project / "estimates/mine/timing.csv", keep_default_na=False)
    assert set(timing.status) == {"not available"}
    assert set(timing.reason) == {"its server does not answer"}
    assert len(timing) == COUNT
    assert not list(project.glob("estimates/mine/*/*.wav"))
    command = [sys.executable, "-m", "pipelines.cost", "mine"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert read_json(project / "costs/mine.json")["failed"] == "not available: its server does not answer"
    assert set(failures(project / "estimates/mine/timing.csv").values()) == {
        "not available: its server does not answer"
    }


class Batched(Baseline):
    """Notes the size of each batch; fails where a mixture is as loud as `bad`."""

    batch_size = 3

    def __init__(self, bad: float = 9.0):
        self.bad, self.sizes = bad, []

    def separate(self, mixture, sample_rate, n_sources):
        raise AssertionError("batches are separated by separate_batch")

    def separate_batch(self, mixtures, sample_rate, n_sources):
        self.sizes.append(len(mixtures))
        if np.isclose(np.abs(mixtures).max(axis=1), self.bad, atol=1e-3).any():
            raise RuntimeError("bad batch")
        return np.stack([mixtures] * n_sources, axis=1)


def make_batched(project: Path, bad: float) -> MethodRun:
    meta = Meta(name="batched", kind="blind", paper="None", summary="None")
    return MethodRun(
        meta, Batched(bad), HeldOut(held_out_stores(project / "segments", project / "test_sets"))
    )


def test_batches_have_the_methods_size(project):
    work = make_batched(project, bad=9.0)
    outcomes = [outcome for chunk in work.chunks() for outcome in work.run(chunk)]
    assert work.method.sizes == [3, 2]
    assert [outcome.batch for outcome in outcomes] == [3, 3, 3, 2, 2]
    for outcome, segment in zip(outcomes, work.store, strict=True):
        np.testing.assert_array_equal(outcome.estimates[1], segment.mixture)


def test_a_failing_batch_is_tried_again_one_by_one(project):
    work = make_batched(project, bad=0.02)
    outcomes = work.run(range(3))
    assert work.method.sizes == [3, 1, 1, 1]
    assert [outcome.reason for outcome in outcomes] == ["", "RuntimeError: bad batch", ""]

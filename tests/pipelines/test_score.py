"""Stages `score` and `tables`: what they write from estimates, and what they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from eval.folders import ROW_COLUMNS
from pipelines import score as score_stage
from pipelines import tables as tables_stage
from pipelines.score import score
from pipelines.tables import make
from tests.helpers import PARAMS
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_json, write_audio, write_json
from ucr.foundation.hashes import files_hash
from ucr.foundation.params import Params, check_params
from ucr.foundation.provenance import code_version

RATE, SAMPLES = 4000, 3000
MACHINE = {"cpu": "a", "cores": 1, "memory_gb": 1}
COST = {"machine": MACHINE, "device": "cpu", "threads": 1, "libraries": {"torch": "2"}, "failed": ""}
NAMES = [f"Track0000{track}_{i}" for track in (1, 2) for i in (0, 1)]


@pytest.fixture
def params() -> Params:
    values = yaml.safe_load(PARAMS.read_text())
    values["methods"] = {
        name: {"needs": "segments", "code": f"baselines/{name}.py"} for name in ("irm", "hpss")
    }
    values["scores"] = {"window": 0.5, "hop": 0.25, "bootstrap": 100}
    return check_params(values)


@pytest.fixture
def project(tmp_path, monkeypatch, params) -> Path:
    """Four segments of two tracks; `irm` is labelled and fails on one, `hpss` swaps its components."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(params.model_dump(), sort_keys=False))
    rng = np.random.default_rng(0)
    for name in NAMES:
        true = np.float32(0.1 * rng.standard_normal((2, SAMPLES)))
        write_audio(f"references/waveform/{name}/mixture.wav", true.mean(0), RATE)
        for i, source in enumerate(("drums", "bass")):
            noise = np.float32(0.03 * rng.standard_normal(SAMPLES))
            write_audio(f"references/waveform/{name}/{source}.wav", true[i], RATE)
            write_audio(f"references/codec/{name}/{source}.wav", true[i] + noise, RATE)
            write_audio(f"estimates/hpss/{name}/component_{1 - i}.wav", true[i] + 3 * noise, RATE)
            if name != NAMES[2]:
                write_audio(f"estimates/irm/{name}/{source}.wav", true[i] - noise, RATE)
    write_json("references/card.json", {"hash": "4ef" * 21 + "0"})
    for method, kind in (("irm", "oracle"), ("hpss", "blind")):
        status = ["failed" if method == "irm" and name == NAMES[2] else "ok" for name in NAMES]
        reasons = ["ValueError: no, never" if each == "failed" else "" for each in status]
        timing = {"segment": NAMES, "status": status, "reason": reasons, "seconds": 0.1, "batch": 1}
        pd.DataFrame(timing).to_csv(f"estimates/{method}/timing.csv", index=False)
        card = {"name": method, "kind": kind, "labelled": kind == "oracle"}
        about = {
            "card": card,
            "sources": ["drums", "bass"],
            "sample_rate": RATE,
            "segments": {"slakh_mini": "5e6" * 20},
            "hash": "e57" * 21 + "0",
        }
        write_json(f"estimates/{method}/method.json", about)
        write_json(f"costs/{method}.json", COST | {"method": method, "kind": kind})
    write_json("generation_scores/provenance.json", {"data": {"slakh_mini": "5e6" * 20}})
    clips = [(name, name[:-2], i // 2) for i, name in enumerate(NAMES)]
    embeddings = pd.DataFrame(clips * 2, columns=["clip", "track", "half"])
    embeddings = embeddings.assign(set=["test split"] * 4 + ["codec"] * 4, space="log_mel", e0=rng.random(8))
    embeddings.to_csv("generation_scores/embeddings.csv", index=False)
    rows = {"set": "codec", "space": "log_mel", "metric": "distance_to_training", "clip": NAMES, "value": 0.5}
    pd.DataFrame(rows).assign(track="t").to_csv("generation_scores/rows.csv", index=False)
    Path("segments").mkdir()
    Path("segments/index.csv").write_text(
        "split,track,segment\n" + "".join(f"test,{name[:-2]},{name}\n" for name in NAMES)
    )
    write_json("segments/segments.json", {"seconds": 7.0})
    Path("segments/skipped.csv").write_text(
        "split,track,segment,reason,detail\ntest,Track00009,,lacks a class,bass\n"
    )
    return tmp_path


def run(module: str, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", f"pipelines.{module}", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_both_stages_from_the_command_line(project):
    result = run("score", "irm")
    assert result.returncode == 0, result.stderr
    assert "scores/irm: 176 scores of 4 segments (132 ok, 44 failed)" in result.stdout
    rows = pd.read_csv("scores/irm/rows.csv")
    assert list(rows.columns) == ROW_COLUMNS
    failed = rows[rows["status"] == "failed"]
    assert set(failed["segment"]) == {NAMES[2]}
    assert set(failed["reason"]) == {"ValueError: no, never"}
    assert failed["value"].isna().all()

    assert run("score", "hpss").returncode == 0
    swapped = pd.read_csv("scores/hpss/rows.csv")
    assert swapped[swapped["metric"] == "si_sdr"]["value"].min() > -2  # the best permutation

    result = run("tables")
    assert result.returncode == 0, result.stderr
    table = pd.read_csv("reports/tables/separation.csv")
    assert dict(zip(table["method"], table["assignment"], strict=True)) == {
        "irm": "fixed order", "hpss": "best permutation"
    }  # fmt: skip
    counts = table[(table["metric"] == "si_sdr") & (table["reference"] == "waveform")]
    assert counts[["method", "n", "n_failed"]].drop_duplicates().to_numpy().tolist() == [
        ["irm", 3, 1],
        ["hpss", 4, 0],
    ]
    metrics = json.loads(Path("reports/metrics.json").read_text())
    metrics = metrics["slakh_mini"]
    assert metrics["irm"]["si_sdr"]["drums"] > metrics["hpss"]["si_sdr"]["drums"]
    data = Path("reports/tables/data.csv").read_text()
    assert (
        data == "set,split,item,reason,count\nslakh_mini,test,track,used,2\n"
        "slakh_mini,test,track,lacks a class,1\nslakh_mini,test,segment,used,4\n"
    )
    (card,) = pd.read_csv("reports/tables/sets.csv").to_dict("records")
    assert (card["set"], card["sounds"], card["tracks"], card["segments"]) == (
        "slakh_mini", "composed and rendered", 2, 4
    )  # fmt: skip
    assert card["hours"] == pytest.approx(4 * 7 / 3600, abs=1e-3)
    assert list(pd.read_csv("reports/tables/provenance.csv")["method"]) == ["irm", "hpss"]


def test_the_tables_are_the_same_bytes_again(project, params):
    for method in params.methods:
        score(method, params)
    paths = make(params)
    first = [path.read_bytes() for path in paths]
    score("hpss", params)
    assert [path.read_bytes() for path in make(params)] == first


def test_a_supervised_method_that_no_stage_trains_was_trained_before(project, params):
    write_json(
        "estimates/hpss/method.json",
        read_json("estimates/hpss/method.json")
        | {"card": {"name": "hpss", "kind": "supervised", "labelled": False}},
    )
    for method in params.methods:
        score(method, params)
    make(params)
    table = pd.read_csv("reports/tables/separation.csv")
    assert dict(zip(table["method"], table["trained"], strict=True)) == {"irm": "none", "hpss": "long"}


def test_provenance_says_where_the_scores_come_from(project, params):
    (project / "weights").mkdir()
    (project / "weights" / "model.safetensors").write_bytes(b"1")
    methods = params.methods | {"irm": params.methods["irm"] | {"needs": "weights"}}
    params = params.model_copy(update={"methods": methods})
    score("irm", params)
    found = json.loads(Path("scores/irm/provenance.json").read_text())
    assert found["data"] == {"slakh_mini": "5e6" * 20}
    assert found["protocol"] == {"version": 2, "window": 0.5, "hop": 0.25}
    assert found["code"] == code_version()
    assert (found["references"], found["estimates"]) == ("4ef" * 21 + "0", "e57" * 21 + "0")
    assert len(found["weights"]) == len(found["params"]["hash"]) == 64
    assert list(found["params"]["values"]["methods"]) == ["irm"]
    assert {"python", "numpy", "scipy"} <= found["libraries"].keys()
    assert found["machine"]["cores"] >= 1


def test_provenance_names_the_shipped_weights_of_the_run_s_task(project, params):
    for task in (params.task, "guitar+organ"):
        folder = project / "shipped" / "+".join(reversed(task.split("+")))  # in another order of its sources
        folder.mkdir(parents=True)
        (folder / "card.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(task.encode())
    methods = params.methods | {"irm": params.methods["irm"] | {"needs": "shipped"}}
    score("irm", params.model_copy(update={"methods": methods}))
    found = json.loads(Path("scores/irm/provenance.json").read_text())
    own = "+".join(reversed(params.sources))
    assert found["weights"] == files_hash(project / "shipped" / own / "model.safetensors")


def test_methods_scored_on_other_data_never_share_a_table(project, params):
    score("irm", params)
    about = json.loads(Path("estimates/hpss/method.json").read_text())
    write_json("estimates/hpss/method.json", about | {"segments": {"slakh_mini": "f00" * 20}})
    score("hpss", params)
    with pytest.raises(UserError, match=r"data hashes differ \(irm: .*5e6\w+.*; hpss: .*f00\w+.*\)"):
        make(params)
    assert not Path("reports").exists()


def spoil_json(path: str, **values) -> None:
    found = json.loads(Path(path).read_text())
    write_json(path, {key: value for key, value in (found | values).items() if value is not None})


MISTAKES = {
    "no such method": ("demucs", lambda: None, "params.yaml has no method 'demucs': it has irm, hpss"),
    "never separated": ("hpss", lambda: Path("estimates/hpss/method.json").unlink(), "method.json does not exist"),
    "half a card": ("hpss", lambda: spoil_json("estimates/hpss/method.json", card=None), "method.json lacks 'card'"),
    "other sources": (
        "hpss", lambda: spoil_json("estimates/hpss/method.json", sources=["bass", "drums"]), "estimates/hpss holds"
    ),
    "lost estimate": (
        "irm", lambda: Path(f"estimates/irm/{NAMES[0]}/bass.wav").unlink(), f"estimates/irm/{NAMES[0]} lacks bass.wav"
    ),
    "cut short": (
        "irm", lambda: Path(f"estimates/irm/{NAMES[0]}/bass.wav").write_bytes(b""), "bass.wav can't be read as audio"
    ),
    "no times": ("irm", lambda: Path("estimates/irm/timing.csv").write_text("a\n1\n"), "timing.csv lacks the column"),
    "unnamed references": (
        "irm", lambda: Path("references/card.json").unlink(), "card.json does not exist: run the stage references"
    ),
    "no references": ("irm", lambda: Path("references").rename("moved"), "references/waveform is no folder"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(project, params, mistake):
    method, spoil, sentence = MISTAKES[mistake]
    spoil()
    with pytest.raises(UserError, match=sentence):
        score(method, params)
    assert not Path("scores").exists()


def test_the_commands_end_with_the_sentence_and_code_1(project, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["score", "demucs"])
    with pytest.raises(SystemExit, match="1"):
        score_stage.main()
    sentence = "error: params.yaml has no method 'demucs': it has irm, hpss\n"
    assert capsys.readouterr() == ("", sentence)
    monkeypatch.setattr(sys, "argv", ["tables"])
    with pytest.raises(SystemExit, match="1"):
        tables_stage.main()
    error = capsys.readouterr().err
    assert error.startswith("error: scores/irm")
    assert error.endswith("does not exist: run `dvc repro score@irm`\n")


def test_generation_is_in_a_table_of_its_own(project, params):
    score("irm", params)
    score("hpss", params)
    make(params)
    table = pd.read_csv("reports/tables/generation.csv").set_index("metric")
    assert set(table["set"]) == {"codec", "test split"}
    table = table[table["set"] == "codec"]
    assert {"frechet", "precision", "recall", "density", "coverage", "distance_to_training"} == set(
        table.index
    )
    assert table.loc["distance_to_training", "value"] == 0.5
    assert np.isnan(table.loc["frechet", "value"])
    assert table.loc["frechet", "note"] == "4 clips are fewer than 256"


GENERATION_MISTAKES = {
    "never scored": (
        lambda: Path("generation_scores/provenance.json").unlink(),
        r"provenance\.json does not exist: run `dvc repro score_generation`",
    ),
    "other data": (
        lambda: write_json("generation_scores/provenance.json", {"data": {"slakh_mini": "f00" * 20}}),
        "data hashes differ",
    ),
    "no embeddings": (
        lambda: Path("generation_scores/embeddings.csv").write_text("set\nreal\n"),
        "embeddings.csv lacks the column space"
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", GENERATION_MISTAKES)
def test_generation_that_cannot_be_tabled_is_one_sentence(project, params, mistake):
    spoil, sentence = GENERATION_MISTAKES[mistake]
    score("irm", params)
    score("hpss", params)
    spoil()
    with pytest.raises(UserError, match=sentence):
        make(params)
    assert not Path("reports").exists()

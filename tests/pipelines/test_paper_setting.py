"""The paper's setting at its full sizes on very little data, for three sources, with random EnCodec weights."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from benchmarks.published_scheme import write_encodec
from eval import cost as measuring
from pipelines import (
    cost,
    data,
    generate,
    latents,
    references,
    report,
    score,
    score_generation,
    segments,
    separate,
    tables,
    test_sets,
    train_decomposition,
    train_prior,
    train_supervised,
)
from tests.helpers import PARAMS, ROOT, kill_when
from tests.pipelines.kill import contents, differences
from tests.pipelines.rehearsal import ROOT_OF_TRACKS, WEIGHTS, paper_on_little, write_tracks
from ucr.foundation.files import read_json
from ucr.foundation.schema import merge, read_yaml
from ucr.methods.registry import find
from ucr.training import decomposition, supervised

SOURCES = ["drums", "bass", "piano"]
MODEL = Path("models/decomposition")
FEW_CROPS = 2
TRAIN = (
    f"from ucr.training import decomposition; decomposition.VALIDATION_CROPS = {FEW_CROPS}; "
    "from pipelines.train_decomposition import main; main()"
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder to run stages in, with data and parameters."""
    monkeypatch.chdir(tmp_path)
    for module in (decomposition, supervised):
        monkeypatch.setattr(module, "VALIDATION_CROPS", FEW_CROPS)
    monkeypatch.setattr(measuring, "REPEATS", 1)
    monkeypatch.setattr(cost, "BATCH", 2)
    write_tracks(Path(ROOT_OF_TRACKS), {"train": 1, "validation": 1, "test": 1}, seconds=2.5)
    write_encodec(Path(WEIGHTS))
    paper = merge(read_yaml(PARAMS), read_yaml(ROOT / "params" / "paper.yaml"))
    values = merge(paper, paper_on_little(SOURCES, 2.0))
    shipped = str(ROOT / "ucr" / "weights")
    for options in values["methods"].values():
        options["needs"] = options["needs"].replace("ucr/weights", shipped)
    Path("params.yaml").write_text(yaml.safe_dump(values))
    Path("reports").mkdir()
    for name in ("ablation.csv", "steps.csv", "published.yaml"):
        shutil.copy(ROOT / "reports" / name, "reports")
    return tmp_path


@pytest.mark.slow
def test_the_papers_setting_runs_for_three_sources(project, monkeypatch):
    for stage in (data, segments, test_sets, latents, references, train_decomposition):
        stage.main()
    skipped = pd.read_csv("segments/skipped.csv")["reason"].str.cat(sep="; ")
    assert "lacks a source" in skipped
    assert "stem file missing" in skipped

    unbroken = contents(MODEL)
    shutil.rmtree(MODEL)
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    kill_when(process, lambda: list(Path("runs").rglob("checkpoint.safetensors")), seconds=300)
    assert not MODEL.exists()
    train_decomposition.main()
    assert differences(unbroken, contents(MODEL)) == []

    for stage in (train_prior, generate, score_generation):
        stage.main()
    values = read_yaml("params.yaml")
    for stage, names in {
        train_supervised: values["supervised"],
        separate: values["methods"],
        score: values["methods"],
        cost: values["methods"],
    }.items():
        for name in names:
            monkeypatch.setattr("sys.argv", ["stage", name])
            stage.main()
    tables.main()
    report.main()

    assert read_json(MODEL / "card.json")["parameters"] > 15e6
    kinds = pd.read_csv("generated/manifest.csv")["kind"].value_counts()
    assert kinds["unconditional"] + kinds["partial"] == 7  # each set of components
    scores = pd.read_csv("reports/tables/separation.csv").query(
        "metric == 'si_sdr' and reference == 'waveform'"
    )
    assert set(scores["source"]) == set(SOURCES)
    counts = scores.groupby("method")[["n", "n_failed"]].first()
    assert set(counts.index) == set(values["methods"])
    for_two = {name for name in values["methods"] if find(name).meta.n_sources == 2}
    assert "hpss" in for_two
    assert (counts["n_failed"] == counts.index.isin(for_two)).all(), counts
    assert (counts["n"] + counts["n_failed"] == 1).all(), counts
    rows = pd.read_csv("scores/hpss/rows.csv")
    assert rows["status"].eq("failed").all()
    assert rows["reason"].str.contains("3").all()
    costs = pd.read_csv("reports/tables/cost.csv").set_index("method")
    assert "3" in costs.loc["hpss", "failed"]
    assert costs.loc["ucr", "train_steps"] == 2
    assert "ucr" in Path("reports/index.html").read_text()

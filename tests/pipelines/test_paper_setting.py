"""The paper's setting at its full sizes on very little data, for three sources, with random EnCodec weights."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from benchmarks.published_scheme import write_encodec
from pipelines import (
    cost,
    data,
    generate,
    latents,
    references,
    score,
    score_generation,
    segments,
    separate,
    tables,
    train_decomposition,
    train_prior,
)
from tests.helpers import PARAMS, ROOT
from ucr.foundation.files import read_json
from ucr.foundation.schema import merge, read_yaml
from ucr.training import decomposition

SOURCES = ["drums", "bass", "piano"]
METHODS = {
    "mixture": {"code": "baselines/mixture.py", "needs": "segments"},
    "codec_oracle": {"code": "baselines/codec_oracle.py", "needs": "latents"},
    "hpss": {"code": "baselines/hpss.py", "needs": "segments"},
    "ucr": {"code": "baselines/ucr.py", "needs": "models/decomposition", "steps": 2},
    "ucr_pretrained": {
        "code": "baselines/ucr_pretrained.py",
        "needs": str(ROOT / "ucr" / "weights"),
        "steps": 1,
    },
}
ONE_STEP = {"optim": {"steps": 1, "batch": 2, "validate_every": 1}}


@pytest.mark.slow
def test_the_papers_setting_runs_for_three_sources(tmp_path, monkeypatch, make_track):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(decomposition, "VALIDATION_CROPS", 2)
    for number, split in enumerate(["train", "validation", "test"], start=1):
        stems = {f"S{i:02d}": (name.title(), 0.1) for i, name in enumerate(SOURCES)}
        make_track(
            tmp_path / "slakh2100_flac_redux" / split / f"Track{number:05d}", stems, 44100, seconds=2.5
        )
    write_encodec(tmp_path / "encodec.safetensors")
    paper = merge(read_yaml(PARAMS), read_yaml(ROOT / "params" / "paper.yaml"))
    small = {
        "sources": SOURCES,
        "segments": {"seconds": 2.0},
        "codec": {"weights": "encodec.safetensors"},
        "decomposition": ONE_STEP,
        "prior": ONE_STEP,
        "generation": {"count": 1, "songs": 1, "prior_steps": 2, "steps": 2},
        "methods": METHODS,
    }
    Path("params.yaml").write_text(yaml.safe_dump(merge(paper, small)))
    for stage in (data, segments, latents, references, train_decomposition, train_prior):
        stage.main()
    for stage in (generate, score_generation):
        stage.main()
    for method in METHODS:
        monkeypatch.setattr("sys.argv", ["stage", method])
        for stage in (separate, score, cost):
            stage.main()
    tables.main()

    assert read_json("models/decomposition/card.json")["parameters"] > 15e6
    kinds = pd.read_csv("generated/manifest.csv")["kind"].value_counts()
    assert kinds["unconditional"] + kinds["partial"] == 7  # each set of components
    scores = pd.read_csv("reports/tables/separation.csv").query(
        "metric == 'si_sdr' and reference == 'waveform'"
    )
    assert set(scores["source"]) == set(SOURCES)
    counts = scores.groupby("method")[["n", "n_failed"]].first()
    assert counts.loc["hpss"].tolist() == [0, 1]
    assert (counts.drop("hpss")["n"] == 1).all()
    rows = pd.read_csv("scores/hpss/rows.csv")
    assert rows["status"].eq("failed").all()
    assert rows["reason"].str.contains("3").all()
    costs = pd.read_csv("reports/tables/cost.csv").set_index("method")
    assert "3" in costs.loc["hpss", "failed"]
    assert costs.loc["ucr", "train_steps"] == 1

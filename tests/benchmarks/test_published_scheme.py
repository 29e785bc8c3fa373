"""`benchmarks/against_scheme.py` in a tiny form: what it compares must be the same thing done in two ways."""

from __future__ import annotations

import pytest
import torch

from benchmarks import against_scheme, published_scheme
from ucr.foundation.schema import merge
from ucr.model.decomposition import DecompositionModel

TINY = {"decomposition": {"encoder": {"channels": [16, 1]}, "denoiser": {"channels": [16, 16, 16, 32]}}}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    params = against_scheme.setting("paper.yaml", TINY).decomposition
    return DecompositionModel(3, 16, 1.0, params).eval()


def test_both_separations_are_one(model):
    mixtures = torch.randn(2, 16, 64)
    wanted = published_scheme.separate(model, None, mixtures, 3)
    torch.testing.assert_close(model.separate(mixtures, 3), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_rows_compare_the_same_work(tmp_path, monkeypatch):
    full = against_scheme.setting
    monkeypatch.setattr(against_scheme, "BATCH", 2)
    monkeypatch.setattr(
        against_scheme, "setting", lambda file, own: full(file, merge(TINY, own) if file else own)
    )
    monkeypatch.chdir(tmp_path)
    project, wide = against_scheme.make_projects(tmp_path, {"train": 1, "validation": 1, "test": 1})
    rows = [
        *against_scheme.training_rows(wide, 2, 1),
        *against_scheme.separation_rows(project, 2, 3, 1),
        against_scheme.network_row(wide, 2, 2),
        against_scheme.preprocessing_row(project, 1, "", None),
    ]
    step, loss, separation, score, network, preprocessing = rows
    assert loss["ours"] == pytest.approx(loss["published"], rel=0.02)
    assert score["ours"] == pytest.approx(score["published"], abs=1)
    assert score["ratio"] is None
    for row in (step, separation, network, preprocessing):
        assert row["ratio"] == pytest.approx(row["published"] / row["ours"], rel=0.1)
    assert len(list((tmp_path / "default" / "latents").glob("*.lmdb"))) == 3

"""What of a training's estimates ranks schemes."""

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import ablation, criterion


def test_both_sets_of_mixtures_get_every_figure_of_every_training(ablated, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["ablation", "--clips", "clips"])
    ablation.main()
    monkeypatch.setattr("sys.argv", ["criterion", "clips"])
    criterion.main()
    table = pd.read_csv(ablated / "reports" / "criterion.csv")
    assert sorted(zip(table["set"], table["scheme"], strict=True)) == [
        (name, variant) for name in ("clips", "validation") for variant in ("composition alone", "default")
    ]
    assert np.isfinite(table[[*criterion.FIGURES, "si_sdr"]]).all(axis=None)
    assert "smaller" in capsys.readouterr().out


def test_without_models_of_two_schemes_a_sentence_says_what_to_run(ablated, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["ablation", "default", "--clips", "clips"])
    ablation.main()
    monkeypatch.setattr("sys.argv", ["criterion", "clips"])
    with pytest.raises(SystemExit):
        criterion.main()
    assert "run `python -m benchmarks.ablation` or `.seeds` first" in capsys.readouterr().err
    assert not (ablated / "reports" / "criterion.csv").exists()


def test_one_half_chooses_what_follows_the_scores_whatever_its_sign():
    rng = np.random.default_rng(0)
    schemes = pd.DataFrame(rng.random((20, len(criterion.FIGURES))), columns=criterion.FIGURES)
    schemes["si_sdr"] = -schemes["correlation"]
    names, signs = criterion.chosen(schemes)
    assert names == ("correlation",)
    assert signs["correlation"] == -1
    assert criterion.rank_correlation(schemes, names, signs) == pytest.approx(1)


def test_components_of_one_kind_have_no_contrast_and_clicks_beside_a_tone_have():
    magnitudes = torch.full((1, 16, 80), 0.01)
    magnitudes[:, :, ::20] += 1
    magnitudes[:, 8] += 1
    clicks = torch.zeros(1, 16, 80)
    clicks[:, :, ::20] = 1
    halves = torch.full((1, 2, 16, 80), 0.5)
    assert criterion.contrast(halves, magnitudes) == pytest.approx(0, abs=1e-6)
    assert criterion.contrast(torch.stack([clicks, 1 - clicks], dim=1), magnitudes) > 0.5


def test_halves_depend_on_the_name_alone():
    halves = [criterion.half(str(i)) for i in range(200)]
    assert 70 < halves.count("first") < 130
    assert halves == [criterion.half(str(i)) for i in range(200)]

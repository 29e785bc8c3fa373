"""The label-free figures of the study of composition alone."""

import pandas as pd
import pytest
import torch

from benchmarks import composition
from tests.helpers import PARAMS
from ucr.foundation.params import check_params
from ucr.foundation.schema import merge, read_yaml


def test_time_courses_that_are_one_correlate_fully_and_independent_ones_hardly():
    torch.manual_seed(0)
    course, other = torch.rand(2, 1, 2000), torch.rand(2, 1, 2000)
    bands = torch.rand(2, 8, 1)
    assert composition.correlation(bands * course, 3 * bands * course) == pytest.approx(1, abs=1e-4)
    assert composition.correlation(bands * course, bands * other) < 0.1


def test_consensus_knows_no_order_of_the_components():
    torch.manual_seed(0)
    first = torch.rand(3, 1, 8, 20)
    shares, magnitudes = torch.cat([first, 1 - first], dim=1), torch.rand(3, 8, 20)
    assert composition.consensus([shares, shares.flip(1)], magnitudes) == pytest.approx([1, 1])
    strangers = composition.consensus([shares, shares, torch.rand_like(shares)], magnitudes)
    assert strangers[0] > strangers[2]


def test_disjoint_components_overlap_nowhere_and_the_smaller_has_its_share():
    shares = torch.zeros(1, 2, 4, 6)
    shares[:, 0, :1], shares[:, 1, 1:] = 1, 1
    figures = composition.label_free(shares, torch.rand(1, 4, 1).expand(1, 4, 6) + torch.rand(1, 1, 6))
    assert figures["overlap"] == pytest.approx(0, abs=1e-6)
    assert figures["likeness"] == pytest.approx(0, abs=1e-6)
    assert 0 < figures["smaller"] < 0.5


def test_of_three_components_every_pair_counts_and_no_order():
    torch.manual_seed(0)
    shares = torch.rand(2, 3, 8, 20).softmax(1)
    magnitudes = torch.rand(2, 8, 20)
    assert composition.consensus([shares, shares[:, [2, 0, 1]]], magnitudes) == pytest.approx([1, 1])
    figures, turned = (composition.label_free(each, magnitudes) for each in (shares, shares[:, [0, 2, 1]]))
    assert figures == pytest.approx(turned)
    assert figures["smaller"] < 1 / 3


def test_a_task_and_a_neural_codec_change_what_is_trained():
    changes = merge(composition.study("bass+piano", "mel"), composition.changes("2/2+16/8"))
    params = check_params(merge(read_yaml(PARAMS), changes))
    assert (params.sources, params.decomposition.composition) == (["bass", "piano"], "magnitude_sum")
    assert params.decomposition.encoder.latents(2) == [(2, 2), (16, 8)]
    neural = merge(read_yaml(PARAMS), composition.study(None, "encodec_mini"))
    for changes in ({}, composition.changes("1/1+8/8")):
        params = check_params(merge(neural, changes))
        assert (params.codec.name, params.decomposition.composition) == ("encodec_mini", "mean")


@pytest.mark.parametrize("setting", composition.SETTINGS)
def test_every_setting_makes_parameters(setting):
    params = check_params(merge(read_yaml(PARAMS), composition.changes(setting)))
    first = params.decomposition.trainings[0]
    pairs = first.encoder.latents(2)
    assert "+".join(f"{width}/{pool}" for width, pool in pairs) == setting.split()[0]
    assert first.guided == 0


def test_a_setting_says_what_differs_in_both_trainings():
    setting = "1/1+8/8 independence=0.1 optim.steps=20 > second optim.steps=30"
    params = check_params(merge(read_yaml(PARAMS), composition.changes(setting))).decomposition
    first = params.trainings[0]
    assert (first.guided, first.independence, first.optim.steps) == (0, 0.1, 20)
    assert first.encoder.latents(2) == [(1, 1), (8, 8)]
    assert (params.trainings[1].guided, params.independence, params.optim.steps) == (1, 0, 30)
    assert len(set(params.encoder.latents(2))) == 1


def test_settings_are_chosen_before_their_scores_are_shown(capsys):
    rows = [
        {"setting": "1/1+8/8", "smaller": 0.3, "correlation": 0.2, "si_sdr_drums": 1.0, "si_sdr_piano": 3.0},
        {"setting": "1/1+8/4", "smaller": 0.0, "correlation": 0.1, "si_sdr_drums": 9.0, "si_sdr_piano": 9.0},
        {"setting": "hpss", "si_sdr_drums": 5.0, "si_sdr_piano": 4.0},
    ]
    figures, mean = composition.show(pd.DataFrame(rows))
    chosen, scores = capsys.readouterr().out.split("chosen by smaller: 1/1+8/8; by correlation: 1/1+8/4\n")
    assert "si_sdr" not in chosen
    assert "hpss" not in chosen
    assert "hpss" in scores
    assert list(figures.index) == ["1/1+8/4", "1/1+8/8"]
    assert mean["1/1+8/8"] == 2
    composition.show(pd.DataFrame(rows[2:]))
    assert "chosen" not in capsys.readouterr().out

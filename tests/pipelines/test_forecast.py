"""`pipelines/forecast.py`: its arithmetic on the repository's tables, and its tables against PyTorch's counter."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml

from eval.cost import multiply_accumulates
from pipelines import forecast as module
from pipelines.forecast import Rates, duration, forecast, trainings
from tests.helpers import PARAMS, ROOT
from ucr.foundation.params import check_params
from ucr.foundation.schema import merge, read_yaml
from ucr.training.decomposition import make_setting

LATENT = {"fingerprint": "", "channels": 64, "frame_rate": 75.0, "mean": 0.0, "std": 1.0}


def setting(file: str = "", **changes):
    values = yaml.safe_load(PARAMS.read_text())
    return check_params(merge(merge(values, read_yaml(ROOT / "params" / file)) if file else values, changes))


@pytest.fixture
def rates(tmp_path, monkeypatch):
    """Rates of round numbers, in place of the repository's."""
    table = pd.read_csv(module.RATES)
    network = table["gflop"].notna()
    table.loc[network & table["seconds"].notna(), ["batch", "seconds"]] = [
        2,
        6.0,
    ]  # a crop forward in a second
    table.loc[~network, "seconds"] = 0.01
    table.to_csv(tmp_path / "rates.csv", index=False)
    monkeypatch.setattr(module, "RATES", tmp_path / "rates.csv")


def test_the_paper_s_setting_takes_its_epochs_at_the_measured_step():
    # 1,500 tracks of 248.57 s in 35 segments of 7 s each, in batches of 64, 500 times
    steps = 821 * 500
    found = {on: forecast(setting("paper.yaml"), on).seconds["train_decomposition"] for on in ("cpu", "cuda")}
    assert found["cpu"] == pytest.approx(steps * 0.4428 * 64 / 4)
    assert found["cuda"] == pytest.approx(steps * 0.0926)


def test_known_answers(rates):
    params = setting(
        data={
            "tracks": {"train": 10, "validation": 2, "test": 5},
            "seconds": {"train": 29.0, "validation": 15.0, "test": 14.0},
        },
        tests={},
        methods={"mixture": {"code": "baselines/mixture.py", "needs": "segments"}},
        unsupervised={},
        supervised={},
        variants={},
    )
    found = forecast(params, "cpu").seconds
    heard, learned, tested = 10 * 29 + 2 * 15 + 5 * 14, (40 + 4) * 7, 10 * 7
    assert found["data"] == pytest.approx(0.01 * heard)
    optim = params.decomposition.optim
    crops = optim.steps * optim.batch * optim.crop / 256
    assert found["train_decomposition"] == pytest.approx(3 * crops + 0.01 * learned)
    assert found["score"] == pytest.approx(0.01 * 2 * tested)
    assert found["starting the stages"] == pytest.approx(0.01 * (8 + 2 + 3))
    samples = tested * (1 + 4 + 2) + 3 * 7 * (params.generation.count + params.generation.songs * 7)
    stores = (learned + tested) * (2 * 24000 * 2 + 64 * 75 * 4)
    assert forecast(params, "cpu").disk == pytest.approx(heard * 183_000 + stores + samples * 24000 * 4)


def test_twice_the_steps_the_batch_or_the_crop_is_twice_the_time(rates):
    def took(**optim):
        return forecast(setting(prior={"optim": optim}), "cpu").seconds["train_prior"]

    once = took(steps=100, batch=4, crop=128)
    for more in ({"steps": 200}, {"batch": 8}, {"crop": 256}):
        assert took(**({"steps": 100, "batch": 4, "crop": 128} | more)) == pytest.approx(2 * once)


def test_songs_that_must_be_read_first_have_no_forecast():
    assert forecast(setting(data={"name": "musdb18", "path": "there"}), "cpu") is None


def test_tracks_that_are_there_are_counted(tmp_path):
    whole = forecast(setting("paper.yaml"), "cpu").seconds["segments"]
    for number in range(21):
        (tmp_path / "train" / f"Track{number:05d}").mkdir(parents=True)
    few = forecast(setting("paper.yaml", data={"path": str(tmp_path)}), "cpu")
    assert few.seconds["segments"] == pytest.approx(whole * 21 / 2100)
    assert few.seconds["score"] == 0


def test_the_table_s_operations_are_those_that_pytorch_counts():
    import torch

    params = setting()
    training = next(iter(trainings(params)))
    model = make_setting(params, LATENT).build().eval()
    crop = torch.randn(1, 64, training.optim.crop)
    gflop, weights = Rates("cpu").network(training)
    assert 2 * multiply_accumulates(lambda: model.separate(crop, 1)) / 1e9 == pytest.approx(gflop, rel=1e-4)
    assert sum(each.numel() for each in model.parameters()) == pytest.approx(weights)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(90, "2 minutes"), (9000, "2.5 hours"), (86400 * 3.2, "3.2 days"), (1e9, "11,574 days")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text

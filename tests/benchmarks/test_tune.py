"""`benchmarks/tune.py`: what is chosen, what is never scored, and a search on segments made here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from baselines._shared.supervised import Supervised
from benchmarks import tune
from tests.baselines.helpers import pretend_music
from tests.helpers import PARAMS
from ucr.data.segments import Segment
from ucr.foundation.params import load_params
from ucr.foundation.schema import read_yaml
from ucr.methods.registry import NOT_OPTIONS, find, make_method


class Store(list):
    sources, sample_rate, fingerprint = ("drums", "bass"), 24000, "made here"

    def crop(self, item, source, window):
        return self[item].sources[source, window]


@pytest.fixture
def segments(monkeypatch):
    true = [pretend_music(2, 24000 + 500 * i)[:, -24000:] for i in range(2)]
    store = Store(Segment(f"T{i}_0", f"T{i}", 0, "validation", s.mean(axis=0), s) for i, s in enumerate(true))
    monkeypatch.setattr(tune, "SegmentStore", lambda *_: store)
    monkeypatch.setattr(tune, "in_workers", lambda call, arguments: (call(*each) for each in arguments))
    return store


def test_every_method_has_eight_settings_that_it_takes():
    for name, grid in read_yaml(tune.GRIDS).items():
        assert len(grid) == 8
        assert len({json.dumps(each) for each in grid}) == 8
        for settings in grid:
            if issubclass(find(name).method, Supervised):
                sizes = tune.searched(name, settings).supervised[name].network
                find(name).method.make_network(2, 24000, **sizes)
            else:
                make_method(name, settings)


def test_what_a_supervised_search_varies_every_setting_says():
    for name, grid in read_yaml(tune.GRIDS).items():
        if issubclass(find(name).method, Supervised):
            keys = [{(part, key) for part in each for key in each[part]} for each in grid]
            assert all(each == keys[0] for each in keys)


def test_the_run_uses_the_chosen_settings():
    params = load_params(tune.GRIDS.resolve().parents[1] / "params.yaml")
    table = pd.read_csv(tune.TABLE)
    for _, row in table[table.chosen_by == tune.TRUE_SOURCES].iterrows():
        settings = json.loads(row.settings)
        if row.method in params.supervised:
            section = params.supervised[row.method].model_dump()
            del settings["optim"]["steps"]  # of the search
            assert {
                part: {key: section[part][key] for key in settings[part]} for part in settings
            } == settings
        else:
            options = {
                key: value for key, value in params.methods[row.method].items() if key not in NOT_OPTIONS
            }
            run, chosen = (make_method(row.method, each)[1] for each in (options, settings))
            assert {key: vars(run)[key] for key in settings} == {key: vars(chosen)[key] for key in settings}


def test_the_highest_mean_is_chosen_and_silence_never():
    scores = {"a": [1.0, 3.0, np.nan], "b": [2.0, 2.0, 1.0]}
    rows = [
        {"method": name, "settings": str(i), "si_sdr": s}
        for name in scores
        for i, s in enumerate(scores[name])
    ]
    table = tune.with_choice(rows)
    chosen = table[table.chosen_by == tune.TRUE_SOURCES]
    assert list(zip(chosen.method, chosen.settings, strict=True)) == [("a", "1"), ("b", "0")]


def test_a_random_start_counts_by_the_mean_of_three_seeds(segments):
    (row,) = list(tune.search("nmf", [{"components": 4, "iterations": 5}]))
    by_seed = [tune.score("nmf", {"components": 4, "iterations": 5, "seed": seed}) for seed in (0, 1, 2)]
    assert row["seeds"] == 3
    assert row["si_sdr"] == pytest.approx(np.mean([list(each.values()) for each in by_seed]), abs=1e-3)
    assert row["si_sdr_sd_of_seeds"] > 0


def test_a_supervised_network_is_trained_with_the_setting_for_its_steps(segments, tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "TABLE", tmp_path / "tune.csv")
    monkeypatch.chdir(tmp_path)
    values = read_yaml(PARAMS)
    tiny = {"channels": 4, "depth": 2, "lstm_layers": 1, "resample": False}
    optim = values["supervised"]["demucs"]["optim"] | {
        "steps": 6,
        "validate_every": 1,
        "crop": 8000,
        "batch": 2,
    }
    values["supervised"] = {"demucs": {"network": tiny, "optim": optim}}
    Path("params.yaml").write_text(yaml.safe_dump(values))
    trainings = []
    monkeypatch.setattr(
        tune, "train", lambda job, device: trainings.append((job.steps, job.optim.lr, job.seed))
    )
    grid = [{"optim": {"lr": 1e-3}}, {"optim": {"lr": 2e-3, "steps": 4}}]
    rows = list(tune.search("demucs", grid))
    assert trainings == [(steps, lr, seed) for steps, lr in ((6, 1e-3), (4, 2e-3)) for seed in tune.SEEDS]
    assert [row["seeds"] for row in rows] == [3, 3]
    assert all(row["si_sdr_sd_of_seeds"] > 0 for row in rows)


def test_a_search_goes_on_where_it_was_killed(segments, tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "TABLE", tmp_path / "tune.csv")
    grid = [{"kernel": 17}, {"kernel": 9}]
    whole = tune.tune({"hpss": grid}, load_params(PARAMS))

    def killed(*arguments):
        yield tune.score(*arguments[1][0])
        raise KeyboardInterrupt

    (tmp_path / "tune.csv").unlink()
    in_workers = tune.in_workers
    monkeypatch.setattr(tune, "in_workers", killed)
    with pytest.raises(KeyboardInterrupt):
        tune.tune({"hpss": grid}, load_params(PARAMS))
    assert tune.TRUE_SOURCES not in set(pd.read_csv(tmp_path / "tune.csv").chosen_by)
    monkeypatch.setattr(tune, "in_workers", in_workers)
    calls = []
    score = tune.score
    monkeypatch.setattr(tune, "score", lambda *call: calls.append(call) or score(*call))
    pd.testing.assert_frame_equal(tune.tune({"hpss": grid}, load_params(PARAMS)), whole)
    assert calls == [("hpss", grid[1])]


def test_unsupervised_methods_are_listed_and_not_scored(segments, tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "TABLE", tmp_path / "tune.csv")
    grid = [{"kernel": 17}, {"kernel": 9}]
    table = tune.tune({"hpss": grid}, load_params(PARAMS)).set_index("method")
    assert table.chosen_by["ucr"] == tune.LABEL_FREE
    assert pd.isna(table.si_sdr["ucr"])
    assert list(table.loc["hpss", "from"]) == ["paper", "search"]
    monkeypatch.setattr(tune, "score", None)  # what the table has is not measured again
    assert len(tune.tune({"hpss": grid}, load_params(PARAMS))) == len(table)

import pandas as pd
import pytest

from benchmarks import seeds
from tests.helpers import ROOT
from ucr.foundation.params import check_params, load_params
from ucr.foundation.schema import merge, read_yaml
from ucr.methods.contract import Baseline

PARAMS = ROOT / "tests/params.yaml"


@pytest.fixture
def params():
    return load_params(PARAMS)


def test_every_training_of_the_run_is_one_method_and_has_a_stage(params):
    methods = seeds.trained_methods(params)
    trained = {*params.supervised, *params.unsupervised, *params.variants, "decomposition"}
    assert sorted(methods.values()) == sorted(trained)
    assert "ucr_masked" not in methods  # decodes what `ucr` trained
    assert seeds.stage_of("conv_tasnet", params) == ("train_supervised", "conv_tasnet")


@pytest.mark.parametrize("share", [0.5, 4])
def test_a_part_or_a_multiple_of_a_training_has_that_many_of_its_steps(share, params):
    values = read_yaml(PARAMS)
    for weights in seeds.trained_methods(params).values():
        changes = seeds.scaled(weights, share, params)
        other = check_params(merge(values, changes))
        (section,) = changes
        if section in ("supervised", "unsupervised"):
            setting, whole = getattr(other, section)[weights], getattr(params, section)[weights]
            assert setting.optim.steps == whole.optim.steps * share
            assert setting.model_copy(update={"optim": whole.optim}) == whole
        elif section == "variants":
            whole = {"optim": {"steps": params.decomposition.optim.steps}} | params.variants[weights]
            assert other.variants[weights]["optim"]["steps"] == whole["optim"]["steps"] * share
        else:
            assert other.decomposition.optim.steps == params.decomposition.optim.steps * share


def test_the_runs_own_seed_is_not_trained_again_and_what_the_table_has_is_not_measured_again(
    params, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    stages, loaded = [], []

    class Method(Baseline):
        def load(self, folder, sources):
            loaded.append(folder)

        def separate(self, mixture, sample_rate, n_sources):
            raise AssertionError("mean_si_scores stands in")

    monkeypatch.setattr(seeds, "run_stage", lambda *stage: stages.append(stage))
    monkeypatch.setattr(
        seeds, "write_params", lambda folder, changes: folder.mkdir(parents=True, exist_ok=True)
    )
    monkeypatch.setattr(seeds, "make_method", lambda name, options: (None, Method()))
    monkeypatch.setattr(seeds, "SegmentStore", lambda *place: None)
    monkeypatch.setattr(
        seeds, "mean_si_scores", lambda separate, store: ({"si_sdr": {"drums": 1.0, "bass": 2.0}}, 0.0)
    )
    card = {"last": {"step": 3}, "ended_by": "steps"}
    monkeypatch.setattr(seeds, "read_json", lambda path: card)
    for _ in range(2):
        table = seeds.add_rows({"ucr": "decomposition"}, [(0, 1.0), (1, 1.0), (0, 0.5)], params)
    assert [stage[0] for stage in stages] == ["train_decomposition"] * 2
    assert loaded[0] == seeds.MODELS / "decomposition"
    assert loaded[1] != loaded[2]
    assert table.share.tolist() == [1.0, 1.0, 0.5]
    pd.testing.assert_frame_equal(table, pd.read_csv(seeds.TABLE), check_dtype=False)


def test_blind_methods_are_started_with_every_seed_and_trained_with_none(params, tmp_path, monkeypatch):
    assert {"nmf", "ica", "pca", "grouping", "grouping_adapted"} & set(params.methods) == set(
        seeds.seeded_methods(params)
    )
    monkeypatch.chdir(tmp_path)
    starts = []

    def score(separate, store):
        starts.append(separate.__self__.seed)
        return {"si_sdr": {"drums": 1.0, "bass": 2.0}}, 0.0

    monkeypatch.setattr(seeds, "SegmentStore", lambda *place: None)
    monkeypatch.setattr(seeds, "mean_si_scores", score)
    table = seeds.add_rows({"nmf": ""}, [(0, 1.0), (1, 1.0), (0, 0.25)], params)
    assert starts == [0, 1]
    assert table["seed"].tolist() == [0, 1]
    assert pd.read_csv(seeds.TABLE)["si_sdr_bass"].tolist() == [2.0, 2.0]


def test_spread_is_of_whole_trainings():
    table = pd.DataFrame(
        {
            "method": ["a", "a", "a", "b"],
            "seed": [0, 1, 0, 0],
            "share": [1.0, 1.0, 0.5, 1.0],
            "si_sdr_drums": [1.0, 3.0, -9.0, 5.0],
        }
    )
    found = seeds.spread(table)
    assert found.loc["a", "si_sdr_drums"] == 2
    assert found.loc["a", "si_sdr_drums_sd"] == pytest.approx(2**0.5)
    assert found["seeds"].to_dict() == {"a": 2, "b": 1}


def test_the_time_of_a_part_is_a_part_of_the_runs_own_and_all_of_its_preparation(monkeypatch):
    card = {"last": {"step": 800, "seconds": 200.0}, "preparation_seconds": 50.0}
    monkeypatch.setattr(seeds, "read_json", lambda path: card)
    assert seeds.seconds_of("decomposition", pd.Series([800, 200])).tolist() == [250.0, 100.0]


@pytest.mark.parametrize("share", ["0", "-2"])
def test_a_share_of_nothing_is_one_sentence(share, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["seeds", "--shares", share])
    with pytest.raises(SystemExit) as ended:
        seeds.main()
    assert ended.value.code == 1
    assert f"--shares: {share} leaves no steps" in capsys.readouterr().err

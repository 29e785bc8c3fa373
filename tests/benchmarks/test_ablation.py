from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from benchmarks import ablation, clips
from ucr.foundation.errors import UserError
from ucr.foundation.schema import read_yaml


@dataclass
class Segment:
    """Stands for a segment: its sources are latents already."""

    sources: np.ndarray


class Codec:
    """Stands for a codec: gives latents as they come."""

    def encode(self, audio):
        return audio


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_true_sources_in_the_groupings_place_have_the_mixtures_scale(power):
    sources = np.random.default_rng(0).random((2, 8, 20), np.float32)
    (labels,) = ablation.true_labels([Segment(sources)], Codec(), power).astype(np.float64)
    # The mixture is the mean of the sources: so each counts half in it.
    np.testing.assert_allclose(labels ** (1 / power), sources ** (1 / power) / 2, atol=2e-3)


def test_unknown_guidance_is_refused():
    with pytest.raises(UserError, match="guidance: 'source' is not sources"):
        ablation.run("x", {"guidance": "source"}, 0)


def test_songs_of_other_variants_are_made_apart(tmp_path, monkeypatch):
    made = []
    monkeypatch.chdir(tmp_path)

    def run_stage(stage, project):
        made.append(stage)
        (project / ablation.SEGMENTS).mkdir(exist_ok=True)

    monkeypatch.setattr(ablation, "run_stage", run_stage)
    few, pair = {"data": {"tracks": {"train": 20}}}, {"sources": ["bass", "piano"]}
    folders = [ablation.segments_folder(changes) for changes in ({}, few, pair, few, few | pair)]
    assert folders[0] == ablation.SEGMENTS
    assert folders[1] == folders[3]
    assert len(set(folders)) == 4
    assert made == ["data", "segments"] * 3
    assert read_yaml(folders[2].parent / "params.yaml")["sources"] == ["bass", "piano"]


def test_trainings_are_measured_on_clips_too_and_only_those_that_lack_it_repeated(
    ablated, monkeypatch, capsys
):
    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["ablation", *arguments])
        ablation.main()
        return pd.read_csv(ablated / "reports" / "ablation.csv").set_index("run")

    assert "si_sdr_clips" not in call("default")
    first = call("default", "composition alone", "--clips", "clips")
    assert list(first["n_clips"]) == [4, 4]
    method = ablation.ucr.Method(steps=1)
    method.load(ablated / "runs" / "ablation-default-0", ["drums", "bass"])
    params = ablation.check_params(read_yaml("params.yaml"))
    rows = clips.measure("it", method, clips.read_clips(ablated / "clips", params), params)
    mean = np.mean([row["si_sdr"] for row in rows])
    assert first.loc["default-0", "si_sdr_clips"] == pytest.approx(mean, abs=2e-3)
    monkeypatch.setattr(ablation, "run", lambda *_: pytest.fail("trained again"))
    assert call("default", "--clips", "clips").equals(first)


def test_a_folder_without_clips_ends_before_any_training(ablated, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["ablation", "default", "--clips", "clips/a"])
    with pytest.raises(SystemExit):
        ablation.main()
    assert "clips/a holds no folder: name one that holds a folder per clip" in capsys.readouterr().err
    assert not (ablated / "runs").exists() or not list((ablated / "runs").iterdir())

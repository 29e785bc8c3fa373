from dataclasses import dataclass

import numpy as np
import pytest

from benchmarks import ablation
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

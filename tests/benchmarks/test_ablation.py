import numpy as np
import pytest

from benchmarks import ablation
from ucr.foundation.errors import UserError
from ucr.foundation.schema import read_yaml


class Latents:
    """Stands for a latent store: the two sources of one segment."""

    def __len__(self):
        return 1

    def sources(self, index):
        return np.random.default_rng(0).random((2, 8, 20), np.float32)


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_true_sources_in_the_groupings_place_have_the_mixtures_scale(power):
    (groups,) = ablation.true_groups(Latents(), power).astype(np.float64)
    sources = Latents().sources(0).astype(np.float64)
    # The mixture is the mean of the sources: so each counts half in it.
    np.testing.assert_allclose(groups ** (1 / power), sources ** (1 / power) / 2, atol=2e-3)


def test_unknown_guidance_is_refused():
    with pytest.raises(UserError, match="guidance: 'source' is not sources"):
        ablation.run("x", {"guidance": "source"}, 0)


def test_songs_of_other_variants_are_made_apart(tmp_path, monkeypatch):
    made = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ablation.data, "main", lambda: made.append("data"))
    monkeypatch.setattr(ablation.segments, "main", lambda: ablation.SEGMENTS.mkdir())
    few, pair = {"data": {"tracks": {"train": 20}}}, {"sources": ["bass", "piano"]}
    folders = [ablation.segments_folder(changes) for changes in ({}, few, pair, few, few | pair)]
    assert folders[0] == ablation.SEGMENTS
    assert folders[1] == folders[3]
    assert len(set(folders)) == 4
    assert len(made) == 3
    assert read_yaml(folders[2].parent / "params.yaml")["sources"] == ["bass", "piano"]

import numpy as np
import pytest
import torch

from ucr.foundation.params import GroupingParams
from ucr.signal.nmf import factorise, random_factors
from ucr.training.grouping import cluster, group, name_components, percussive_share

HOW = GroupingParams(within="song", spectral_centroid=True)
SONGS = ["a", "a", "b"]


@pytest.fixture
def mixtures():
    """Three mixtures of a tone that goes on and clicks that recur: float32[3, bands, frames]."""
    latents = np.full((3, 64, 200), 1e-3, np.float32)
    latents[:, 20:23] = 1.0
    latents[:, 30:, 10::40] = 1.0
    return latents


def test_a_click_is_percussive_and_a_tone_sustained(mixtures):
    percussive, sustained = group(mixtures, SONGS, 0.5, 2, percussive=True, how=HOW)[1].astype(np.float32)
    assert percussive[50, 90] > 0.9 > 0.4 > sustained[50, 90]
    assert sustained[21, 70] > 0.9 > 0.4 > percussive[21, 70]


def test_the_median_filters_alone_tell_them_apart(mixtures):
    share = percussive_share(mixtures[0])
    assert share[50, 90] > 0.99
    assert share[21, 70] < 0.01


def test_both_cues_are_the_mean_of_the_two(mixtures):
    shares = {
        cues: group(mixtures, SONGS, 1.0, 2, percussive=True, how=GroupingParams(cues=cues)).astype(
            np.float32
        )
        for cues in ("filters", "clusters", "both")
    }
    np.testing.assert_allclose(shares["both"], (shares["filters"] + shares["clusters"]) / 2, atol=2e-3)
    np.testing.assert_allclose(
        shares["filters"][0, 0], percussive_share(mixtures[0]) * mixtures[0], atol=2e-3
    )
    assert np.abs(shares["filters"] - shares["clusters"]).max() > 0.05


@pytest.mark.parametrize("n_components", [2, 3, 4])
@pytest.mark.parametrize("percussive", [True, False])
def test_magnitudes_add_up_to_the_mixture(n_components, percussive):
    mixtures = np.random.default_rng(0).random((2, 64, 120), np.float32)
    groups = group(mixtures, SONGS[:2], 0.5, n_components, percussive, HOW).astype(np.float32)
    assert groups.shape == (2, n_components, 64, 120)
    np.testing.assert_allclose((groups**2).sum(axis=1), mixtures**2, atol=3e-3)


def test_low_comes_before_high_in_every_song(mixtures):
    mixtures[:] = 1e-3
    mixtures[:, 8, :120] = mixtures[:, 40, 80:] = 1.0
    mixtures[2, [8, 40]], mixtures[2, [20, 60]] = 1e-3, mixtures[1, [8, 40]]  # another song's are all higher
    low, high = (
        group(mixtures, SONGS, 0.5, 2, percussive=False, how=HOW).astype(np.float32).transpose(1, 0, 2, 3)
    )
    for song, heights in ((0, (8, 40)), (2, (20, 60))):
        assert low[song, heights[0]].sum() > 2 * high[song, heights[0]].sum()
        assert high[song, heights[1]].sum() > 2 * low[song, heights[1]].sum()


@pytest.mark.parametrize("within", ["song", "split"])
def test_the_percussive_cluster_comes_first_then_the_others_from_low_to_high(within):
    rng = np.random.default_rng(0)
    kinds = np.repeat([0, 1, 2], 40)  # percussive, low, high
    songs = np.tile(["a", "b"], 60)
    higher = np.where(songs == "b", 18.0, 0.0)  # song b's low ones are nearly as high as song a's high ones
    centroid = np.array([30.0, 5.0, 25.0])[kinds] + higher + rng.normal(0, 0.5, 120)
    labels = cluster(
        timbre=np.zeros((120, 12)),
        centroid=centroid,
        percussiveness=np.where(kinds == 0, 0.9, 0.1) + rng.normal(0, 0.02, 120),
        song=songs,
        n_components=3,
        how=GroupingParams(within=within, spectral_centroid=True),
        seed=0,
    )
    np.testing.assert_array_equal(labels == 0, kinds == 0)
    assert (labels == kinds).all() == (within == "song")


@pytest.mark.parametrize("by_centroid", [True, False])
def test_the_spectral_centroid_decides_only_where_it_is_asked_for(by_centroid):
    rng = np.random.default_rng(0)
    sounds, places = np.arange(80) % 2, np.repeat([0, 1], 40)
    labels = cluster(
        timbre=np.column_stack([sounds + rng.normal(0, 0.2, 80), *np.zeros((11, 80))]),
        centroid=5.0 + 20.0 * places + sounds,
        percussiveness=None,
        song=np.full(80, "a"),
        n_components=2,
        how=GroupingParams(spectral_centroid=by_centroid),
        seed=0,
    )
    np.testing.assert_array_equal(labels, places if by_centroid else sounds)


def test_silence_stays_silent(mixtures):
    mixtures[1] = 0
    assert not group(mixtures, SONGS, 0.5, 2, percussive=True, how=HOW)[1].any()


def test_the_same_seed_gives_the_same_groups(mixtures):
    np.testing.assert_array_equal(
        group(mixtures, SONGS, 0.5, 2, True, HOW, seed=3), group(mixtures, SONGS, 0.5, 2, True, HOW, seed=3)
    )


def test_factors_of_a_low_rank_matrix_rebuild_it():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.rand(1, 64, 3, generator=generator) @ torch.rand(1, 3, 100, generator=generator)
    spectra, activations = factorise(matrix, *random_factors(matrix, 3, generator), 500)
    assert (spectra >= 0).all()
    assert (activations >= 0).all()
    torch.testing.assert_close(spectra @ activations, matrix, atol=0.03, rtol=0.03)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_components_are_named_by_how_they_sound(order):
    clicks, low, high = np.full((3, 2, 64, 200), 1e-3, np.float32)
    clicks[:, 5:, 10::40] = 1.0
    low[:, 8] = 1.0
    high[:, 30] = 1.0
    sounds = {"drums": clicks, "bass": low, "piano": high}
    names = [list(sounds)[place] for place in order]
    components = np.stack([sounds[name] for name in names], axis=1)
    assert name_components(["drums", "bass", "piano"], components) == names
    assert name_components(["bass", "drums", "guitar"], components)[names.index("piano")] == "guitar"
    assert name_components(["drums", "piano", "guitar"], components) is None

import numpy as np
import pytest
import torch

from eval.scores import si_scores
from ucr.signal import adaptation
from ucr.signal.adaptation import adapted, bands


@pytest.fixture(scope="module")
def songs():
    """Notes and a drum, float32[3, 2, n_samples], and estimates between which a part has leaked at random."""
    rng = np.random.default_rng(0)
    seconds = np.arange(4 * 24000) / 24000
    drum = rng.normal(size=len(seconds)) * np.exp(-20 * ((seconds * 2) % 1))
    leak = 0.3 * rng.uniform(size=16).repeat(len(seconds) // 16)
    sources = []
    for pitch in (55, 82, 110):
        hertz = np.where(seconds % 2 < 1, pitch, 1.5 * pitch)
        sources.append([sum(np.sin(2 * np.pi * k * hertz * seconds) / k for k in range(1, 9)), drum])
    true = 0.1 * np.array(sources, dtype=np.float32)
    return true, ((1 - leak) * true + leak * true[:, ::-1]).astype(np.float32)


def test_a_batch_gives_what_its_songs_give_by_themselves(songs):
    true, estimates = songs
    mixtures = true.mean(axis=1)
    together = adapted(mixtures, estimates)
    for i in range(len(true)):
        alone = adapted(mixtures[i : i + 1], estimates[i : i + 1])[0]
        np.testing.assert_allclose(together[i], alone, atol=1e-5 * np.abs(mixtures).max())


def test_bands_give_what_all_bins_give_and_no_worse(songs, monkeypatch):
    true, estimates = songs
    mixtures = true.mean(axis=1)
    by_bands = adapted(mixtures, estimates)
    monkeypatch.setattr(adaptation, "bands", torch.arange)
    by_bins = adapted(mixtures, estimates)
    assert ((by_bands - by_bins) ** 2).sum() < 1e-3 * (by_bins**2).sum()
    scores = [si_scores(true, found, mixtures)["si_sdr"] for found in (estimates, by_bins, by_bands)]
    assert (scores[1] - scores[0]).mean() > 2
    assert (scores[2] - scores[1]).mean() > -0.05


def test_a_silent_song_stays_silent(songs):
    silence = np.zeros((1, 24000), dtype=np.float32)
    assert not adapted(silence, np.zeros((1, 3, 24000), dtype=np.float32)).any()


def test_low_bins_have_bands_of_their_own():
    band = bands(2049)
    assert band[:100].tolist() == list(range(100))
    assert set(band.diff().tolist()) == {0, 1}
    assert len(band) == 2049
    assert int(band[-1]) < 2049 / 4

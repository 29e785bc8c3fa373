from pathlib import Path

import librosa
import numpy as np
import pytest

from baselines import ucr
from eval.scores import si_scores
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_audio
from ucr.signal.adaptation import adapted
from ucr.signal.masks import masked

PUBLISHED = Path(__file__).resolve().parents[2] / ".." / "shared" / "published" / "drums+bass"


def test_masked_estimates_add_up_to_the_mixture(pretend_music):
    sources = pretend_music(2, 24000)
    mixture = sources.mean(axis=0)
    estimates = masked(mixture, sources + 0.1 * sources[::-1])
    assert np.abs(estimates.mean(axis=0) - mixture).max() < 10 ** (-90 / 20) * np.abs(mixture).max()


def test_the_scale_of_the_estimates_does_not_matter(pretend_music):
    sources = pretend_music(2, 24000)
    mixture = sources.mean(axis=0)
    louder = sources * np.array([[10.0], [0.2]], dtype=np.float32)
    np.testing.assert_allclose(masked(mixture, sources), masked(mixture, louder), atol=1e-4)


def test_the_song_s_own_sounds_improve_estimates():
    """Two notes that come again, and a drum: what leaked at random between them is given back."""
    rng = np.random.default_rng(0)
    seconds = np.arange(4 * 24000) / 24000
    beats = (seconds * 2) % 1
    notes = np.where(seconds % 2 < 1, np.sin(2 * np.pi * 110 * seconds), np.sin(2 * np.pi * 165 * seconds))
    drum = rng.normal(size=len(seconds)) * np.exp(-20 * beats)
    sources = 0.1 * np.stack([notes, drum]).astype(np.float32)
    mixture = sources.mean(axis=0)
    leak = 0.3 * rng.uniform(size=16).repeat(len(seconds) // 16).astype(np.float32)
    estimates = (1 - leak) * sources + leak * sources[::-1]
    after = adapted(mixture[None], estimates[None], spectra=2)[0]
    assert np.abs(after.mean(axis=0) - mixture).max() < 10 ** (-90 / 20) * np.abs(mixture).max()
    gain = (
        si_scores(sources[None], after[None], mixture[None])["si_sdr"]
        - si_scores(sources[None], estimates[None], mixture[None])["si_sdr"]
    )
    assert gain.min() > 2


def test_masking_gives_estimates_of_wrong_phases_those_of_the_mixture(pretend_music):
    """Right magnitudes and wrong phases: what a decoder makes, and what the authors' published estimates are like."""
    sources = pretend_music(2, 2 * 24000)
    spectra = librosa.stft(sources)
    turned = np.exp(2j * np.pi * np.random.default_rng(0).uniform(size=spectra.shape))
    estimates = librosa.istft(spectra * turned, length=sources.shape[1])
    mixture = sources.mean(axis=0)
    before, after = (
        si_scores(sources[None], found[None], mixture[None])["si_sdr"]
        for found in (estimates, masked(mixture, estimates))
    )
    assert before.max() < 0
    assert after.min() > 5


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the authors' published clips are not here")
def test_masking_is_worth_five_db_on_the_authors_own_estimates():
    import fast_bss_eval

    known = {"1": ([11.40, 10.19], [18.5, 17.6]), "2": ([15.32, 14.38], [23.0, 21.3])}
    gains = []
    for clip, (si_sdr, si_sir) in known.items():
        sources, estimates = (
            np.stack([read_audio(PUBLISHED / clip / f"{name}{end}.wav")[0][0] for name in ("drums", "bass")])
            for end in ("", "_estimate")
        )
        after = masked(sources.mean(axis=0), estimates)
        scores, before = (
            fast_bss_eval.si_bss_eval_sources(sources.astype(float), found.astype(float))
            for found in (after, estimates)
        )
        np.testing.assert_allclose(scores[0], si_sdr, atol=0.1)
        np.testing.assert_allclose(scores[1], si_sir, atol=0.2)
        gains.append(scores[0] - before[0])
    assert np.mean(gains) > 5


def test_weights_of_other_sources_are_refused(params, tiny_weights, tmp_path):
    tiny_weights["ucr"](tmp_path, params)
    with pytest.raises(UserError, match=r"separates drums\+bass, not bass\+piano"):
        ucr.Method().load(tmp_path, ["bass", "piano"])

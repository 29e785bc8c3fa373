import numpy as np
import torch

from baselines import ucr_consensus
from baselines._shared.decomposition import Shipped
from baselines.ucr_consensus import weights
from ucr.codecs.mel import MelCodec

RATE, SECONDS = 24000, 4


def a_beat_and_a_tune():
    """A click every half second, and a note that changes every half second: float32[2, n_samples]."""
    rng = np.random.default_rng(0)
    time = np.arange(RATE * SECONDS) / RATE
    click = rng.standard_normal(RATE // 10) * np.exp(-np.arange(RATE // 10) / 800)
    beat = np.zeros(RATE * SECONDS)
    for start in range(0, len(beat), RATE // 2):
        beat[start : start + len(click)] += click
    notes = np.array([110.0, 165.0, 110.0, 220.0])[(2 * time).astype(int) % 4]
    return np.float32([beat, np.sin(2 * np.pi * notes * time)])


def test_sources_count_more_than_what_holds_remains_of_each_other():
    sources = a_beat_and_a_tune()
    mixture = sources.mean(axis=0)
    muddled = 0.7 * sources + 0.3 * sources[::-1]
    found = weights(np.stack([muddled, sources, np.stack([mixture, mixture])]).astype(np.float32))
    assert found[1] == 1
    assert max(found[0], found[2]) < 0.1


def test_no_scale_and_no_order_of_the_sources_matters_and_silence_is_no_trouble():
    sources = a_beat_and_a_tune()
    np.testing.assert_allclose(weights(np.stack([sources, sources])), 1)
    both = np.stack([sources, 0.6 * sources + 0.4 * sources[::-1]]).astype(np.float32)
    np.testing.assert_allclose(weights(1e-4 * both), weights(both), rtol=0.02)
    np.testing.assert_allclose(weights(both[:, ::-1].copy()), weights(both), rtol=0.02)
    assert np.isfinite(weights(np.zeros_like(both))).all()
    one = np.stack([sources, np.stack([sources.sum(axis=0), np.zeros_like(sources[0])])])
    assert weights(one.astype(np.float32))[1] < 0.5


def test_no_random_start_has_a_say():
    sources = a_beat_and_a_tune()
    both = np.stack([0.7 * sources + 0.3 * sources[::-1], sources]).astype(np.float32)
    found = []
    for seed in range(5):
        torch.manual_seed(seed)
        found.append(weights(both))
    assert np.ptp(found, axis=0).max() == 0


def test_three_sources_come_in_the_order_of_the_learnt_estimates(monkeypatch):
    beat, tune = a_beat_and_a_tune()
    time = np.arange(len(beat)) / RATE
    sources = np.float32([beat, tune, np.sin(2 * np.pi * 880 * time) * (time % 0.8 < 0.5)])
    mixture = sources.mean(axis=0)
    learnt = 0.6 * sources + 0.4 * mixture
    monkeypatch.setattr(Shipped, "separate_batch", lambda *_: learnt[None])
    monkeypatch.setattr(ucr_consensus, "decoded_labels", lambda *_: sources[[2, 0, 1]])
    method = ucr_consensus.Method()
    method.codec, method.percussive = MelCodec(RATE, 64, 0.5), True
    found = method.separate_batch(mixture[None], RATE, 3)[0]
    likeness = np.corrcoef(np.concatenate([sources, found]))[:3, 3:]
    assert likeness.argmax(axis=0).tolist() == [0, 1, 2]
    assert likeness.diagonal().min() > 0.95
    np.testing.assert_allclose(found.sum(axis=0), 3 * mixture, atol=1e-3)

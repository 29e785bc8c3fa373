"""BSS Eval v4 where the spectrum is partly empty: parity with museval, as near as museval is to itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.signal

from benchmarks.scoring import load_museval
from eval.bss_eval import TAPS, Windows, bss_eval, measure
from eval.scores import CAP_DB

RATE = 4000
WINDOWS = Windows(6000, 2000, 1000)


def low_passed(seed: int, n: int = 2) -> np.ndarray:
    """Noise with nothing above a quarter of the rate but the rounding of float32, as a decoder gives it."""
    spectra = np.fft.rfft(0.1 * np.random.default_rng(seed).standard_normal((n, WINDOWS.n_samples)))
    spectra[:, spectra.shape[1] // 2 :] = 0
    return single(np.fft.irfft(spectra, WINDOWS.n_samples))


def music(seed: int, n: int = 3) -> np.ndarray:
    """Decaying tones with a coloured noise, rounded to 16 bits."""
    rng, time = np.random.default_rng(seed), np.arange(WINDOWS.n_samples) / RATE
    onsets, pitches, decays = rng.uniform([[0], [50], [2]], [[1], [1200], [10]], (n, 20, 3, 1)).swapaxes(0, 2)
    after = np.maximum(time - onsets, 0)
    tones = np.sum(np.sin(2 * np.pi * pitches * after) * np.exp(-decays * after), axis=0)
    tones += scipy.signal.lfilter([0.1], [1, -0.9], rng.standard_normal(tones.shape[-1:]))
    return np.round(tones / 20 * 2**15) / 2**15


def single(signals: np.ndarray) -> np.ndarray:
    return signals.astype(np.float32).astype(float)


def mixed(sources: np.ndarray) -> np.ndarray:
    return single(sources + 0.2 * sources[::-1])


def noisy(sources: np.ndarray) -> np.ndarray:
    return single(
        sources + 0.2 * sources[::-1] + 0.03 * np.random.default_rng(1).standard_normal(sources.shape)
    )


def masked(sources: np.ndarray) -> np.ndarray:
    """From the mixture by ratio masks that err."""
    _, _, spectra = scipy.signal.stft(sources, RATE, nperseg=512)
    masks = (abs(spectra) + 1e-8) * (1 + 0.3 * np.random.default_rng(2).random(spectra.shape))
    _, found = scipy.signal.istft(masks / masks.sum(axis=0) * spectra.sum(axis=0), RATE, nperseg=512)
    return single(found[:, : sources.shape[1]])


def ours(sources: np.ndarray, estimates: np.ndarray, windows: Windows = WINDOWS) -> np.ndarray:
    """[SDR, SIR, SAR; source; window], within the limit."""
    audio = np.pad(
        np.concatenate([sources, estimates, sources.mean(0)[None]]), [(0, 0), (TAPS - 1, TAPS - 1)]
    )
    return np.clip(bss_eval(measure(audio, 0, windows.n_samples, windows))[:, 0], -CAP_DB, CAP_DB)


def musevals(sources: np.ndarray, estimates: np.ndarray, windows: Windows = WINDOWS) -> np.ndarray:
    sdr, _, sir, sar, _ = load_museval().bss_eval(sources, estimates, windows.window, windows.hop)
    return np.clip(np.stack([sdr, sir, sar]), -CAP_DB, CAP_DB)


@pytest.mark.parametrize("estimated", [noisy, masked, mixed])
def test_low_passed_stems_score_as_near_to_museval_as_museval_to_itself(
    estimated: Callable[[np.ndarray], np.ndarray],
):
    distances, own = [], []
    for seed in range(4):
        sources = low_passed(seed)
        estimates = estimated(sources)
        expected = musevals(sources, estimates)
        distances.append(abs(ours(sources, estimates) - expected))
        own.append(abs(musevals(sources[::-1], estimates[::-1])[:, ::-1] - expected))
    sdr, sir, sar = np.swapaxes(distances, 0, 1)
    assert sdr.max() < 1e-9
    assert np.median(sir) < 2 * np.median(np.array(own)[:, 1]) + 1
    assert sir.max() < 40
    if estimated is mixed:  # nothing but rounding is wrong with these, and it alone is measured
        assert np.median(sar) < 2 * np.median(np.array(own)[:, 2]) + 1
    else:
        assert sar.max() < 1e-4


@pytest.mark.parametrize(("estimated", "tolerance"), [(noisy, 0.02), (masked, 1e-5), (mixed, 1e-5)])
def test_low_passed_stems_that_are_silent_at_the_ends_of_windows_score_as_in_museval(estimated, tolerance):
    windows = Windows(6000, 1000, 1000)
    gains = np.tile(np.pad(np.hanning(700), 150), 6)
    sources = single(low_passed(0) * gains)
    estimates = estimated(sources)
    np.testing.assert_allclose(
        ours(sources, estimates, windows), musevals(sources, estimates, windows), atol=tolerance
    )


@pytest.mark.parametrize("estimated", [noisy, masked])
@pytest.mark.parametrize("seed", [0, 1])
def test_music_of_16_bits_scores_as_in_museval_to_1e_6_db(estimated, seed):
    sources = music(seed)
    estimates = estimated(sources)
    np.testing.assert_allclose(ours(sources, estimates), musevals(sources, estimates), atol=1e-6)


@pytest.mark.parametrize(
    ("sources", "singular"),
    [
        pytest.param(low_passed(0, 3), False, id="low-passed"),
        pytest.param(music(0), False, id="music"),
        pytest.param(low_passed(0)[[0, 0]], True, id="equal sources"),
    ],
)
def test_least_squares_are_for_singular_equations_only(monkeypatch, sources, singular):
    calls = []
    lstsq = np.linalg.lstsq
    monkeypatch.setattr(np.linalg, "lstsq", lambda *args: calls.append(args) or lstsq(*args))
    found = ours(sources, noisy(sources))
    assert len(calls) == singular
    assert np.isfinite(found).all()

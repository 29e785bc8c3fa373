import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.distances import multiscale_stft_distance
from ucr.codecs import make_codec
from ucr.codecs.mel import LEVEL, filter_bank
from ucr.foundation.errors import UserError
from ucr.foundation.params import CodecParams

RATE = 24000


def params(**changes) -> CodecParams:
    return CodecParams(
        **{"name": "mel", "bands": 128, "power": 0.5, "bandwidth": 24.0, "weights": None, **changes}
    )


def sine(frequency: float, n_samples: int = RATE, rate: int = RATE) -> torch.Tensor:
    return torch.sin(2 * math.pi * frequency * torch.arange(n_samples) / rate)


def si_sdr(estimate: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    target = (estimate * reference).sum(-1, keepdim=True) / (reference**2).sum(-1, keepdim=True) * reference
    return 10 * torch.log10((target**2).sum(-1) / ((estimate - target) ** 2).sum(-1))


@pytest.fixture(scope="module")
def codec():
    return make_codec(params(), RATE)


@pytest.mark.parametrize(("rate", "bands"), [(24000, 128), (24000, 8), (24000, 1024), (48000, 128)])
def test_every_bin_is_shared_out_and_no_band_is_empty(rate, bands):
    filters = filter_bank(rate, 2048, bands)
    assert filters.shape == (bands, 1025)
    torch.testing.assert_close(filters.sum(dim=0), torch.ones(1025))
    assert filters.sum(dim=1).min() > 0.99


@pytest.mark.parametrize("frequency", [60.0, 250.0, 440.0, 1000.0, 5000.0, 11000.0])
def test_a_sine_lies_in_the_band_around_its_frequency(codec, frequency):
    band = codec.encode(sine(frequency)[None])[0, :, 30].argmax()
    weights = filter_bank(RATE, 2048, 128)[band]
    frequencies = torch.linspace(0, RATE / 2, 1025)
    inside = frequencies[weights > 0]
    assert inside.min() - RATE / 2048 <= frequency <= inside.max() + RATE / 2048


def test_latents_are_the_compressed_magnitudes_they_are_said_to_be():
    sound = sine(13 * RATE / 2048)[None]  # on a bin that is a band of its own
    linear = make_codec(params(power=1.0), RATE).encode(sound)
    assert linear[0, 13, 30].item() == pytest.approx(LEVEL, rel=1e-3)
    torch.testing.assert_close(make_codec(params(power=0.25), RATE).encode(sound), linear**0.25)


def test_silence_is_zero_and_stays_silent(codec):
    silence = torch.zeros(2, 7000)
    latents = codec.encode(silence)
    assert latents.eq(0).all()
    assert codec.decode(latents, 7000).eq(0).all()
    assert codec.decode_components(latents[:, None].expand(-1, 3, -1, -1), silence).eq(0).all()


def test_one_silent_component_gets_nothing_of_the_mixture(codec):
    source = torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))
    latents = torch.stack([codec.encode(source), codec.encode(0 * source)], dim=1)
    estimates = codec.decode_components(latents, source / 2)[0]
    torch.testing.assert_close(estimates[0], source[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(estimates[1], 0 * source[0], atol=1e-4, rtol=0)


def test_seven_seconds_are_525_frames(codec):
    assert codec.frame_rate == 75
    assert codec.encode(torch.zeros(1, 7 * RATE)).shape == (1, 128, 525)
    assert make_codec(params(), 48000).encode(torch.zeros(1, 7 * 48000)).shape == (1, 128, 525)


@settings(max_examples=25, deadline=None)
@given(n_samples=st.integers(1, 5000), n_components=st.integers(1, 4), seed=st.integers(0, 99))
def test_any_length_goes_round_and_components_add_up(codec, n_samples, n_components, seed):
    generator = torch.Generator().manual_seed(seed)
    mixture = torch.rand(2, n_samples, generator=generator) - 0.5
    latents = codec.encode(mixture)
    assert latents.shape == (2, 128, codec.n_frames(n_samples))
    assert latents.min() >= 0
    components = 3 * torch.rand(2, n_components, *latents.shape[1:], generator=generator)
    estimates = codec.decode_components(components, mixture)
    assert estimates.shape == (2, n_components, n_samples)
    torch.testing.assert_close(estimates.sum(dim=1), n_components * mixture, atol=1e-5, rtol=0)
    assert codec.decode(latents, n_samples).shape == (2, n_samples)


def test_a_batch_is_its_items_one_by_one_and_runs_are_alike(codec):
    audio = torch.randn(3, 5000, generator=torch.Generator().manual_seed(1))
    latents = codec.encode(audio)
    torch.testing.assert_close(latents[1:2], codec.encode(audio[1:2]))
    sound = codec.decode(latents, 5000)
    torch.testing.assert_close(sound[1:2], codec.decode(latents[1:2], 5000), atol=1e-3, rtol=0)
    assert torch.equal(sound, codec.decode(latents, 5000))


def test_griffin_lim_rebuilds_a_chord(codec):
    chord = (sine(220) + sine(554.4) + sine(1320)) / 4
    latents = codec.encode(chord[None])
    again = codec.encode(codec.decode(latents, RATE))
    error = (again - latents)[..., 5:-5].norm() / latents[..., 5:-5].norm()
    assert error < 0.2


def band_of_noise_and_chord():
    time = torch.arange(RATE) / RATE
    noise = torch.randn(RATE, generator=torch.Generator().manual_seed(3)) * torch.exp(-20 * (time % 0.5))
    return ((sine(220) + sine(554.4) + sine(1320) + noise) / 8)[None]


def test_a_song_that_is_rebuilt_has_its_own_phases(codec):
    song = band_of_noise_and_chord()
    latents = codec.encode(song)
    own, guessed = codec.decode_variation(latents, song, 0.0), codec.decode(latents, RATE)
    assert si_sdr(own, song) > 6 > 0 > si_sdr(guessed, song)
    distances = [multiscale_stft_distance(song.numpy(), each.numpy())[0] for each in (own, guessed)]
    assert distances[0] < 0.7 * distances[1]


def test_a_variation_forgets_the_songs_phases_with_its_strength(codec):
    song = band_of_noise_and_chord()
    latents = codec.encode(song)
    likeness = [si_sdr(codec.decode_variation(latents, song, strength), song) for strength in (0.0, 0.5, 1.0)]
    assert likeness[0] > likeness[1] > likeness[2]
    assert torch.equal(codec.decode_variation(latents, song, 1.0), codec.decode(latents, RATE))


def test_a_variation_sounds_where_its_song_is_silent(codec):
    song = band_of_noise_and_chord()
    for strength in (0.0, 0.5):
        varied = codec.decode_variation(codec.encode(song), 0 * song, strength)
        assert varied.norm() > 0.3 * song.norm()


def test_true_components_separate_a_mixture_well(codec):
    """A bass line under noise bursts: nothing but the resolution of bands and frames limits the masks."""
    time = torch.arange(2 * RATE) / RATE
    bass = sum(sine(55 * k, 2 * RATE) / k for k in (1, 2, 3)) * (1 + torch.sin(2 * math.pi * time)) / 4
    bursts = (
        torch.randn(2 * RATE, generator=torch.Generator().manual_seed(0)) * torch.exp(-40 * (time % 0.25)) / 2
    )
    sources = torch.stack([bursts, bass])
    components = codec.encode(sources)[None]
    estimates = codec.decode_components(components, sources.mean(dim=0)[None])[0]
    assert (si_sdr(estimates, sources) > torch.tensor([12.0, 18.0])).all(), si_sdr(estimates, sources)


def test_fingerprints_tell_configurations_apart():
    prints = {
        make_codec(params(bands=bands, power=power), rate).fingerprint
        for bands, power, rate in [(128, 0.5, 24000), (64, 0.5, 24000), (128, 0.3, 24000), (128, 0.5, 48000)]
    }
    assert len(prints) == 4
    assert make_codec(params(), RATE).fingerprint == make_codec(params(), RATE).fingerprint


def test_what_it_cannot_do_is_refused_in_a_sentence(codec):
    with pytest.raises(UserError, match=r"segments\.sample_rate.*16000"):
        make_codec(params(), 16000)
    with pytest.raises(UserError, match=r"codec\.bands.*2000"):
        make_codec(params(bands=2000), RATE)
    with pytest.raises(ValueError, match="no latent of 7000 samples"):
        codec.decode(torch.zeros(1, 128, 5), 7000)


def test_a_float64_array_from_numpy_is_no_trap(codec):
    sound = torch.from_numpy(np.ones((1, 4000), dtype="float32"))
    assert codec.encode(sound).dtype == torch.float32

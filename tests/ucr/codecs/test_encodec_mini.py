from pathlib import Path

import pytest
import torch

from ucr.codecs import make_codec
from ucr.codecs.encodec_mini import build, error, fit, reconstruct
from ucr.foundation.checkpoints import save_model
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_json
from ucr.foundation.params import CodecParams
from ucr.weights import FOLDER

SIZES = {"filters": 2, "codebooks": 3, "codebook_size": 16}


def codec_params(needs: Path) -> CodecParams:
    common = {"bands": 64, "power": 0.5, "bandwidth": 24.0, "weights": None}
    return CodecParams(name="encodec_mini", needs=str(needs), **common)


def write(folder: Path, seed: int = 0, config: dict = SIZES) -> Path:
    """Random weights, with codebooks that hold something."""
    torch.manual_seed(seed)
    model = build(**SIZES)
    fit(model, noise(6400), seed)
    folder.mkdir()
    save_model(folder, model, config, {})
    return folder


def noise(n_samples: int, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, n_samples, generator=torch.Generator().manual_seed(0)) / 10


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    return make_codec(codec_params(write(tmp_path_factory.mktemp("mini") / "weights")), 24000)


@pytest.mark.parametrize("n_samples", [1, 320, 321, 5000])
def test_it_has_encodecs_latent_and_goes_round_at_any_length(codec, n_samples):
    assert (codec.name, codec.channels, codec.frame_rate, codec.sample_rate) == (
        "encodec_mini",
        128,
        75.0,
        24000,
    )
    latents = codec.encode(noise(n_samples))
    assert latents.shape == (2, 128, codec.n_frames(n_samples))
    assert codec.decode(latents, n_samples).shape == (2, n_samples)


def test_a_latent_is_made_of_the_codebooks_entries(codec):
    latents = codec.encode(noise(640, 1))
    codes = codec.model.quantizer.encode(codec.model.encoder(noise(640, 1)[:, None]), 75)
    books = [layer.codebook for layer in codec.model.quantizer.vq.layers]
    assert len(codes) == SIZES["codebooks"]
    expected = sum(book[code] for book, code in zip(books, codes, strict=True))
    torch.testing.assert_close(latents, expected.transpose(1, 2))


def test_components_are_decoded_one_by_one_and_silence_makes_no_nan(codec):
    latents = torch.stack([codec.encode(noise(1000)), codec.encode(0 * noise(1000))], dim=1)
    estimates = codec.decode_components(latents, noise(1000))
    assert estimates.isfinite().all()
    torch.testing.assert_close(estimates[:, 1], codec.decode(latents[:, 1], 1000))


def test_the_fingerprint_follows_the_weights(codec, tmp_path):
    same, other = write(tmp_path / "same"), write(tmp_path / "other", seed=1)
    assert make_codec(codec_params(same), 24000).fingerprint == codec.fingerprint
    assert make_codec(codec_params(other), 24000).fingerprint != codec.fingerprint


def test_the_error_is_zero_for_the_same_and_two_for_the_opposite():
    audio = noise(4000)
    assert error(audio, audio) == 0
    assert error(-audio, audio) == pytest.approx(2)  # the spectra are equal
    assert error(torch.zeros(1, 4000), torch.zeros(1, 4000)) == 0
    assert error(0.5 * audio, audio) > error(0.9 * audio, audio)


def test_without_a_quantiser_what_lies_under_4800_hz_comes_back():
    model = build(**SIZES)
    time = torch.arange(12000) / 24000
    low, high = (0.1 * torch.sin(2 * torch.pi * hertz * time)[None] for hertz in (220, 8000))
    sound = model.decoder(model.encoder((low + high)[:, None]))[:, 0, :12000]
    within = slice(160, -320)  # one window alone reaches the ends
    torch.testing.assert_close(sound[:, within], low[:, within], atol=1e-3, rtol=0)


def test_a_fit_to_high_tones_gives_them_back():
    model = build(filters=2, codebooks=24, codebook_size=16)
    time = torch.arange(24000) / 24000
    tones = 0.1 * torch.sin(2 * torch.pi * torch.tensor([[7000], [9000]]) * time)
    nothing = reconstruct(model, tones)
    fit(model, tones, seed=0)
    found = reconstruct(model, tones)
    assert nothing.abs().max() == 0
    power = (found - tones).square().mean() / tones.square().mean()
    assert power < 0.01


def test_latents_add_before_they_are_quantised(codec):
    first, second = noise(5000, 2)[:, None, None]
    encode = codec.model.encoder
    torch.testing.assert_close(encode(first + second), encode(first) + encode(second))


def test_the_decoder_alone_is_trained():
    model = build(**SIZES)
    fit(model, noise(6400), 0)
    error(reconstruct(model, noise(6400)), noise(6400)).backward()
    assert all(parameter.grad is not None for parameter in model.decoder.parameters())
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())
    assert not list(model.quantizer.parameters())


def test_what_does_not_fit_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"missing.*does not exist: run the stage that trains it"):
        make_codec(codec_params(tmp_path / "missing"), 24000)
    weights = write(tmp_path / "weights")
    with pytest.raises(UserError, match="encodec_mini works at 24000 Hz, not 16000 Hz"):
        make_codec(codec_params(weights), 16000)
    other = write(tmp_path / "other", config={"method": "demucs", "sources": []})
    with pytest.raises(UserError, match=r"codec\.needs.*holds no weights of encodec_mini"):
        make_codec(codec_params(other), 24000)
    larger = write(tmp_path / "larger", config=SIZES | {"codebooks": 4})
    with pytest.raises(UserError, match=r"larger: tensor \S+ has shape none"):
        make_codec(codec_params(larger), 24000)
    whole = (weights / "model.safetensors").read_bytes()
    (weights / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        make_codec(codec_params(weights), 24000)


def test_the_shipped_weights_are_what_their_card_says_and_give_tones_back():
    folder = FOLDER / "encodec_mini"
    codec = make_codec(codec_params(folder), 24000)
    assert codec.fingerprint == read_json(folder / "card.json")["fingerprint"]
    time = torch.arange(48000) / 24000
    tone = sum(torch.sin(2 * torch.pi * 110 * k * time) / k for k in range(1, 5)) * 0.2 * torch.exp(-2 * time)
    found = codec.decode(codec.encode(tone[None]), len(tone))[0]
    scale = (found @ tone) / (tone @ tone)
    si_sdr = 10 * torch.log10((scale * tone).square().sum() / (found - scale * tone).square().sum())
    assert si_sdr > 8

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ucr.codecs import encodec, make_codec
from ucr.codecs.encodec import CHECKPOINTS, EncodecCodec, pretrained, state_digest, untrained
from ucr.foundation.errors import UserError
from ucr.foundation.params import CodecParams


def randomised(name: str) -> dict[str, torch.Tensor]:
    """A state dictionary whose codebooks hold something, which `untrained` leaves empty."""
    torch.manual_seed(0)
    model = untrained(name)
    for layer in model.quantizer.vq.layers:
        layer._codebook.embed.normal_(std=0.3)
    return {key: value.clone() for key, value in model.state_dict().items()}


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encodec")
    files = {name: folder / f"{name}.safetensors" for name in CHECKPOINTS}
    for name, path in files.items():
        save_file(randomised(name), path)
    return files


@pytest.fixture(scope="session")
def codec_24(weights):
    return EncodecCodec(pretrained("encodec_24khz", 24000, 24.0, str(weights["encodec_24khz"])))


@pytest.fixture(scope="session")
def codec_48(weights):
    return EncodecCodec(pretrained("encodec_48khz", 48000, 6.0, str(weights["encodec_48khz"])))


def noise(n_samples: int, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, n_samples, generator=torch.Generator().manual_seed(0)) / 10


def test_24_khz_has_the_papers_latent(codec_24):
    assert (codec_24.channels, codec_24.frame_rate) == (128, 75.0)
    assert codec_24.n_frames(7 * 24000) == 525
    assert len(codec_24.model.encode(noise(640)[:, None])[0][0][0]) == 32  # codebooks at 24 kbit/s


def test_48_khz_has_a_channel_for_the_level(codec_48):
    assert (codec_48.channels, codec_48.frame_rate) == (129, 150.0)
    latents = codec_48.encode(noise(60000))
    louder = codec_48.encode(2 * noise(60000))
    torch.testing.assert_close(louder[:, -1] - latents[:, -1], torch.full_like(latents[:, -1], 0.30103))
    torch.testing.assert_close(louder[:, :-1], latents[:, :-1])


@pytest.mark.parametrize("n_samples", [1, 319, 320, 321, 5000, 53760])
def test_24_khz_goes_round_at_any_length(codec_24, n_samples):
    latents = codec_24.encode(noise(n_samples))
    assert latents.shape == (2, 128, codec_24.n_frames(n_samples))
    sound = codec_24.decode(latents, n_samples)
    assert sound.shape == (2, n_samples)
    assert torch.equal(codec_24.decode_variation(latents, noise(n_samples), 0.5), sound)


@pytest.mark.parametrize("n_samples", [500, 47521, 48000, 50001])
def test_48_khz_goes_round_at_any_length(codec_48, n_samples):
    latents = codec_48.encode(noise(n_samples, 1))
    assert latents.shape == (1, 129, codec_48.n_frames(n_samples))
    assert codec_48.decode(latents, n_samples).shape == (1, n_samples)


def test_24_khz_is_encodecs_own_coding(codec_24):
    audio = noise(4000)
    codes = codec_24.model.encode(audio[:, None])
    latents = codec_24.encode(audio)
    torch.testing.assert_close(latents, codec_24.model.quantizer.decode(codes[0][0].transpose(0, 1)))
    torch.testing.assert_close(codec_24.decode(latents, 4000), codec_24.model.decode(codes)[:, 0, :4000])


def test_48_khz_is_encodecs_own_coding_chunk_by_chunk(codec_48):
    audio = noise(60000, 1)
    stereo = audio[:, None].expand(-1, 2, -1)
    codes = codec_48.model.encode(stereo)
    assert len(codes) == 2
    expected = codec_48.model.decode(codes).mean(dim=1)[:, :60000]
    torch.testing.assert_close(codec_48.decode(codec_48.encode(audio), 60000), expected)


def test_weights_under_another_library_s_names_are_said_to_be_whose(tmp_path):
    save_file({"encoder.layers.0.conv.weight_g": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(
        UserError, match=r"model\.safetensors holds EnCodec under the names of the transformers library"
    ):
        pretrained("encodec_24khz", 24000, 24.0, str(tmp_path / "model.safetensors"))


STRIDE = 47520
ABOUT_A_CHUNK = [
    STRIDE * chunks + rest
    for chunks in (0, 1, 2)
    for rest in (1, 2, 159, 160, 161, 200, 319, 320, 321, 479, 480, 481, 5000, STRIDE)
]


@pytest.mark.slow
@pytest.mark.parametrize("n_samples", ABOUT_A_CHUNK)
def test_48_khz_is_encodecs_own_decoding_at_every_length_that_it_can_decode(codec_48, n_samples):
    audio = noise(n_samples, 1)
    latents = codec_48.encode(audio)
    assert latents.shape[-1] == codec_48.n_frames(n_samples)
    decoded = codec_48.decode(latents, n_samples)
    assert decoded.shape == (1, n_samples)
    codes = codec_48.model.encode(audio[:, None].expand(-1, 2, -1))
    chunks, rest = divmod(n_samples, STRIDE)
    if chunks and 160 < rest <= 320:
        with pytest.raises(RuntimeError, match="must match"):
            codec_48.model.decode(codes)
        whole = codec_48.model._decode_frame(codes[-2]).mean(
            dim=1
        )  # the chunk before the last heard by itself
        start = STRIDE * (chunks - 1) + 480
        torch.testing.assert_close(decoded[:, start : start + 40000], whole[:, 480:40480])
    else:
        torch.testing.assert_close(decoded, codec_48.model.decode(codes).mean(dim=1)[:, :n_samples])


@pytest.mark.parametrize("n_samples", [STRIDE + 100, STRIDE + 200])
def test_a_short_last_chunk_is_not_taken_for_the_end_of_the_one_before(codec_48, n_samples):
    audio = noise(n_samples, 1)
    longer = codec_48.decode(codec_48.encode(audio[:, :STRIDE]), STRIDE)
    decoded = codec_48.decode(codec_48.encode(audio), n_samples)
    assert (decoded[:, :40000] - longer[:, :40000]).abs().max() < 0.05 * longer.abs().max()


def test_components_are_decoded_one_by_one(codec_24):
    latents = torch.stack([codec_24.encode(noise(1000)), codec_24.encode(0 * noise(1000))], dim=1)
    estimates = codec_24.decode_components(latents, noise(1000))
    assert estimates.shape == (2, 2, 1000)
    torch.testing.assert_close(estimates[:, 1], codec_24.decode(latents[:, 1], 1000))


def test_silence_makes_no_nan(codec_24, codec_48):
    for codec in (codec_24, codec_48):
        latents = codec.encode(torch.zeros(1, 2000))
        assert latents.isfinite().all()
        assert codec.decode(latents, 2000).isfinite().all()


def test_fingerprint_follows_weights_and_bandwidth_not_the_file_format(weights, codec_24, tmp_path):
    torch.save(load_file(weights["encodec_24khz"]), tmp_path / "same.th")
    same = EncodecCodec(pretrained("encodec_24khz", 24000, 24.0, str(tmp_path / "same.th")))
    other_rate = EncodecCodec(pretrained("encodec_24khz", 24000, 6.0, str(tmp_path / "same.th")))
    assert same.fingerprint == codec_24.fingerprint != other_rate.fingerprint
    changed = {"a": torch.zeros(3), "b": torch.ones(3)}
    assert state_digest(changed) != state_digest({"a": torch.zeros(3), "b": torch.zeros(3)})
    assert state_digest(changed) == state_digest(dict(reversed(changed.items())))


def encodec_params(**changes) -> CodecParams:
    defaults = {"name": "encodec_24khz", "bands": 128, "power": 0.5, "bandwidth": 24.0, "weights": None}
    return CodecParams(**{**defaults, **changes})


def test_rates_and_bandwidths_it_lacks_are_refused():
    with pytest.raises(UserError, match=r"segments\.sample_rate.*24000 Hz, not 44100"):
        make_codec(encodec_params(), 44100)
    with pytest.raises(UserError, match=r"codec\.bandwidth.*1\.5, 3, 6, 12, 24 kbit/s, not 5"):
        make_codec(encodec_params(bandwidth=5.0), 24000)
    with pytest.raises(UserError, match=r"codec\.bandwidth.* has 3, 6, 12, 24 kbit/s, not 1\.5"):
        make_codec(encodec_params(name="encodec_48khz", bandwidth=1.5), 48000)


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def test_weights_that_do_not_fit_are_refused(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "attack.th").write_bytes(pickle.dumps({"a": Malicious()}, protocol=2))
    (tmp_path / "short.safetensors").write_bytes(weights["encodec_24khz"].read_bytes()[:5000])
    (tmp_path / "noise.th").write_bytes(b"no weights")
    torch.save([1, 2], tmp_path / "list.th")
    for file, match in [
        ("missing.th", "does not exist"),
        ("attack.th", "something else than tensors"),
        ("short.safetensors", "not a whole safetensors file"),
        ("noise.th", "something else than tensors"),
        ("list.th", "no state dictionary"),
        (str(weights["encodec_48khz"]), r"tensor \S+ has shape"),
    ]:
        with pytest.raises(UserError, match=match) as caught:
            make_codec(encodec_params(weights=file), 24000)
        assert file in str(caught.value)
    assert not Path("pwned").exists()


def test_without_network_and_file_a_sentence_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(encodec, "ROOT_URL", "http://127.0.0.1:9/")  # a port that nothing answers on
    with pytest.raises(UserError, match=r"encodec_24khz-d7cc33bc\.th.*codec\.weights.*codec mel"):
        make_codec(encodec_params(), 24000)


def test_a_damaged_download_is_found_out(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / CHECKPOINTS["encodec_24khz"]
    path.parent.mkdir(parents=True)
    torch.save({}, path)
    with pytest.raises(UserError, match="delete it to download it again"):
        make_codec(encodec_params(), 24000)

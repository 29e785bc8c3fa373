import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from eval.learned import Clap, Vggish, load_space
from ucr.foundation.errors import UserError
from ucr.foundation.without_torchaudio import torchaudio_or_an_empty_module

RATE = 24000


@pytest.fixture(scope="module")
def clips():
    return np.random.default_rng(0).normal(0, 0.1, (2, 7 * RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def vggish():
    torch.manual_seed(0)
    return Vggish().eval()


def test_vggish_has_the_size_of_its_paper_and_a_frame_for_each_example(vggish, clips):
    assert sum(each.numel() for each in vggish.parameters()) == 72_141_184
    found = vggish.embed(clips, RATE)
    assert found.shape == (2, 128, 7)
    np.testing.assert_allclose(vggish.embed(clips[1:], RATE), found[1:], rtol=1e-4, atol=1e-6)
    assert vggish.embed(clips[:, :1000], RATE).shape == (2, 128, 1)


def test_vggish_hears_a_tone_in_its_band():
    bands = Vggish.mel_bands()
    assert bands.shape == (64, 257)
    middle = 700 * (np.exp(np.linspace(*np.log1p(np.array([125, 7500]) / 700), 66)[1:-1]) - 1)
    assert np.abs(bands[40:].argmax(1) * 16000 / 512 - middle[40:]).max() <= 16000 / 1024
    assert not bands[:, 0].any()  # nothing below 125 Hz


def test_weights_of_vggish_come_from_a_file(tmp_path, vggish, clips):
    path = tmp_path / "vggish.safetensors"
    save_file(vggish.state_dict(), path)
    loaded = load_space("vggish", str(path))
    np.testing.assert_array_equal(loaded.embed(clips[:1], RATE), vggish.embed(clips[:1], RATE))
    assert load_space("vggish", str(path)) is loaded


def test_clap_is_what_transformers_makes_of_the_clips(tmp_path, clips):
    with torchaudio_or_an_empty_module():
        from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    audio = {
        "patch_embeds_hidden_size": 16,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "hidden_size": 32,
    }
    model = ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=24)).eval()
    model.save_pretrained(tmp_path)
    ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(tmp_path)
    found = load_space("clap", str(tmp_path)).embed(clips, RATE)
    assert found.shape == (2, 24, 1)
    assert np.abs(found[0] - found[1]).max() > 0


@pytest.mark.parametrize("space", ["vggish", "clap"])
def test_weights_that_are_not_there_are_a_sentence(space, tmp_path):
    with pytest.raises(UserError, match=f"{space} needs learned weights, which do not ship"):
        load_space(space, None)
    with pytest.raises(UserError, match=f"generation.weights.{space}: {tmp_path / 'none'} "):
        load_space(space, str(tmp_path / "none"))


def test_without_transformers_clap_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match="clap needs transformers"):
        Clap(tmp_path)

import numpy as np
import pytest
import torch

from tests.ucr.model.test_decomposition import small_model
from tests.ucr.model.test_prior import OPTIM
from ucr.codecs.mel import MelCodec
from ucr.foundation.checkpoints import save_model
from ucr.foundation.errors import UserError
from ucr.foundation.hashes import file_hash
from ucr.foundation.network_params import IadbParams, UNetParams
from ucr.foundation.params import CodecParams, PriorParams
from ucr.model.decomposition import Setting
from ucr.model.prior import PriorModel, masks, quantiles
from ucr.model.recomposition import Recomposer

RATE = 6000
PRIOR = PriorParams(
    full_mask_share=0.5,
    normalise=True,
    denoiser=UNetParams(channels=[8], kernels=[3], strides=[2], attention=[False], dropout=0.0),
    iadb=IadbParams(variant="c", alpha_zero_share=0.0),
    optim=OPTIM,
)


def make_prior(n, levels=(0.8,), curves=None):
    torch.manual_seed(0)
    return PriorModel(n, 1, PRIOR, torch.zeros(n), torch.ones(n), torch.tensor(levels), curves).eval()


def make_recomposer(n=2, **changes):
    model = small_model(n, **changes)
    prior = make_prior(n)
    return Recomposer(model, prior, MelCodec(RATE, 16, 0.5), ["a", "b", "c"][:n], torch.device("cpu"))


def songs(count=3, seconds=1.01, seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    tones = np.sin(2 * np.pi * rng.uniform(80, 800, (count, 1)) * time)
    clicks = rng.normal(size=(count, len(time))) * np.exp(-20 * (time % 0.25))
    return (0.1 * tones + 0.1 * clicks).astype(np.float32)


def test_every_way_gives_as_much_finite_audio_as_it_takes():
    recomposer, audio = make_recomposer(3), songs()
    made = [
        recomposer.reconstruct(audio),
        recomposer.generate(3, audio.shape[1] / RATE, 2, seed=0),
        recomposer.fill(audio, masks(3).numpy()[:3], 2, seed=0),
        recomposer.vary(audio, 0.5, 2, seed=0),
        recomposer.recombine(audio, songs(seed=1), np.array([True, False, False])),
    ]
    for sound in made:
        assert sound.shape == audio.shape
        assert sound.dtype == np.float32
        assert np.isfinite(sound).all()


def test_a_variation_of_strength_0_is_the_reconstruction_and_seeds_count_above_it():
    recomposer, audio = make_recomposer(), songs()
    rebuilt = recomposer.reconstruct(audio)
    assert np.array_equal(recomposer.vary(audio, 0.0, 3, seed=1), rebuilt)
    varied = recomposer.vary(audio, 0.5, 3, seed=1)
    assert not np.allclose(varied, rebuilt, atol=1e-4)
    assert np.array_equal(varied, recomposer.vary(audio, 0.5, 3, seed=1))
    assert not np.allclose(varied, recomposer.vary(audio, 0.5, 3, seed=2), atol=1e-4)


def test_a_variation_of_strength_1_is_a_new_clip_as_loud_as_its_song():
    recomposer, audio = make_recomposer(), songs()
    new = recomposer.generate(len(audio), audio.shape[1] / RATE, 3, seed=4)
    varied = recomposer.vary(audio, 1.0, 3, seed=4)
    for a, b in zip(new, varied, strict=True):
        assert np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) == pytest.approx(1, abs=1e-3)
    ratio = recomposer._encode(torch.from_numpy(audio))[1].flatten() / recomposer.prior.levels
    gains = np.linalg.norm(varied, axis=1) / np.linalg.norm(new, axis=1)
    np.testing.assert_allclose(gains, ratio**2, rtol=0.02)  # latents are square roots of magnitudes


@pytest.mark.parametrize("strength", [-0.1, 1.1])
def test_other_strengths_are_refused(strength):
    with pytest.raises(ValueError, match="between 0 and 1"):
        make_recomposer().vary(songs(), strength, 1, seed=0)


def test_generated_clips_have_the_priors_level():
    recomposer = make_recomposer()
    quiet = recomposer.generate(2, 1.0, 2, seed=0)
    recomposer.prior.levels *= 2
    loud = recomposer.generate(2, 1.0, 2, seed=0)  # latents are square roots of magnitudes
    assert np.linalg.norm(loud) / np.linalg.norm(quiet) == pytest.approx(4, rel=0.02)


def test_generated_clips_are_as_loud_as_the_training_mixtures_in_turn():
    levels = np.linspace(0.5, 1.5, 33) ** 2
    drawn = make_prior(2, levels.astype(np.float32).tolist()).draw_level(4000, seed=1).flatten().numpy()
    np.testing.assert_allclose(
        np.quantile(drawn, [0.1, 0.5, 0.9]), np.quantile(levels, [0.1, 0.5, 0.9]), atol=0.03
    )
    assert levels[0] <= drawn.min()
    assert drawn.max() <= levels[-1]


def test_calibrated_values_have_the_distribution_of_real_ones_and_no_end_is_cut():
    torch.manual_seed(0)
    rebuilt, real = torch.rand(2, 4000) + torch.tensor([[0.2], [1.0]]), torch.rand(2, 4000).square() * 2
    prior = make_prior(2, curves=torch.stack([quantiles(rebuilt), quantiles(real)]))
    made = prior.calibrate(rebuilt.view(2, 4, 1000).transpose(0, 1)).transpose(0, 1).flatten(1)
    for value in (0.1, 0.5, 0.9):
        torch.testing.assert_close(made.quantile(value, 1), real.quantile(value, 1), atol=0.02, rtol=0)
    beyond = torch.tensor([[[-1.0, 9.0]], [[-1.0, 9.0]]]).transpose(0, 1)
    ends = prior.calibrate(beyond)[0] - beyond[0]
    torch.testing.assert_close(
        ends, torch.stack([real.amin(1) - rebuilt.amin(1), real.amax(1) - rebuilt.amax(1)], 1)
    )


def test_what_is_composed_is_calibrated_whatever_its_level():
    recomposer, audio = make_recomposer(), songs()
    plain = recomposer.reconstruct(audio)
    same = torch.linspace(0, 3, 33).expand(2, 16, -1)
    recomposer.prior.curves = same.clone()
    np.testing.assert_allclose(recomposer.reconstruct(audio), plain, atol=1e-5)
    recomposer.prior.curves[1] *= 0.5
    np.testing.assert_allclose(
        np.square(recomposer.reconstruct(audio)).sum(), np.square(plain).sum() / 16, rtol=0.02
    )
    np.testing.assert_allclose(
        recomposer.reconstruct(3 * audio), 3 * recomposer.reconstruct(audio), atol=1e-3
    )


def test_what_is_kept_is_the_songs_own_sound():
    recomposer, audio = make_recomposer(), songs()
    nothing = np.zeros((len(audio), 2), dtype=bool)
    np.testing.assert_allclose(recomposer.fill(audio, nothing, 2, seed=0), audio, atol=1e-5)
    kept = recomposer.fill_parts(audio, nothing, 2, seed=0)
    some = recomposer.fill_parts(audio, np.array([[True, False]] * len(audio)), 2, seed=0)
    assert np.array_equal(some[:, 1], kept[:, 1])
    assert not np.allclose(some[:, 0], kept[:, 0], atol=1e-4)


def test_recombining_takes_each_component_whole():
    recomposer, a, b = make_recomposer(), songs(), songs(seed=1)
    none, both = np.array([False, False]), np.array([True, True])
    np.testing.assert_allclose(recomposer.recombine(a, b, none), a, atol=1e-5)
    np.testing.assert_allclose(recomposer.recombine(a, b, both), b, atol=1e-5)
    first, second = np.array([True, False]), np.array([False, True])
    together = recomposer.recombine(a, b, first) + recomposer.recombine(a, b, second)
    np.testing.assert_allclose(together, a + b, atol=1e-5)
    # As loud as in its own song: half as loud a song gives half as loud a component.
    quiet = recomposer.recombine(a, b / 2, first) - recomposer.recombine(a, np.zeros_like(b), first)
    loud = recomposer.recombine(a, b, first) - recomposer.recombine(a, np.zeros_like(b), first)
    np.testing.assert_allclose(2 * quiet, loud, atol=1e-4)


def test_recombined_songs_must_be_alike():
    with pytest.raises(ValueError, match="one shape"):
        make_recomposer().recombine(songs(), songs(seconds=0.5), np.array([True, False]))


def test_a_component_alone_is_as_loud_as_its_separation():
    """Decoded from its latent alone, and masked on the song: two ways to one magnitude."""
    recomposer, audio = make_recomposer(), songs()
    latents, level = recomposer._encode(torch.from_numpy(audio))
    components = recomposer._components(latents, level, audio.shape[1])[:, 0]
    again = recomposer.codec.encode(recomposer._decode_alone(components, audio.shape[1]))
    ratio = again[..., 2:-2].norm() / components[..., 2:-2].norm()
    assert ratio.item() == pytest.approx(2**0.5, rel=0.1)  # twice the magnitude, the square root of it


def save(folder, owner=None, fingerprint=None, rate=RATE):
    """Small random models as the stages write them; returns both folders."""
    n = 2
    changes = {"encoder": {"channels": [8, 1], "kernel": 3, "pool": 1}}
    model = small_model(n, **changes)
    codec = CodecParams(name="mel", bands=16, power=0.5, bandwidth=24.0, weights=None)
    made = MelCodec(rate, 16, 0.5)
    setting = Setting(
        sources=["a", "b"], sample_rate=rate, codec=codec.model_dump(),
        codec_fingerprint=fingerprint or made.fingerprint, channels=16, frame_rate=75.0, mean=0.7, std=2.0,
        params=model.params.model_dump(),
    )  # fmt: skip
    save_model(folder / "decomposition", model, setting.to_config(), {})
    config = {
        "n_components": n, "latent_channels": 1, "params": PRIOR.model_dump(), "mean": [0.0] * n, "std": [1.0] * n,
        "level": 0.5, "decomposition": owner or file_hash(folder / "decomposition/model.safetensors"),
    }  # fmt: skip
    save_model(folder / "prior", make_prior(n), config, {})
    return folder / "decomposition", folder / "prior"


def test_models_are_read_from_their_folders(tmp_path):
    recomposer = Recomposer.load(*save(tmp_path), device="cpu")
    assert (recomposer.sample_rate, recomposer.names, recomposer.n_components) == (
        RATE,
        ["component_0", "component_1"],
        2,
    )
    assert recomposer.prior.levels.tolist() == [0.5]
    assert recomposer.prior.curves is None
    assert recomposer.generate(1, 0.5, 1, seed=0).shape == (1, RATE // 2)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"owner": "0" * 64}, "another decomposition model"), ({"fingerprint": "0" * 12}, "another mel codec")],
)
def test_models_that_do_not_belong_together_are_refused(tmp_path, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        Recomposer.load(*save(tmp_path, **changes))


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.model\.safetensors does not exist"):
        Recomposer.load(tmp_path / "nowhere", tmp_path / "prior")

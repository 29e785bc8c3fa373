import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import PARAMS
from ucr.foundation.errors import UserError
from ucr.foundation.params import DecompositionParams, check_params, load_params
from ucr.foundation.schema import read_yaml
from ucr.model.decomposition import DecompositionModel, dependence

SMALL = {
    "encoder": {"channels": [8, 1], "kernel": 3, "pool": 1},
    "denoiser": {
        "channels": [16, 32],
        "kernels": [3, 3],
        "strides": [2, 2],
        "attention": [False, True],
        "dropout": 0.0,
    },
}


def small_model(n=2, power=0.5, **changes):
    values = load_params(PARAMS).decomposition.model_dump() | SMALL | changes
    torch.manual_seed(0)
    params = DecompositionParams.model_validate(values)
    return DecompositionModel(n, 16, power, params, mean=0.7, std=2.0).eval()


@given(st.sampled_from([0.3, 0.5, 1.0]), st.integers(2, 4))
@settings(max_examples=20, deadline=None)
def test_magnitudes_add(power, n):
    magnitudes = torch.rand(2, n, 16, 5) + 0.01
    composed = small_model(n, power).compose(magnitudes**power)
    torch.testing.assert_close(composed, magnitudes.sum(1) ** power, atol=1e-4, rtol=1e-3)


def test_the_mean_is_the_mean():
    model = small_model(composition="mean", guided=0.0)
    components = torch.randn(2, 2, 16, 5)
    torch.testing.assert_close(model.compose(components), components.mean(1))


def test_components_of_magnitudes_cannot_be_negative_and_silence_stays_silence():
    model = small_model(normalise="dataset")
    components = model.separate(torch.rand(2, 16, 12), steps=2)
    assert components.shape == (2, 2, 16, 12)
    assert (components >= 0).all()
    torch.testing.assert_close(model.normalise(torch.zeros(1, 2, 3)), torch.zeros(1, 2, 3))


def test_normalising_is_undone():
    model = small_model(composition="mean", guided=0.0, normalise="dataset")
    x = torch.randn(4, 2, 3)
    torch.testing.assert_close(model.denormalise(model.normalise(x)), x)
    assert model.normalise(torch.full((1, 1, 1), 0.7)).item() == pytest.approx(0)


def test_all_components_at_once_equal_one_after_the_other():
    model = small_model(3)
    latents = torch.randn(4, 3, 1, 12)
    together = model.decode(latents, 12, steps=3, seed=5)
    apart = torch.cat([model.decode(latents[:, i : i + 1], 12, steps=3, seed=5) for i in range(3)], dim=1)
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-4)


def test_the_seed_decides():
    model = small_model()
    mixtures = torch.rand(1, 16, 12)
    assert torch.equal(model.separate(mixtures, 2, seed=1), model.separate(mixtures, 2, seed=1))
    assert not torch.equal(model.separate(mixtures, 2, seed=1), model.separate(mixtures, 2, seed=2))


@pytest.mark.parametrize("composition", ["mean", "magnitude_sum"])
def test_training_lowers_the_loss(composition):
    model = small_model(composition=composition, guided=0.0, normalise="none").train()
    mixtures = torch.rand(16, 16, 1).expand(-1, -1, 16).contiguous()
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        loss = model.loss(mixtures, *model.draw_noise(mixtures))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


def test_the_losses_of_parts_of_a_batch_have_the_mean_of_the_whole():
    model = small_model()
    mixtures = torch.rand(6, 16, 12) * torch.arange(1, 7)[:, None, None]
    grouping = torch.rand(6, 2, 16, 12)
    batch = (mixtures, *model.draw_noise(mixtures), grouping)
    halves = [model.loss(*(tensor.chunk(2)[i] for tensor in batch)) for i in range(2)]
    assert halves[0].item() != pytest.approx(halves[1].item(), rel=1e-2)
    torch.testing.assert_close((halves[0] + halves[1]) / 2, model.loss(*batch))


@pytest.mark.parametrize("frames", [12, 13, 18])
def test_each_component_has_a_latent_of_its_own_width_and_rate(frames):
    model = small_model(encoder={"channels": [8, 4], "kernel": 3, "pool": [1, 4], "width": [1, 3]})
    symmetric = small_model(encoder={"channels": [8, 4], "kernel": 3, "pool": 1})
    symmetric.load_state_dict(model.state_dict())
    mixtures = torch.rand(2, 16, frames)
    fast, slow = model.encode(mixtures).unbind(1)
    whole = symmetric.encode(mixtures)
    assert torch.equal(fast[:, :1], whole[:, 0, :1])
    assert not fast[:, 1:].any()
    assert slow[:, :3].any()
    assert not slow[:, 3:].any()
    torch.testing.assert_close(slow[:, :3, 4:9].diff(n=2)[..., 2:], torch.zeros(2, 3, 1), atol=1e-6, rtol=0)
    means = (whole[:, 1, :3, :4].mean(-1), whole[:, 1, :3, 4:8].mean(-1))
    torch.testing.assert_close(slow[:, :3, 3:5].mean(-1), (means[0] + means[1]) / 2)
    assert model.separate(mixtures, 2).shape == (2, 2, 16, frames)


def test_latents_that_are_told_to_keep_everything_are_the_plain_ones():
    plain = small_model(encoder={"channels": [8, 4], "kernel": 3, "pool": 1})
    told = small_model(encoder={"channels": [8, 4], "kernel": 3, "pool": [1, 1], "width": 4})
    mixtures = torch.rand(2, 16, 13)
    expected = torch.stack([encoder(mixtures) for encoder in plain.encoders], dim=1)
    assert torch.equal(plain.encode(mixtures), expected)
    assert torch.equal(told.encode(mixtures), expected)
    assert torch.equal(told.separate(mixtures, 2), plain.separate(mixtures, 2))


def test_the_last_of_the_widths_and_rates_holds_for_the_components_after_it():
    model = small_model(3, encoder={"channels": [8, 4], "kernel": 3, "pool": [1, 4], "width": [1, 3]})
    assert model.latent_sizes == [(1, 1), (3, 4), (3, 4)]
    assert small_model(3).latent_sizes == [(1, 1)] * 3


def test_a_latent_wider_than_the_channels_is_refused():
    values = read_yaml(PARAMS)
    values["decomposition"]["encoder"] |= {"channels": [64, 8], "width": [1, 16]}
    with pytest.raises(UserError, match="encoder: a width of 16 needs as many channels, and they end with 8"):
        check_params(values)


def test_the_level_of_a_mixture_only_scales_its_components():
    model = small_model(normalise="level")
    mixtures = torch.rand(1, 16, 12)
    torch.testing.assert_close(
        model.separate(5 * mixtures, 2), 5 * model.separate(mixtures, 2), atol=1e-4, rtol=1e-4
    )


def test_a_grouping_draws_the_components_to_it():
    model = small_model().train()
    mixtures = torch.rand(8, 16, 1).expand(-1, -1, 16).contiguous()
    grouping = torch.stack([mixtures, torch.zeros_like(mixtures)], dim=1)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(80):
        loss = model.loss(mixtures, *model.draw_noise(mixtures), grouping)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    components = model.eval().separate(mixtures, 1)
    assert components[:, 0].mean() > 3 * components[:, 1].mean()


def test_courses_that_are_copies_depend_fully_and_orthogonal_ones_not_at_all():
    time = torch.arange(48) / 48
    slow, fast = (1 + torch.cos(2 * torch.pi * cycles * time) for cycles in (1, 4))
    bands = torch.rand(1, 8, 1) + 0.1
    same, apart = (
        torch.stack([(bands * a).sqrt(), (3 * bands.flip(1) * b).sqrt()], dim=1)
        for a, b in ((slow, slow), (slow, fast))
    )
    assert dependence(same).item() == pytest.approx(1, abs=1e-4)
    assert dependence(apart).item() == pytest.approx(0, abs=1e-4)
    three = torch.cat([same, apart[:, 1:]], dim=1)  # of the three pairs one goes together
    assert dependence(three).item() == pytest.approx(1 / 3, abs=1e-4)


def test_dependence_counts_loud_bands_and_no_levels():
    torch.manual_seed(0)
    loud, quiet = torch.rand(1, 1, 1, 60), torch.rand(1, 1, 1, 60)
    first = torch.cat([loud, 1e-3 * quiet], dim=2)
    second = torch.cat([loud, 1e-3 * torch.rand_like(quiet)], dim=2)
    found = dependence(torch.cat([first, second], dim=1))
    assert found.item() == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(dependence(torch.cat([first, 5 * second], dim=1)), found)


def test_following_the_gradient_of_dependence_parts_the_courses_and_silence_has_one_too():
    torch.manual_seed(0)
    magnitudes = (torch.rand(1, 1, 6, 40) + 0.05 * torch.rand(1, 2, 6, 40)).requires_grad_()
    optimiser = torch.optim.Adam([magnitudes], 1e-2)
    before = dependence(magnitudes).item()
    for _ in range(60):
        optimiser.zero_grad()
        dependence(magnitudes).sum().backward()
        optimiser.step()
    assert dependence(magnitudes).item() < 0.2 * before
    silent = torch.zeros(1, 2, 6, 40, requires_grad=True)
    dependence(silent).sum().backward()
    assert torch.isfinite(silent.grad).all()


def test_independence_adds_the_dependence_of_the_components_to_the_loss():
    model = small_model()
    mixtures = torch.rand(3, 16, 24)
    batch = (mixtures, *model.draw_noise(mixtures))
    plain, half, whole = (
        model.loss(*batch, independence=torch.full((3,), weight)).item() for weight in (0.0, 0.5, 1.0)
    )
    assert plain == model.loss(*batch).item()
    assert plain < half < whole < plain + 1
    assert whole - plain == pytest.approx(2 * (half - plain), rel=1e-3)


def test_independence_without_magnitudes_is_refused():
    with pytest.raises(ValueError, match="it needs composition magnitude_sum"):
        small_model(composition="mean", guided=0.0, independence=0.1)

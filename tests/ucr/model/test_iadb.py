import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ucr.foundation.network_params import IadbParams
from ucr.model import iadb

C = IadbParams(variant="c", alpha_zero_share=0.0)
D = IadbParams(variant="d", alpha_zero_share=0.0)


NOTHING = torch.zeros(1, dtype=torch.bool), torch.zeros(1)


@given(st.integers(1, 60), st.sampled_from([C, D]))
@settings(max_examples=20, deadline=None)
def test_a_perfect_network_is_sampled_exactly(steps, params):
    torch.manual_seed(0)
    clean, noise = torch.randn(2, 2, 3, 5)
    prediction = iadb.target(clean, noise, params)
    out = iadb.sample(lambda x, alpha: prediction, noise, steps, params)
    torch.testing.assert_close(out, clean, atol=1e-5, rtol=1e-4)


@given(st.integers(1, 60), st.sampled_from([C, D]), st.floats(0, 0.99))
@settings(max_examples=20, deadline=None)
def test_the_midpoint_rule_samples_one_clean_signal_exactly(steps, params, start):
    torch.manual_seed(0)
    clean, noise = torch.randn(2, 2, 3, 5)
    blend = iadb.blend(clean, noise, torch.full((2,), start))

    def network(x, alpha):
        assert alpha.max() < 1
        return clean if params is C else (clean - x) / (1 - alpha.view(-1, 1, 1))

    out = iadb.sample_midpoint(network, blend, steps, params, NOTHING, start)
    torch.testing.assert_close(out, clean, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("params", [C, D])
@pytest.mark.parametrize("start", [0.0, 0.4])
def test_both_ways_show_the_network_the_blend_at_its_noise_level(params, start):
    torch.manual_seed(0)
    clean, noise = torch.randn(2, 2, 4)
    levels = []

    def network(x, alpha):
        levels.append(alpha[0].item())
        torch.testing.assert_close(x, iadb.blend(clean, noise, alpha), atol=1e-5, rtol=1e-4)
        return iadb.target(clean, noise, params)

    iadb.sample(network, noise, 10, params)
    assert levels == pytest.approx([i / 10 for i in range(10)])
    levels.clear()
    blend = iadb.blend(clean, noise, torch.full((2,), start))
    iadb.sample_midpoint(network, blend, 10, params, NOTHING, start)
    assert levels == pytest.approx([start + (1 - start) * i / 10 for i in range(10)])


@pytest.mark.parametrize("params", [C, D])
def test_a_gaussian_keeps_its_deviation_by_the_midpoint_rule_alone(params):
    torch.manual_seed(0)
    noise = torch.randn(4, 1000)

    def network(x, alpha):  # of clean signals of deviation 1, the mean given a blend
        alpha = alpha[:, None]
        clean = x * alpha / (alpha**2 + (1 - alpha) ** 2)
        return clean if params is C else (clean - x) / (1 - alpha)

    even = iadb.sample(network, noise, 25, params)
    midpoint = iadb.sample_midpoint(network, noise, 25, params, NOTHING)
    assert (even / noise).mean().item() == pytest.approx(0.95, abs=5e-3)
    assert (midpoint / noise).mean().item() == pytest.approx(1, abs=5e-3)


def test_what_is_kept_stays_bit_for_bit():
    torch.manual_seed(0)
    clean, noise = torch.randn(2, 2, 3, 5)
    mask = torch.zeros(2, 3, 5, dtype=torch.bool)
    mask[:, 1] = True
    seen = []

    def network(x, alpha):
        seen.append(torch.equal(x[:, 1], clean[:, 1]))
        return torch.randn_like(x)

    out = iadb.sample_midpoint(network, noise, 4, C, (mask, clean))
    assert seen == [True] * 4
    assert torch.equal(out[:, 1], clean[:, 1])
    assert not torch.allclose(out[:, 0], clean[:, 0])


def test_the_share_of_draws_at_zero():
    torch.manual_seed(0)
    alpha = iadb.draw_alpha(20_000, IadbParams(variant="c", alpha_zero_share=0.3), torch.device("cpu"))
    assert (alpha == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert alpha[alpha > 0].mean().item() == pytest.approx(0.5, abs=0.02)
    assert alpha.max() < 1


def test_a_warm_start_draws_pure_noise_alone_until_its_share_of_the_training_is_done():
    params = IadbParams(variant="c", alpha_zero_share=0.0, alpha_zero_first=0.4)
    drawn = [
        iadb.draw_alpha(100, params, torch.device("cpu"), progress) for progress in (0.0, 0.39, 0.4, 1.0)
    ]
    assert [bool(alpha.any()) for alpha in drawn] == [False, False, True, True]

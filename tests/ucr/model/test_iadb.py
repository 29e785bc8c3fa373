import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ucr.foundation.network_params import IadbParams
from ucr.model import iadb

C = IadbParams(variant="c", alpha_zero_share=0.0)
D = IadbParams(variant="d", alpha_zero_share=0.0)


@given(st.integers(1, 60), st.sampled_from([C, D]), st.floats(0, 0.99))
@settings(max_examples=20, deadline=None)
def test_a_perfect_network_is_sampled_exactly(steps, params, start):
    torch.manual_seed(0)
    clean, noise = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    prediction = iadb.target(clean, noise, params)
    blend = iadb.blend(clean, noise, torch.full((2,), start))
    out = iadb.sample(lambda x, alpha: prediction, blend, steps, params, start=start)
    torch.testing.assert_close(out, clean, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("start", [0.0, 0.4])
@pytest.mark.parametrize("params", [C, D])
def test_the_network_sees_the_blend_at_its_noise_level(params, start):
    torch.manual_seed(0)
    clean, noise = torch.randn(2, 4), torch.randn(2, 4)

    def network(x, alpha):
        torch.testing.assert_close(x, iadb.blend(clean, noise, alpha), atol=1e-5, rtol=1e-4)
        return iadb.target(clean, noise, params)

    blend = iadb.blend(clean, noise, torch.full((2,), start))
    iadb.sample(network, blend, 10, params, start=start)


def test_what_is_kept_stays_bit_for_bit():
    torch.manual_seed(0)
    clean, noise = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    mask = torch.zeros(2, 3, 5, dtype=torch.bool)
    mask[:, 1] = True
    seen = []

    def network(x, alpha):
        seen.append(torch.equal(x[:, 1], clean[:, 1]))
        return torch.randn_like(x)

    out = iadb.sample(network, noise, 4, C, (mask, clean))
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

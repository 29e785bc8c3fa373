import pytest
import torch

from ucr.foundation.network_params import IadbParams, UNetParams
from ucr.foundation.params import OptimParams, PriorParams
from ucr.model.prior import PriorModel, mask_probabilities, masks

OPTIM = OptimParams(
    steps=1, batch=1, crop=8, lr=1e-3, weight_decay=0.0, warmup=0, clip=0.0, ema=0.0, validate_every=1,
    schedule="constant",
)  # fmt: skip


def small_prior(n=2, variant="c"):
    params = PriorParams(
        full_mask_share=0.5,
        normalise=True,
        denoiser=UNetParams(
            channels=[16, 32], kernels=[3, 3], strides=[1, 2], attention=[False, True], dropout=0.0
        ),
        iadb=IadbParams(variant=variant, alpha_zero_share=0.0),
        optim=OPTIM,
    )
    torch.manual_seed(0)
    return PriorModel(n, 1, params, torch.arange(n) + 1.0, torch.arange(n) + 2.0, torch.ones(1)).eval()


@pytest.mark.parametrize(("n", "count"), [(2, 3), (3, 7)])
def test_every_non_empty_subset_once_and_the_probabilities_sum_to_one(n, count):
    subsets = masks(n)
    assert len({tuple(row) for row in subsets.tolist()}) == len(subsets) == count
    assert subsets.any(dim=1).all()
    assert subsets[-1].all()
    probabilities = mask_probabilities(n, 0.5)
    assert probabilities[-1] == 0.5
    assert probabilities.sum().item() == pytest.approx(1)
    assert probabilities[:-1].unique().numel() == 1


def test_a_channel_that_is_always_zero_stays_so():
    params = small_prior().params
    prior = PriorModel(2, 2, params, torch.zeros(4), torch.tensor([1.0, 0.0, 1.0, 1.0]), torch.ones(1)).eval()
    latents = torch.randn(5, 2, 2, 16)
    latents[:, 0, 1] = 0
    assert torch.isfinite(prior.loss(latents, *prior.draw_noise(latents)))
    out = prior.generate(latents, torch.ones(5, 2, dtype=torch.bool), steps=2)
    assert out[:, 0, 1].abs().max() < 1e-4
    assert out[:, 0, 0].abs().max() > 1e-2


@pytest.mark.parametrize("variant", ["c", "d"])
def test_kept_components_are_bit_identical_and_the_others_generated(variant):
    prior = small_prior(3, variant)
    latents = torch.randn(7, 3, 1, 20)
    generated = masks(3)
    out = prior.generate(latents, generated, steps=3)
    assert torch.equal(out[~generated], latents[~generated])
    assert not torch.isclose(out[generated], latents[generated]).all(dim=-1).any()
    assert torch.equal(out, prior.generate(latents, generated, steps=3))


def test_what_is_to_be_generated_does_not_leak_in():
    prior = small_prior(2)
    generated = torch.tensor([[True, False]])
    a = torch.randn(1, 2, 1, 20)
    b = a.clone()
    b[:, 0] += 5
    torch.testing.assert_close(prior.generate(a, generated, 3), prior.generate(b, generated, 3))


@pytest.mark.parametrize("variant", ["c", "d"])
def test_strength_goes_from_what_is_there_to_noise_alone(variant):
    prior = small_prior(2, variant)
    a, b = torch.randn(2, 3, 2, 1, 20)
    everything = masks(2)[[-1, -1, -1]]
    assert torch.equal(prior.generate(a, everything, 3, strength=0.0), a)
    torch.testing.assert_close(prior.generate(a, everything, 3), prior.generate(b, everything, 3))
    distances = [
        (prior.generate(a, everything, 3, strength=s) - a).square().mean().item() for s in (1e-3, 0.9)
    ]
    assert distances[0] < distances[1]


def test_kept_components_stay_bit_for_bit_at_any_strength():
    prior = small_prior(3)
    latents, generated = torch.randn(7, 3, 1, 20), masks(3)
    out = prior.generate(latents, generated, steps=3, strength=0.5)
    assert torch.equal(out[~generated], latents[~generated])
    assert not torch.isclose(out[generated], latents[generated]).all(dim=-1).any()


def test_guidance_adds_what_the_kept_components_change(monkeypatch):
    """A network whose clean signal is 1 where components are kept and 0 where none is: 1 + guidance comes out."""
    prior = small_prior(2)
    seen = []

    def predict(self, noisy, alpha, generated):
        seen.append((noisy, alpha, generated))
        return (~generated).any(dim=1).float()[:, None, None, None].expand_as(noisy)

    monkeypatch.setattr(PriorModel, "_predict", predict)
    latents = torch.randn(4, 2, 1, 20)
    generated = torch.tensor([[True, False]]).expand(4, 2)
    for guidance in (0.0, 1.5):
        made = prior.generate(latents, generated, steps=4, guidance=guidance)
        normalised = (made - prior.mean) / prior.std
        torch.testing.assert_close(normalised[:, 0], torch.full((4, 1, 20), 1 + guidance), atol=1e-4, rtol=0)
        assert torch.equal(made[:, 1], latents[:, 1])
    clean = (latents - prior.mean) / prior.std
    (_, asked), (blurred, free) = [(noisy[:, 1], marked.all()) for noisy, _, marked in seen[-2:]]
    assert (asked, free) == (False, True)
    assert not torch.isclose(blurred, clean[:, 1]).any()


def test_guidance_by_nothing_changes_nothing():
    prior = small_prior(3)
    latents, every = torch.randn(4, 3, 1, 20), torch.ones(4, 3, dtype=torch.bool)
    assert torch.equal(
        prior.generate(latents, every, steps=3, guidance=3.0), prior.generate(latents, every, steps=3)
    )


def test_more_samples_than_one_batch_are_those_of_one_batch(monkeypatch):
    prior = small_prior(2)
    latents, generated = torch.randn(5, 2, 1, 20), masks(2)[[0, 1, 2, 0, 2]]
    together = prior.generate(latents, generated, 2)
    monkeypatch.setattr("ucr.model.prior.BATCH", 2)
    torch.testing.assert_close(prior.generate(latents, generated, 2), together)


def test_the_losses_of_parts_of_a_batch_have_the_mean_of_the_whole():
    prior = small_prior(3)
    batch = torch.randn(12, 3, 1, 16)
    batch = (batch, *prior.draw_noise(batch))
    halves = [prior.loss(*(tensor.chunk(2)[i] for tensor in batch)) for i in range(2)]
    assert halves[0].item() != pytest.approx(halves[1].item(), rel=1e-2)
    torch.testing.assert_close((halves[0] + halves[1]) / 2, prior.loss(*batch))


def test_training_lowers_the_loss():
    prior = small_prior(2).train()
    latents = torch.randn(32, 2, 1, 1).expand(-1, -1, -1, 16).contiguous()
    optimiser = torch.optim.Adam(prior.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        loss = prior.loss(latents, *prior.draw_noise(latents))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])

"""Mixture invariant training: its loss, its mixtures, and how outputs are joined."""

import numpy as np
import pytest
import torch

from baselines.mixit import Consistent, joined
from ucr.training.mixit import MAX_SNR, mixit_loss, pairs_of_mixtures


@pytest.fixture
def outputs():
    return torch.randn(3, 4, 2000, generator=torch.Generator().manual_seed(0))


def test_any_assignment_of_outputs_to_mixtures_is_found(outputs):
    for first in ([0], [1, 2], [0, 3], [0, 1, 2, 3]):
        rest = [i for i in range(4) if i not in first]
        mixtures = torch.stack([outputs[:, first].sum(dim=1), outputs[:, rest].sum(dim=1)], dim=1)
        if rest:
            assert mixit_loss(outputs, mixtures).item() == pytest.approx(-MAX_SNR, abs=0.01)


def test_the_loss_is_the_noise_to_signal_ratio_of_both_mixtures(outputs):
    """A tenth of one mixture lands in the other: 20 dB for both, and a thousandth for the threshold."""
    mixtures = torch.stack([torch.ones(1, 100), torch.tensor([1.0, -1.0]).repeat(50)[None]], dim=1)
    leaked = torch.stack([0.9 * mixtures[:, 0], 0.1 * mixtures[:, 0] + mixtures[:, 1]], dim=1)
    expected = 10 * np.log10(0.01 + 10 ** (-MAX_SNR / 10))
    assert mixit_loss(leaked, mixtures).item() == pytest.approx(expected, abs=1e-3)


def test_gradients_follow_the_best_assignment(outputs):
    mixtures = torch.stack([outputs[:, 0], outputs[:, 1]], dim=1)
    given = outputs.clone().requires_grad_()
    loss = mixit_loss(given, mixtures)
    loss.backward()
    assert mixit_loss(given.detach() - 100 * given.grad, mixtures) < loss


class Ramps:
    """Stands for a segment store: segment i is i + 1 in every sample of both sources."""

    def __len__(self):
        return 5

    def __getitem__(self, i):
        return type("Segment", (), {"mixture": np.zeros(100)})

    def crop(self, i, sources=slice(None), samples=slice(None)):
        return np.full((2, 100), i + 1.0, np.float32)[sources, samples]


def test_two_different_mixtures_are_added():
    pairs = pairs_of_mixtures(Ramps(), np.random.default_rng(0), 200, 30).numpy()
    assert pairs.shape == (200, 2, 30)
    assert np.ptp(pairs, axis=2).max() == 0
    gains = np.abs(pairs[..., 0])
    assert (gains <= 1.25 * 5).all()
    again = pairs_of_mixtures(Ramps(), np.random.default_rng(0), 200, 30).numpy()
    np.testing.assert_array_equal(pairs, again)

    class Noted(Ramps):
        def crop(self, i, sources=slice(None), samples=slice(None)):
            items.append(i)
            return super().crop(i, sources, samples)

    items = []
    pairs_of_mixtures(Noted(), np.random.default_rng(0), 200, 30)
    assert all(first != second for first, second in zip(items[::2], items[1::2], strict=True))
    assert set(items) == set(range(5))


def test_outputs_are_made_to_add_up_to_the_mixture(outputs):
    mixture = torch.randn(3, 2000)
    made = Consistent(lambda _: outputs)(mixture)
    torch.testing.assert_close(made.sum(dim=1), mixture, atol=1e-5, rtol=0)
    torch.testing.assert_close(made - outputs, (made - outputs)[:, :1].expand_as(made), atol=1e-6, rtol=0)


def test_quiet_outputs_and_parts_of_one_sound_are_joined():
    time = torch.arange(24000) / 24000
    low, high = (torch.sin(2 * torch.pi * pitch * time) for pitch in (110, 3000))
    quiet = 0.001 * torch.randn(24000, generator=torch.Generator().manual_seed(0))
    found = joined(torch.stack([0.7 * low, quiet, high, 0.3 * low]), 2)
    found = found[found.square().sum(dim=1).argsort()]
    errors = [min((each - sound).square().mean() for each in found) for sound in (low, high)]
    assert max(errors) < 1e-5
    torch.testing.assert_close(found.sum(dim=0), low + high + quiet, atol=1e-5, rtol=0)


def test_silence_is_joined_too():
    assert not joined(torch.zeros(4, 24000), 2).any()

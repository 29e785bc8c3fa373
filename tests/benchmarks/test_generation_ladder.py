import numpy as np
import torch

from benchmarks.generation import embed, ladder
from tests.ucr.model.test_recomposition import make_recomposer
from ucr.training.components import rebuilt_and_real


class Store:
    """Latents of mixtures in memory."""

    def __init__(self, mixtures):
        self.mixtures = mixtures

    def __len__(self):
        return len(self.mixtures)

    def mixture(self, i):
        return self.mixtures[i].numpy()


def test_calibration_takes_rebuilt_training_mixtures_to_real_ones_and_levels_are_their_own():
    torch.manual_seed(0)
    recomposer, mixtures = make_recomposer(normalise="level"), torch.rand(6, 16, 40).square() + 0.1
    levels = recomposer.model.level(mixtures)
    latents = recomposer.model.encode(recomposer.model.normalise(mixtures)).detach()
    curves = rebuilt_and_real(recomposer.model, Store(mixtures), latents, 1, torch.device("cpu"))
    assert curves.shape == (2, 16, 33)
    recomposer.prior.curves, recomposer.prior.levels = curves, levels.flatten().sort().values
    sets = ladder(recomposer, mixtures, latents, levels, steps=2, seed=0)
    assert {tuple(made.shape) for made in sets.values()} == {tuple(mixtures.shape)}

    def distance(name):
        real = (mixtures / levels).transpose(0, 1).flatten(1).sort().values
        return (real - (sets[name] / levels).transpose(0, 1).flatten(1).sort().values).abs().mean()

    assert distance("rebuilt, calibrated") < 0.1 * distance("rebuilt")
    energies = sets["rebuilt, one level"].square().mean((1, 2)) / sets["rebuilt"].square().mean((1, 2))
    torch.testing.assert_close(energies, (levels.mean() / levels.flatten()).square())
    assert all(np.isfinite(values).all() for made in sets.values() for values in embed(made).values())

import numpy as np
import torch

from ucr.signal.nmf import factorise, nndsvd, random_factors


def divergence(magnitudes, spectra, activations):
    model = spectra @ activations + 1e-9
    return float((magnitudes * ((magnitudes + 1e-9) / model).log() - magnitudes + model).sum())


def test_one_spectrum_is_found_at_once():
    rng = np.random.default_rng(0)
    spectrum, activation = (torch.from_numpy(rng.random(n, dtype=np.float32)) for n in (30, 50))
    magnitudes = torch.outer(spectrum, activation)[None]
    found = torch.matmul(*nndsvd(magnitudes, 1))
    assert (found - magnitudes).norm() < 0.1 * magnitudes.norm()


def test_sounds_that_share_nothing_have_a_spectrum_each():
    magnitudes = torch.zeros(1, 20, 40)
    magnitudes[0, :10, :15] = 1
    magnitudes[0, 10:, 15:] = 3
    spectra, activations = factorise(magnitudes, *nndsvd(magnitudes, 2), 50)
    assert divergence(magnitudes, spectra, activations) < 1e-3 * float(magnitudes.sum())
    assert (spectra[0, :10].argmax(dim=1) != spectra[0, 10:].argmax(dim=1)).all()


def test_it_starts_nearer_than_chance_does():
    rng = np.random.default_rng(0)
    parts = rng.gamma(0.2, size=(4, 40, 4)) @ rng.gamma(0.2, size=(4, 4, 60))
    magnitudes = torch.from_numpy(parts.astype(np.float32))
    drawn = random_factors(magnitudes, 4, torch.Generator().manual_seed(0))
    assert divergence(magnitudes, *nndsvd(magnitudes, 4)) < divergence(magnitudes, *drawn)


def test_factors_are_positive_also_of_silence_and_of_few_frames():
    for magnitudes in (torch.zeros(2, 8, 9), torch.rand(2, 8, 3)):
        spectra, activations = nndsvd(magnitudes, 4)
        assert spectra.shape[:2] == (2, 8)
        assert activations.shape[::2] == (2, magnitudes.shape[2])
        assert min(spectra.min(), activations.min()) >= 0
        assert max(spectra.max(), activations.max()) < np.inf

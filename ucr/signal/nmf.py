"""Non-negative matrix factorisation of many matrices at once."""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-9


def random_factors(magnitudes: Tensor, n_spectra: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A start for `factorise`, uniform in [0.1, 1.1] times the mean of each matrix.

    Parameters
    ----------
    magnitudes : float32[n, bins, frames]
    n_spectra
        Columns of W.
    generator
        On the CPU.

    Returns
    -------
    W : float32[n, bins, n_spectra]
    H : float32[n, n_spectra, frames]
        On the device of the magnitudes.
    """
    n, bins, frames = magnitudes.shape
    spectra, activations = (
        torch.rand(shape, generator=generator).to(magnitudes.device) + 0.1
        for shape in ((n, bins, n_spectra), (n, n_spectra, frames))
    )
    return spectra, activations * magnitudes.mean(dim=(1, 2), keepdim=True)


def nndsvd(magnitudes: Tensor, n_spectra: int) -> tuple[Tensor, Tensor]:
    """A start for `factorise` that owes nothing to chance, from the singular vectors of each matrix.

    Boutsidis & Gallopoulos, *SVD based initialization: a head start for nonnegative matrix factorization* (2008): of
    every pair of singular vectors the positive or the negative parts, whichever have the larger product. A hundredth
    of the root of the matrix's mean is added, since updates lead nowhere from 0.

    Parameters
    ----------
    magnitudes : float32[n, bins, frames]
        Not negative.
    n_spectra
        Columns of W, at most; there are no more than bins or frames.

    Returns
    -------
    W : float32[n, bins, n_spectra]
    H : float32[n, n_spectra, frames]
    """
    left, values, right = torch.linalg.svd(magnitudes, full_matrices=False)
    left, values, right = left.mT[:, :n_spectra], values[:, :n_spectra], right[:, :n_spectra]
    positive = left.clamp(min=0).norm(dim=2) * right.clamp(min=0).norm(dim=2)
    negative = left.clamp(max=0).norm(dim=2) * right.clamp(max=0).norm(dim=2)
    sign = torch.where(positive < negative, -1.0, 1.0)[..., None]
    scale = (values * torch.maximum(positive, negative)).sqrt()[..., None]
    floor = magnitudes.mean(dim=(1, 2), keepdim=True).sqrt() / 100
    spectra, activations = (
        scale * torch.nn.functional.normalize((sign * each).clamp(min=0), dim=2) + floor
        for each in (left, right)
    )
    return spectra.mT, activations


def factorise(
    magnitudes: Tensor, spectra: Tensor, activations: Tensor, updates: int
) -> tuple[Tensor, Tensor]:
    """Fit non-negative factors W H to magnitudes, for the Kullback-Leibler divergence.

    The updates are theorem 2 of Lee & Seung, *Algorithms for non-negative matrix factorization* (2000), H first.

    Parameters
    ----------
    magnitudes : float32[n, bins, frames]
    spectra : float32[n, bins, n_spectra]
        Where W starts.
    activations : float32[n, n_spectra, frames]
        Where H starts.
    updates
        Of W and of H.

    Returns
    -------
    W, H
        Of the shapes they started with.
    """
    # One for all updates: on a CPU, taking new memory each time doubles the time of a batch.
    ratio = torch.empty_like(magnitudes)
    for _ in range(updates):
        torch.div(magnitudes, torch.matmul(spectra, activations, out=ratio).add_(TINY), out=ratio)
        activations = activations * (spectra.mT @ ratio) / (spectra.sum(dim=1)[..., None] + TINY)
        torch.div(magnitudes, torch.matmul(spectra, activations, out=ratio).add_(TINY), out=ratio)
        spectra = spectra * (ratio @ activations.mT) / (activations.sum(dim=2)[:, None] + TINY)
    return spectra, activations

"""Robust principal component analysis: a low-rank background and a sparse foreground."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ucr.methods.contract import Baseline, Meta
from ucr.signal.spectrogram import apply_masks, stft

META = Meta(
    name="rpca",
    kind="blind",
    paper="Huang, Chen, Smaragdis & Hasegawa-Johnson, Singing-voice separation from monaural recordings "
    "using robust principal component analysis, ICASSP 2012",
    summary="The spectrogram as low-rank plus sparse: background, then foreground",
    n_sources=2,
)
GROWTH = 1.5  # of the penalty mu from one iteration to the next
ITERATIONS = 1000  # at most
SPARE = 10  # directions beyond the rank: Halko, Martinsson & Tropp's oversampling


class Method(Baseline):
    """Split the magnitude spectrogram M into L + S by principal component pursuit, then mask.

    The paper minimises |L|_* + lambda |S|_1 subject to L + S = M with lambda =
    k / sqrt(max(bins, frames)), by the inexact augmented Lagrange multiplier of Lin, Chen & Ma (2010),
    and gives a bin to S where |S| > gain |L|, by a binary mask on the mixture.

    Parameters
    ----------
    n_fft, hop
        Length of the Hann window and step between windows, in samples; the paper's.
    k, gain
        As above; the paper's main results have both at 1.
    tolerance
        Relative residual at which the iterations stop.
    """

    def __init__(
        self, n_fft: int = 1024, hop: int = 256, k: float = 1.0, gain: float = 1.0, tolerance: float = 1e-4
    ):
        self.n_fft, self.hop, self.k, self.gain, self.tolerance = n_fft, hop, k, gain, tolerance

    @torch.no_grad()
    def separate(self, mixture: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """See `Baseline.separate`."""
        spectrogram = stft(mixture, self.n_fft, self.hop)
        magnitude = np.abs(spectrogram)
        if not magnitude.any():  # There is no norm to divide by.
            return np.zeros((n_sources, len(mixture)), dtype=np.float32)
        sparsity = self.k / np.sqrt(max(magnitude.shape))
        low_rank, sparse = principal_component_pursuit(torch.from_numpy(magnitude), sparsity, self.tolerance)
        foreground = (sparse.abs() > self.gain * low_rank.abs()).numpy()
        masks = np.stack([~foreground, foreground]).astype(np.float32)
        return apply_masks(spectrogram, masks, len(mixture), self.n_fft, self.hop)


def principal_component_pursuit(matrix: Tensor, sparsity: float, tolerance: float) -> tuple[Tensor, Tensor]:
    """Minimise |L|_* + sparsity |S|_1 subject to L + S = matrix.

    Algorithm 5 of Lin, Chen & Ma, *The augmented Lagrange multiplier method for exact recovery of corrupted low-rank
    matrices* (2010), with their starts and growth of the penalty.

    Parameters
    ----------
    matrix : float32[rows, columns]
        Not all 0.
    sparsity
        Weight of S.
    tolerance
        |matrix - L - S| / |matrix| at which to stop.

    Returns
    -------
    L, S : float32[rows, columns]
    """
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(len(matrix), min(SPARE, *matrix.shape), generator=generator)
    spectral = float(torch.linalg.matrix_norm(matrix, 2))
    penalty, norm = 1.25 / spectral, matrix.norm()
    dual = matrix / max(spectral, float(matrix.abs().sum(dim=1).max()) / sparsity)
    sparse = torch.zeros_like(matrix)
    for _ in range(ITERATIONS):
        shifted = matrix + dual / penalty
        low_rank, basis = shrink_singular_values(shifted - sparse, 1 / penalty, basis, generator)
        sparse = torch.nn.functional.softshrink(shifted - low_rank, sparsity / penalty)
        residual = matrix - low_rank - sparse
        if residual.norm() < tolerance * norm:
            break
        dual += penalty * residual
        penalty *= GROWTH
    return low_rank, sparse


def shrink_singular_values(
    matrix: Tensor, threshold: float, basis: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Take `threshold` off every singular value, and leave out those below it.

    Only the leading singular vectors are found, by a step of subspace iteration from `basis` (Halko, Martinsson &
    Tropp, *Finding structure with randomness*, 2011). The rank is checked: while all singular values found are above
    the threshold, there may be more, and the basis doubles.

    Parameters
    ----------
    matrix : float32[rows, columns]
    threshold
        Above 0.
    basis : float32[rows, n]
        To start from, such as the last singular vectors of a similar matrix.
    generator
        Of what widens it.

    Returns
    -------
    low_rank : float32[rows, columns]
    basis : float32[rows, rank + SPARE]
        Of the left singular vectors kept, and of a few more.
    """
    full = min(matrix.shape)
    while True:
        basis = torch.linalg.qr(matrix @ (matrix.mT @ basis))[0]
        within = basis.mT @ matrix
        squares, vectors = torch.linalg.eigh((within @ within.mT).double())
        values, vectors = squares.clamp_min(0).sqrt().float(), vectors.float()
        rank = int((values > threshold).sum())
        if rank < len(values) or len(values) == full:
            break
        more = torch.randn(len(matrix), min(len(values), full - len(values)), generator=generator)
        basis = torch.cat([basis, more], dim=1)
    kept = vectors[:, len(values) - rank :]
    shrunk = (kept * (1 - threshold / values[len(values) - rank :])) @ (kept.mT @ within)
    leading = basis @ vectors[:, max(0, len(values) - rank - SPARE) :]
    missing = min(rank + SPARE, full) - leading.shape[1]
    return basis @ shrunk, torch.cat([leading, torch.randn(len(matrix), missing, generator=generator)], dim=1)

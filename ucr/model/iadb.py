"""Iterative alpha-(de)blending: the diffusion of the method.

Heitz, Belcour & Chambon, *Iterative alpha-(de)blending: a minimalist deterministic diffusion model*
(SIGGRAPH 2023). A blend is x_alpha = alpha x + (1 - alpha) eps, with eps Gaussian; alpha = 0 is noise.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ucr.foundation.network_params import IadbParams


def draw_alpha(batch: int, params: IadbParams, device: torch.device, progress: float = 1.0) -> Tensor:
    """Noise levels for a training batch: a share exactly 0, the rest uniform in [0, 1); float32[batch].

    `progress` is the share of the training that is done: all levels are 0 until it reaches `alpha_zero_first`.
    """
    alpha = torch.rand(batch, device=device)
    share = params.alpha_zero_share if progress >= params.alpha_zero_first else 1.0
    zero = torch.rand(batch, device=device) < share
    return alpha.masked_fill(zero, 0.0)


def blend(clean: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:
    """x_alpha for one noise level an item: `clean` and `noise` are [b, ...], `alpha` is [b]."""
    alpha = alpha.view(-1, *[1] * (clean.dim() - 1))
    return alpha * clean + (1 - alpha) * noise


def target(clean: Tensor, noise: Tensor, params: IadbParams) -> Tensor:
    """What the network predicts: the clean signal (`c`) or its difference from the noise (`d`)."""
    return clean if params.variant == "c" else clean - noise


Predict = Callable[[Tensor, Tensor], Tensor]


@torch.no_grad()
def sample(predict: Predict, noise: Tensor, steps: int, params: IadbParams) -> Tensor:
    """Go from noise to a sample in `steps` even steps of alpha: the paper's.

    Parameters
    ----------
    predict
        The network: (x_alpha [b, ...], alpha [b]) -> its prediction [b, ...].
    noise : float32[b, ...]
    steps
        How many evaluations of the network.
    params
        The variant that the network was trained with.

    Returns
    -------
    float32[b, ...]
    """
    x = noise
    for step in range(steps):
        alpha = step / steps
        x = x + _slope(predict, x, alpha, params) / steps
    return x


@torch.no_grad()
def sample_midpoint(
    predict: Predict,
    start: Tensor,
    steps: int,
    params: IadbParams,
    keep: tuple[Tensor, Tensor],
    alpha: float = 0.0,
) -> Tensor:
    """Go from noise, or a blend with it, to a sample by the midpoint rule, in even steps of alpha.

    The steps of `sample` are of the first order and shrink what they make: of a Gaussian's standard deviation 25 leave
    0.95. The midpoint rule is of the second order: 13 of its steps leave 1.00.

    Parameters
    ----------
    predict, params
        As for `sample`.
    start : float32[b, ...]
        Noise, or a blend of a clean signal and noise.
    steps
        Evaluations of the network, two to a step; an odd number is rounded up.
    keep : (mask bool[b, ...], clean float32[b, ...])
        Where the mask is True the sample holds `clean`, bit for bit, at every step.
    alpha
        Of `start`, below 1.

    Returns
    -------
    float32[b, ...]
    """
    n = -(-steps // 2)
    size = (1 - alpha) / n
    x = torch.where(*keep, start)
    for step in range(n):
        here = alpha + step * size
        middle = torch.where(*keep, x + size / 2 * _slope(predict, x, here, params))
        x = torch.where(*keep, x + size * _slope(predict, middle, here + size / 2, params))
    return x


def _slope(predict: Predict, x: Tensor, alpha: float, params: IadbParams) -> Tensor:
    """The derivative of a blend by alpha, as the network sees it: clean minus noise."""
    prediction = predict(x, torch.full((len(x),), alpha, device=x.device))
    return (prediction - x) / (1 - alpha) if params.variant == "c" else prediction

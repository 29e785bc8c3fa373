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


@torch.no_grad()
def sample(
    predict: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
    steps: int,
    params: IadbParams,
    keep: tuple[Tensor, Tensor] | None = None,
    start: float = 0.0,
) -> Tensor:
    """Go from noise, or a blend with it, to a sample in `steps` even steps of alpha.

    Parameters
    ----------
    predict
        The network: (x_alpha [b, ...], alpha [b]) -> its prediction [b, ...].
    noise : float32[b, ...]
        Where to start: noise, or a blend of a clean signal and noise at alpha = `start`.
    steps
        How many evaluations of the network.
    params
        The variant that the network was trained with.
    keep : (mask bool[b, ...], clean float32[b, ...]), optional
        Where the mask is True the sample holds `clean`, bit for bit, at every step.
    start
        Alpha of `noise`, below 1.

    Returns
    -------
    float32[b, ...]
    """

    def held(x: Tensor) -> Tensor:
        return x if keep is None else torch.where(keep[0], keep[1], x)

    x = held(noise)
    for step in range(steps):
        alpha = torch.full((len(x),), start + (1 - start) * step / steps, device=x.device)
        prediction = predict(x, alpha)
        if params.variant == "c":
            remaining = (steps - step - 1) / (steps - step)
            x = held(prediction + remaining * (x - prediction))
        else:
            x = held(x + (1 - start) / steps * prediction)
    return x

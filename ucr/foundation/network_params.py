"""The parameters of networks and of their diffusion, checked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ucr.foundation.schema import Section

HEAD_CHANNELS = 32  # of attention

Size = Annotated[int, Field(gt=0)]
SizeList = Annotated[list[Size], Field(min_length=1)]


class EncoderParams(Section):
    """One encoder per component: convolution channels after the codec's, the last being the component latent's.

    A component latent is averaged over every `pool` frames and interpolated back (the paper: 1), and its channels
    beyond the first `width` are zero (null: none of them). Either is one number for all components, or a list whose
    last number also holds for the components after it.
    """

    channels: list[Size] = Field(min_length=1)
    kernel: Size
    pool: Size | SizeList = 1
    width: Size | SizeList | None = None

    def latents(self, n_components: int) -> list[tuple[int, int]]:
        """Every component's (width, pool)."""
        widths, pools = _listed(self.width or self.channels[-1]), _listed(self.pool)
        return [(widths[min(i, len(widths) - 1)], pools[min(i, len(pools) - 1)]) for i in range(n_components)]

    @model_validator(mode="after")
    def _latents_are_wide_enough(self) -> EncoderParams:
        if self.width and max(_listed(self.width)) > self.channels[-1]:
            raise ValueError(
                f"a width of {max(_listed(self.width))} needs as many channels, and they end with {self.channels[-1]}"
            )
        return self


def _listed(value: int | list[int]) -> list[int]:
    return value if isinstance(value, list) else [value]


class UNetParams(Section):
    """The denoiser: channels after the first level, and each level's kernel, stride and attention."""

    channels: list[Size] = Field(min_length=1)
    kernels: list[Size]
    strides: list[Size]
    attention: list[bool]
    dropout: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _levels_agree(self) -> UNetParams:
        if not len(self.channels) == len(self.kernels) == len(self.strides) == len(self.attention):
            raise ValueError("channels, kernels, strides and attention need one entry per level each")
        return self

    @model_validator(mode="after")
    def _heads_are_even(self) -> UNetParams:
        for channels, attends in zip(self.channels, self.attention, strict=True):
            if attends and channels % max(1, channels // HEAD_CHANNELS):
                raise ValueError(
                    f"attention has heads of {HEAD_CHANNELS} channels, which {channels} have no even share of"
                )
        return self


class IadbParams(Section):
    """Iterative alpha-(de)blending: `c` predicts the clean latent, `d` its difference from the noise.

    `alpha_zero_share` of the training draws have alpha = 0 (pure noise in); the rest are uniform. A parameter of
    the study alone (`benchmarks/ablation.yaml`): for the `alpha_zero_first` share of the training, from its start, all
    of them have alpha = 0.
    """

    variant: Literal["c", "d"]
    alpha_zero_share: float = Field(ge=0, le=1)
    alpha_zero_first: float = Field(default=0.0, ge=0, le=1)

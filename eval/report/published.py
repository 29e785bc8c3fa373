"""Figures from the literature: `reports/published.yaml`, read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from ucr.foundation.errors import UserError

PATH = Path("reports/published.yaml")


class Strict(BaseModel):
    """No key is unknown or of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Figure(Strict):
    """One figure: `mean` over `n` examples or tracks (null: the source doesn't say), their `values` where known."""

    task: str
    source: str
    metric: str
    mean: float
    n: int | None = Field(gt=0)
    values: list[float] | None

    @model_validator(mode="after")
    def _values_agree(self) -> Figure:
        if self.values is not None:
            if len(self.values) != self.n:
                raise ValueError(f"{len(self.values)} values, but n is {self.n}")
            if abs(sum(self.values) / len(self.values) - self.mean) > 0.006:
                raise ValueError(f"the mean of {self.values} is not {self.mean}")
        return self


class Published(Strict):
    """Figures of one source.

    Attributes
    ----------
    name
        What the figures are of, for tables.
    paper
        Authors, title, venue and year.
    place
        Where they stand: the table's number, or the address of the audio.
    measured_by
        `source`: read there; `this suite`: computed by its scorer from audio that the source publishes.
    reference
        What estimates were scored against: `waveform`, or `codec` for sources encoded and decoded.
    protocol
        How they were measured.
    """

    name: str
    paper: str
    place: str
    measured_by: Literal["source", "this suite"]
    reference: Literal["waveform", "codec"]
    protocol: str
    figures: list[Figure] = Field(min_length=1)


def read_published(path: Path = PATH) -> list[Published]:
    """Read the file.

    Raises
    ------
    UserError
        If it is missing, is not YAML or a key is missing, unknown or wrong; the key is named.
    """
    try:
        return TypeAdapter(list[Published]).validate_python(yaml.safe_load(path.read_text()))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: restore it from the repository") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: {'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}") from None

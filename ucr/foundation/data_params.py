"""The parameters of data sets: which songs a run is trained on and tested on."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from ucr.foundation.schema import Section

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ ()-]*")  # of a source, and so of files


def _source_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no source name: use letters, digits, spaces, _, ( ) and -")
    return name


SourceName = Annotated[str, AfterValidator(_source_name)]


class TrackCounts(Section):
    """Songs of `slakh_mini` in each split."""

    train: int = Field(gt=0)
    validation: int = Field(gt=0)
    test: int = Field(gt=0)


class SongSeconds(Section):
    """How long the songs of `slakh_mini` last in each split. More and shorter ones make narrower intervals."""

    train: float = Field(ge=10)
    validation: float = Field(ge=10)
    test: float = Field(ge=10)


class DataParams(Section):
    """Where the songs come from.

    `slakh_mini` is composed and rendered; `slakh2100` is the user's own folder in either published
    layout; `midi` is a folder of the user's MIDI files, rendered to the same layout. Songs sound by
    `soundfont` (null: pretty_midi's); those of `slakh_mini`'s training split by it and `train_soundfonts` in turn.
    `stems` is the user's folder of multitracks (`ucr.data.stems`), where the mapping `stems` has the names of files by
    source, if they are not called after it; `musdb18` is the same for MUSDB18's stem files. `songs` is a folder of
    songs without stems, which are only trained on.
    """

    name: Literal["slakh_mini", "slakh2100", "midi", "stems", "musdb18", "songs"]
    path: str | None
    stems: dict[SourceName, list[str]] = Field(default={})
    tracks: TrackCounts
    seconds: SongSeconds
    soundfont: str | None
    train_soundfonts: list[str]

    @model_validator(mode="after")
    def _needs_path(self) -> DataParams:
        if self.name != "slakh_mini" and not self.path:
            raise ValueError(f"{self.name} needs `path`, the folder that holds it")
        return self


class TestSetParams(Section):
    """A set that methods are only tested on, in segments of `seconds` (null: as long as those of `data`).

    `stems`, `musdb18` and `slakh2100` are as in `DataParams`: their test folder, or all of them where there are no
    folders for splits. `stempeg` is the song with stems that this package carries.
    """

    name: Literal["slakh2100", "stems", "musdb18", "stempeg"]
    path: str | None = None
    stems: dict[SourceName, list[str]] = Field(default={})
    seconds: float | None = Field(default=None, ge=1, le=3600)

    @model_validator(mode="after")
    def _needs_path(self) -> TestSetParams:
        if self.name != "stempeg" and not self.path:
            raise ValueError(f"{self.name} needs `path`, the folder that holds it")
        return self

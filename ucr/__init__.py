"""Unsupervised composable representations for audio: music taken apart and put together without true sources.

The names here are the functions behind the program `ucr`:

>>> import ucr
>>> ucr.separate("song.mp3", "stems")  # doctest: +SKIP
{'drums': Path('stems/song/drums.wav'), 'bass': Path('stems/song/bass.wav')}

`load_separator` and `load_recomposer` give the models themselves, for audio in memory; `UserError` is
what every mistake that the caller can fix raises, in one sentence.

Nothing is loaded before it is asked for, so that `import ucr` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ucr.data.slakh.download import download_slakh2100
    from ucr.foundation.errors import UserError
    from ucr.program.cards import baselines, info
    from ucr.program.generation import generate, load_recomposer, recombine, reconstruct, vary
    from ucr.program.learning import train
    from ucr.program.separation import load_separator, separate, unpack

__all__ = [
    "UserError",
    "baselines",
    "download_slakh2100",
    "generate",
    "info",
    "load_recomposer",
    "load_separator",
    "recombine",
    "reconstruct",
    "separate",
    "train",
    "unpack",
    "vary",
]

_HOMES = {
    "ucr.foundation.errors": ["UserError"],
    "ucr.program.cards": ["baselines", "info"],
    "ucr.data.slakh.download": ["download_slakh2100"],
    "ucr.program.generation": ["generate", "load_recomposer", "recombine", "reconstruct", "vary"],
    "ucr.program.separation": ["load_separator", "separate", "unpack"],
    "ucr.program.learning": ["train"],
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(importlib.import_module(home), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Importing what imports torchaudio where that doesn't load."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec


@contextmanager
def torchaudio_or_an_empty_module() -> Iterator[None]:
    """Let libraries be imported that import torchaudio for functions that are not used here.

    torchaudio has no build for some CPU-only PyTorch, and raises a RuntimeError beside a PyTorch of another CUDA:
    there, an empty module takes its place meanwhile.
    """
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        sys.modules["torchaudio"] = module_from_spec(ModuleSpec("torchaudio", None))
        try:
            yield
        finally:
            del sys.modules["torchaudio"]
    else:
        yield

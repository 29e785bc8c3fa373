"""Mappings that come from YAML and JSON files, checked against what they may hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from ucr.foundation.errors import UserError

M = TypeVar("M", bound=BaseModel)
PARAMS_FILE = "params.yaml"
WHOLE = {"methods", "supervised", "tests", "unsupervised", "variants"}


class Section(BaseModel):
    """A part of the parameters: immutable, and no key is unknown or of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Description(BaseModel):
    """What is used of a JSON file that describes a stage's output; its other keys are for people."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


def read_yaml(path: str | Path) -> dict:
    """Read a YAML mapping by the safe loader."""
    try:
        value = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run from the project's root or fix the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no mapping of keys to values")
    return value


def checked(
    model: type[M], values: dict, path: str | Path, remedy: str = "", place: tuple[str, ...] = ()
) -> M:
    """Turn the mapping that was read from `path` into a model; a `UserError` names the first key that is wrong."""
    for key, value in _texts(values, place):
        if "\0" in value:
            raise UserError(f"{path}: {key}: has a NUL character in it, which no name has: remove it")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in (*place, *first["loc"])) or "the file"
        what = {
            "extra_forbidden": "is an unknown key: remove it or fix its name",
            "missing": "is missing: add it",
        }
        reason = what.get(first["type"], first["msg"].removeprefix("Value error, "))
        if first["type"] == "float_type" and isinstance(first["input"], str):
            reason += f", and YAML reads {first['input']} as text: write it like 1.0e-3"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise UserError(f"{path}: {key}: {reason}{more}{remedy and ': ' + remedy}") from None


def _texts(value: Any, place: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Every text in nested mappings and lists, with its key."""
    if isinstance(value, str):
        yield ".".join(place) or "the file", value
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(item, (*place, str(key)))


def merge(base: dict, changes: dict) -> dict:
    """Lay `changes` over `base`: mappings key by key, the lists of methods and everything else as a whole.

    Where one names `steps` and the other `epochs`, the changes win.
    """
    merged = dict(base)
    for key, rival in (("steps", "epochs"), ("epochs", "steps")):
        if key in changes and rival not in changes:
            merged.pop(rival, None)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict) and key not in WHOLE
        merged[key] = merge(base[key], value) if both else value
    return merged

"""SHA-256 of values, files and the project's code: what tells whether two things are the same."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from ucr.foundation.files import walk

ROOT = Path(__file__).parents[2]
CODE = ("ucr", "baselines", "pipelines")
BLOCK = 1 << 20  # bytes read at once


def bytes_hash(parts: Iterable[bytes | memoryview]) -> str:
    """SHA-256 of all parts one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def values_hash(values: object) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys."""
    return bytes_hash([json.dumps(values, sort_keys=True).encode()])


def short_hash(values: object) -> str:
    """The first twelve digits of `values_hash`, for names."""
    return values_hash(values)[:12]


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_hash(*paths: Path) -> str:
    """SHA-256 over files, and all files of folders: their names relative to the folder, and their bytes."""

    def parts() -> Iterable[bytes]:
        for path in paths:
            for file in (
                sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
            ):
                yield f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode()
                with file.open("rb") as stream:
                    while block := stream.read(BLOCK):
                        yield block

    return bytes_hash(parts())


def scan_hash(path: Path, times: bool = True) -> str:
    """SHA-256 over the names and sizes, and times of change, of all files in a folder and in folders linked there.

    It opens none of them, so that a folder of a hundred gigabytes takes a moment. A path that is missing has one too.
    """

    def entry(file: Path) -> bytes:
        found = file.stat() if file.exists() else os.lstat(file)
        name = os.fsencode(os.path.relpath(file, path))
        return name + f"\0{found.st_size}\0{times and found.st_mtime_ns}\0".encode()

    return bytes_hash(map(entry, [path] if path.is_file() else walk(path)))


@lru_cache
def code_hash() -> str:
    """SHA-256 over the project's modules, as they were when this process asked first.

    What a killed run left is continued only by the code that began it.
    """
    files = sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py"))
    return bytes_hash(path.read_bytes() for path in files)

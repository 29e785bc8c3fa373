"""Reading and writing files so that nothing half-written is ever taken for whole."""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

from ucr.foundation.audio import check_read, cut_short, damaged, open_audio
from ucr.foundation.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


# Columns of tables that are names or sentences even where every one of them happens to look like a number.
TEXT = {
    "task", "method", "kind", "track", "segment", "source", "reference", "metric", "status", "reason", "split", "file",
    "generated", "method_a", "method_b", "significant", "best", "failed", "device", "machine", "run", "variant",
    "params", "set", "space", "taken", "parts", "family", "trained", "note", "clip",
}  # fmt: skip
HEADER = 100  # bytes of a WAV file in which libsndfile puts the chunks before the samples


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends without an error.

    The block creates a file or a folder at the path yielded. On an error it is removed, and what was
    at `path` stays as it was; the error of a full disk, which names no file, is given this one.
    What a killed process left there goes first.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}.{platform.node()}-"
    for left in path.parent.iterdir():
        if left.name.startswith(prefix) and not _runs(left.name.removeprefix(prefix)):
            shutil.rmtree(left, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=path.parent))
    temporary = scratch / path.name
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            path.rename(scratch / "old")
        os.replace(temporary, path)
    except OSError as error:
        error.filename = error.filename if error.filename and not error.filename2 else str(path)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _runs(process: str) -> bool:
    """Whether the process that a scratch folder is named after, as in `123-x1y2z3`, is still there."""
    try:
        os.kill(int(process.partition("-")[0]), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:  # it is another user's
        pass
    return True


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path: str | Path) -> dict:
    """Read a JSON object; a `UserError` names a file that is not one."""
    try:
        value = json.loads(Path(path).read_text())
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid JSON ({error}): delete it and run its stage again") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object: delete it and run its stage again")
    return value


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table without its index, whole or not at all."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def walk(folder: Path, hidden: bool = True) -> Iterator[Path]:
    """All files in a folder, below and in folders linked there, folder by folder, each folder once.

    Hidden files and folders are left out if `hidden` is False.
    """
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = Path(place).resolve()
        if real in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if hidden or not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if hidden or not name.startswith("."))


def read_table(
    path: str | Path,
    columns: Iterable[str] = (),
    numbers: Iterable[str] | None = None,
    remedy: str = "run the stage that makes it (`dvc repro`)",
) -> pd.DataFrame:
    """Read a CSV: names stay text (a source may be called `NA`), an empty cell of a number is NaN.

    Parameters
    ----------
    columns
        Columns that must be there.
    numbers
        Of these, the columns of numbers. None: every column whose cells all are, apart from `TEXT`.
    remedy
        What errors tell the user to do.

    Raises
    ------
    UserError
        If the file is missing or no table, lacks a column, or one of `numbers` holds something else.
    """
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist: {remedy}")
    return parse_table(Path(path).read_bytes(), str(path), columns, numbers, remedy)


def parse_table(
    data: bytes, name: str, columns: Iterable[str], numbers: Iterable[str] | None, remedy: str
) -> pd.DataFrame:
    """What `read_table` makes of a file's content; errors call it `name`."""
    import pandas as pd

    try:
        table = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{name} can't be read as a table ({error}): {remedy}") from None
    for column in columns:
        if column not in table:
            raise UserError(f"{name} lacks the column {column}: {remedy}")
    for column in table.columns.difference(list(TEXT)) if numbers is None else numbers:
        found = pd.to_numeric(table[column].replace("", np.nan), errors="coerce")
        wrong = found.isna() & (table[column] != "")
        if not wrong.any():
            table[column] = found
        elif numbers is not None:
            raise UserError(
                f"{name} holds {table[column][wrong].iloc[0]!r} in {column}, which is no number: {remedy}"
            )
    return table


def read_audio(path: str | Path, sample_rate: int | None = None, stream: int = 0) -> tuple[np.ndarray, int]:
    """Read an audio file.

    Parameters
    ----------
    path
        Anything that libsndfile (WAV, FLAC, OGG, MP3) or FFmpeg reads (M4A, WebM, WMA and others).
    sample_rate
        Rate in Hz to resample to (soxr, high quality); None keeps the file's own.
    stream
        Which of the file's audio streams, as `own_stems` numbers those of a stem file.

    Returns
    -------
    audio : float32[channels, n_samples]
    sample_rate : int
        In Hz, of the array returned.

    Raises
    ------
    UserError
        If the file is missing, damaged, cut short, empty, or holds NaN or infinite samples.
    """
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist: fix the path")
    opened = open_audio(path, stream)
    if opened.cut:
        raise UserError(f"{cut_short(Path(path), opened)}: get it whole")
    with opened.file as file:
        try:
            audio = file.read(opened.n_samples, dtype="float32", always_2d=True)
            rate = file.samplerate
        except soundfile.LibsndfileError as error:
            raise damaged(Path(path), error) from None
        check_read(Path(path), opened, len(audio))
    if not np.isfinite(audio).all():
        raise UserError(f"{path} holds samples that are not finite numbers: replace it")
    if sample_rate is not None and rate != sample_rate:
        audio = soxr.resample(audio, rate, sample_rate)
        rate = sample_rate
    return np.ascontiguousarray(audio.T), int(rate)


def write_audio(path: str | Path, audio: np.ndarray, sample_rate: int) -> None:
    """Write float32[n_samples] or float32[channels, n_samples] as a 32-bit float WAV: exact, never clipped."""
    with replacing(path) as temporary:
        temporary.write_bytes(
            encode_audio(np.atleast_2d(audio).T, sample_rate, format="WAV", subtype="FLOAT")
        )


def encode_audio(audio: np.ndarray, sample_rate: int, **options) -> bytes:
    """Encode audio in memory, with the options of `soundfile.write`, which would pass over a full disk.

    The same audio gives the same bytes: libsndfile's time of writing in a float WAV's header is put to 0.
    """
    encoded = io.BytesIO()
    soundfile.write(encoded, audio, sample_rate, **options)
    peak = encoded.getvalue().find(b"PEAK", 0, HEADER)
    if peak >= 0:
        encoded.seek(peak + 12)  # after the chunk's name, its size and a version
        encoded.write(bytes(4))
    return encoded.getvalue()

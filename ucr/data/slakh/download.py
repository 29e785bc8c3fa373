"""Slakh2100 from Zenodo."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import io
import os
import shutil
import tarfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import requests
from tqdm import tqdm

from ucr.data.slakh.song import SPLITS
from ucr.foundation.errors import UserError

RECORD = "https://zenodo.org/api/records/4599666"
FOLDER = "slakh2100_flac_redux"
ARCHIVE = f"{FOLDER}.tar.gz"
OMITTED = "omitted"  # the archive's folder of tracks that occur twice in Slakh2100
CHUNK = 1 << 16  # bytes; of those under way, a cut connection loses fewer
TIMEOUT = (10, 60)  # seconds until a connection is made, and without a byte on it
WAITS = (1, 2, 4, 8, 16, 32)  # seconds before each attempt to connect again
NOT_NOW = (408, 429)  # answers of the 400s that another attempt may fix, as all of the 500s
DAMAGE = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError)
AGAIN = "run the same command again, it goes on where this one stopped"


def download_slakh2100(target: str | Path) -> Path:
    """Download Slakh2100 (its redux version, as FLAC) from Zenodo's record 4599666 and unpack it.

    The archive is unpacked while it arrives. A connection that is cut is made again; a run that was stopped
    leaves the archive's first part in `target`, and the next run asks for the rest only. Its tracks take
    their place when the checksum that Zenodo gives has matched, and the archive is removed.

    Parameters
    ----------
    target
        The folder that gets `slakh2100_flac_redux`, with `train`, `validation` and `test`. The archive's
        folder `omitted`, of tracks that occur twice, is left out. Until all is done, the disk holds the
        archive too.

    Returns
    -------
    Path
        `target/slakh2100_flac_redux`, absolute: what `data.path` is to name. If it is there already,
        nothing is downloaded.

    Raises
    ------
    UserError
        If Zenodo can't be reached or gives up the connection for good, the disk is too small, another run
        writes to `target`, or the archive is damaged, not the published one, or points out of its folder.
    """
    target = Path(target).expanduser().resolve()
    part = target / f"{ARCHIVE}.part"
    folder = target / FOLDER
    if not folder.exists():
        published = _published()
        target.mkdir(parents=True, exist_ok=True)
        with _alone(target), _scratch(target / f"{FOLDER}.part") as scratch:
            _check_space(target, published.size, part)
            try:
                _unpack(published, part, scratch)
            except _Refused as refusal:
                part.unlink()
                raise UserError(f"{part} {refusal}, and was removed: run the same command again") from None
            except OSError as error:
                error.filename = error.filename or str(target)
                raise
            (scratch / FOLDER).rename(folder)
    if lacking := _lacking(folder):
        raise UserError(f"{folder} lacks {lacking}: move it away, or choose another folder")
    part.unlink(missing_ok=True)
    return folder


class _Refused(Exception):
    """What is wrong with the archive."""


@dataclass(frozen=True)
class _Published:
    """What Zenodo says of the archive: where it is, its size in bytes, and its MD5 in hexadecimal digits."""

    url: str
    size: int
    md5: str


def _published() -> _Published:
    try:
        with _get(RECORD) as response:
            (file,) = (file for file in response.json()["files"] if file["key"] == ARCHIVE)
        algorithm, checksum = file["checksum"].split(":")
        if algorithm != "md5":
            raise ValueError(algorithm)
        return _Published(file["links"]["self"], int(file["size"]), checksum)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(
            f"{RECORD} does not describe {ARCHIVE} as it used to: download that file yourself and unpack it"
        ) from None
    except requests.RequestException as error:
        raise UserError(
            f"{RECORD} can't be read ({_reason(error)}): check the network and run the same command again"
        ) from None


def _get(url: str, start: int = 0) -> requests.Response:
    """Ask for the bytes of `url` from `start` on."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    response = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    response.raise_for_status()
    return response


def _reason(error: requests.RequestException) -> str:
    return type(error).__name__ if error.response is None else f"it answers {error.response.status_code}"


def _pieces(url: str, start: int, size: int) -> Iterator[bytes]:
    """Yield the `size` bytes of `url` from `start` on, connecting again when they stop early."""
    waits = iter(WAITS)
    while start < size:
        reason = "it stopped early"
        try:
            with _get(url, start) as response:
                known = 0 if response.status_code == 206 else start  # a server may send all again
                for piece in response.iter_content(CHUNK):
                    known, piece = max(0, known - len(piece)), piece[known:][: size - start]
                    if piece:
                        start += len(piece)
                        waits = iter(WAITS)
                        yield piece
        except requests.RequestException as error:
            reason = _reason(error)
            answer = error.response
            if answer is not None and answer.status_code < 500 and answer.status_code not in NOT_NOW:
                raise UserError(f"{url} can't be downloaded ({reason}): try again another day") from None
        if start < size:
            if (wait := next(waits, None)) is None:
                raise UserError(f"{url} can't be reached any more ({reason}): {AGAIN}")
            time.sleep(wait)


class _Download(io.RawIOBase):
    """The archive from its first byte on: what `part` holds, then the network, which `part` keeps."""

    def __init__(self, published: _Published, part: Path) -> None:
        self.md5 = hashlib.md5(usedforsecurity=False)
        self._new = part.open("ab")
        self._all = part.open("rb")
        self._pieces = _pieces(published.url, part.stat().st_size, published.size)
        self._bar = tqdm(total=published.size, desc=ARCHIVE, unit="B", unit_scale=True, disable=None)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        count = self._all.readinto(buffer)
        if not count and (piece := next(self._pieces, b"")):
            self._new.write(piece)
            self._new.flush()
            count = self._all.readinto(buffer)
        self.md5.update(memoryview(buffer)[:count])
        self._bar.update(count)
        return count

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._bar.close()
            self._all.close()
            self._new.close()


def _unpack(published: _Published, part: Path, scratch: Path) -> None:
    """Unpack the archive into `scratch` while it arrives; `_Refused` if it is not what it should be."""
    download = _Download(published, part)
    with io.BufferedReader(download, CHUNK) as archive:
        try:
            with (
                gzip.GzipFile(fileobj=archive) as plain,
                tarfile.open(fileobj=plain, mode="r|") as members,
            ):
                for member in members:
                    _unpack_member(members, member, scratch)
            while archive.read(CHUNK):
                pass
        except DAMAGE as error:
            raise _Refused(f"is damaged ({error})") from None
    if download.md5.hexdigest() != published.md5:
        raise _Refused(f"has the wrong checksum ({download.md5.hexdigest()}, not {published.md5})")
    if lacking := _lacking(scratch / FOLDER):
        raise _Refused(f"lacks {lacking}")


def _unpack_member(members: tarfile.TarFile, member: tarfile.TarInfo, scratch: Path) -> None:
    """Unpack a folder or file, with none of the archive's owners and permissions; everything else is refused."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise _Refused(f"holds {member.name!r}, which points out of its folder")
    if not (member.isdir() or member.isfile()):
        raise _Refused(f"holds {member.name!r}, which is a link or a device")
    if name.parts[1:2] == (OMITTED,):
        return
    path = scratch / name
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    content = members.extractfile(member)
    assert content is not None
    with path.open("wb") as file:
        shutil.copyfileobj(content, file, CHUNK)


def _lacking(folder: Path) -> str:
    return ", ".join(split for split in SPLITS if not (folder / split).is_dir())


def _check_space(target: Path, size: int, part: Path) -> None:
    """Check for room for the rest of the archive and for what is in it.

    That is taken to be as big as the archive: FLAC does not compress further, and a fifth of it is omitted.
    """
    here = part.stat().st_size if part.exists() else 0
    needed, free = 2 * size - here, shutil.disk_usage(target).free
    if free < needed:
        raise UserError(
            f"the disk of {target} has {free / 1e9:.1f} GB free, and about {needed / 1e9:.1f} GB are needed, for the "
            "archive and for what is in it: free some or choose another folder"
        )


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Keep other runs out of the folder."""
    handle = os.open(target, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"another run downloads to {target}: wait for it, or end it") from None
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A new folder of this name, removed at the end; `files.replacing` would never meet a killed run's again."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""`ucr data slakh2100 --download` against a server that behaves as Zenodo does, and as networks do."""

from __future__ import annotations

import errno
import fcntl
import gzip
import hashlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import yaml

import ucr
from tests.helpers import kill_when
from tests.ucr.program.test_program import run
from ucr.data.slakh import download
from ucr.data.slakh.read import find_tracks, read_sources

FOLDER = "slakh2100_flac_redux"
ARCHIVE = f"{FOLDER}.tar.gz"
PART = f"{ARCHIVE}.part"


class Zenodo(ThreadingHTTPServer):
    """The record and its archive; tests say what goes wrong."""

    def __init__(self, archive: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.archive = archive
        self.md5 = hashlib.md5(archive).hexdigest()
        self.ranges = True  # whether it understands them
        self.statuses: list[int] = []  # of the next answers to requests for the archive, in place of it
        self.cuts: list[int] = []  # bytes after which the next answers stop
        self.hang = False  # whether they then stay silent, in place of cutting the connection
        self.asked: list[str | None] = []  # the Range header of each request for the archive
        self.sent = 0  # bytes of the archive

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def record(self) -> bytes:
        link = {"self": f"{self.url}/api/records/4599666/files/{ARCHIVE}/content"}
        file = {
            "id": "0",
            "key": ARCHIVE,
            "size": len(self.archive),
            "checksum": f"md5:{self.md5}",
            "links": link,
        }
        return json.dumps({"id": 4599666, "title": "Slakh2100", "files": [file]}).encode()  # fmt: skip


class Answer(BaseHTTPRequestHandler):
    server: Zenodo

    def do_GET(self) -> None:
        if self.path.endswith("/content"):
            return self.send_archive()
        if self.path != "/api/records/4599666":
            return self.send_error(404)
        body = self.server.record()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_archive(self) -> None:
        wanted = self.headers["Range"]
        self.server.asked.append(wanted)
        if self.server.statuses:
            return self.send_error(self.server.statuses.pop(0))
        body = self.server.archive
        if wanted and self.server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            body = body[start:]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        sent = body[: self.server.cuts.pop(0)] if self.server.cuts else body
        self.wfile.write(sent)
        self.server.sent += len(sent)
        if self.server.hang:
            time.sleep(60)

    def log_message(self, *_) -> None:
        pass


def pack(folder: Path, *further: tarfile.TarInfo) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(folder, FOLDER)
        for member in further:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return packed.getvalue()


@pytest.fixture
def slakh(tmp_path, make_track) -> Path:
    """A small data set in the layout of the published one."""
    for i, split in enumerate(("train", "validation", "test", "omitted")):
        make_track(
            tmp_path / "published" / split / f"Track{i:05d}", {"S00": ("Drums", 0.1), "S01": ("Bass", 0.2)}
        )
    return tmp_path / "published"


@pytest.fixture
def zenodo(slakh, monkeypatch):
    server = Zenodo(pack(slakh))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "RECORD", f"{server.url}/api/records/4599666")
    monkeypatch.setattr(download, "WAITS", (0, 0))
    monkeypatch.setattr(download, "CHUNK", 10_000)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "new" / "data"


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def assert_whole(target: Path, slakh: Path) -> None:
    """What is there is the data set, and nothing else."""
    published = {name: data for name, data in files(slakh).items() if not name.startswith("omitted")}
    assert len(published) == 9
    assert files(target / FOLDER) == published
    assert [path.name for path in target.iterdir()] == [FOLDER]


def assert_refused(target: Path, capsys, *words: str) -> None:
    """The program says why in one sentence, and leaves no data set."""
    assert run("data", "slakh2100", "--download", target) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert not captured.out
    for word in words:
        assert word in captured.err
    assert not (target / FOLDER).exists()
    assert not (target / f"{FOLDER}.part").exists()


def test_the_command_downloads_what_the_reader_reads(zenodo, slakh, target, capsys):
    assert run("data", "slakh2100", "--download", target) == 0
    first, _, *values = capsys.readouterr().out.splitlines()
    assert_whole(target, slakh)
    assert zenodo.asked == [None]
    assert first == str(target / FOLDER)
    data = yaml.safe_load("\n".join(values))["data"]
    assert data["name"] == "slakh2100"
    tracks = find_tracks(data["path"])
    assert [(track.split, track.name) for track in tracks] == [
        ("train", "Track00000"),
        ("validation", "Track00001"),
        ("test", "Track00002"),
    ]
    audio, _ = read_sources(tracks[0].folder, ["drums", "bass"], 24000)
    assert audio.shape == (2, 48000)
    assert np.abs(audio[1]).max() > 0.19


def test_what_is_there_is_not_downloaded_again(zenodo, target):
    folder = ucr.download_slakh2100(target)
    (target / PART).write_bytes(b"left by a run that was killed at its very end")
    zenodo.asked.clear()
    assert ucr.download_slakh2100(target) == folder == target / FOLDER
    assert not zenodo.asked
    assert not (target / PART).exists()


def test_connections_that_are_cut_are_made_again(zenodo, slakh, target):
    zenodo.cuts = [100_000, 0, 10_000, 150_000]
    ucr.download_slakh2100(target)
    assert_whole(target, slakh)
    starts = [0, 100_000, 100_000, 110_000, 260_000]
    assert zenodo.asked == [f"bytes={start}-" if start else None for start in starts]
    assert zenodo.sent == len(zenodo.archive)


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(zenodo, slakh, target, status):
    zenodo.statuses = [status, status]
    ucr.download_slakh2100(target)
    assert_whole(target, slakh)


def assert_goes_on(zenodo, slakh, target, done):
    """The next download asks for what is missing after the first `done` bytes, and no byte was sent twice."""
    zenodo.asked.clear()
    ucr.download_slakh2100(target)
    assert_whole(target, slakh)
    assert zenodo.asked == [f"bytes={done}-"]
    assert zenodo.sent == len(zenodo.archive)


def test_after_too_many_cuts_the_next_run_asks_for_the_rest_only(zenodo, slakh, target, capsys):
    zenodo.cuts = [200_000, 0, 0]
    assert_refused(target, capsys, "run the same command again, it goes on")
    assert (target / PART).read_bytes() == zenodo.archive[:200_000]
    assert_goes_on(zenodo, slakh, target, 200_000)


def test_a_killed_run_goes_on(zenodo, slakh, target):
    zenodo.cuts, zenodo.hang = [250_000], True
    program = (
        f"import ucr.data.slakh.download as d; d.RECORD, d.CHUNK = {download.RECORD!r}, {download.CHUNK}; "
        f"d.download_slakh2100({str(target)!r})"
    )
    unpacking = target / f"{FOLDER}.part" / FOLDER
    kill_when(
        subprocess.Popen([sys.executable, "-c", program]),
        lambda: list(unpacking.rglob("*.flac")) and (target / PART).stat().st_size == 250_000,
    )
    assert not (target / FOLDER).exists()
    (unpacking / "stale.txt").write_text("of another archive")
    zenodo.hang = False
    assert_goes_on(zenodo, slakh, target, 250_000)


def test_a_server_that_knows_no_ranges_sends_all_again(zenodo, slakh, target):
    zenodo.ranges = False
    zenodo.cuts = [200_000, 100_000]
    ucr.download_slakh2100(target)
    assert_whole(target, slakh)
    assert zenodo.asked == [None, "bytes=200000-", "bytes=200000-"]


def test_a_wrong_checksum_leaves_nothing(zenodo, slakh, target, capsys):
    md5, zenodo.md5 = zenodo.md5, "0" * 32
    assert_refused(target, capsys, f"{PART} has the wrong checksum ({md5}, not {'0' * 32})")
    assert not list(target.iterdir())
    zenodo.md5 = md5
    ucr.download_slakh2100(target)
    assert_whole(target, slakh)


@pytest.mark.parametrize("place", [0, 0.5])
def test_a_part_that_was_damaged_on_the_disk_is_removed(zenodo, slakh, target, capsys, place):
    zenodo.cuts = [300_000, 0, 0]
    assert_refused(target, capsys)
    damaged = bytearray((target / PART).read_bytes())
    start = round(place * len(damaged))
    damaged[start : start + 1000] = bytes(1000)
    (target / PART).write_bytes(damaged)
    assert_refused(target, capsys, PART, "and was removed: run the same command again")
    assert not list(target.iterdir())
    ucr.download_slakh2100(target)
    assert_whole(target, slakh)


def test_a_part_that_is_too_long_is_removed(zenodo, target, capsys):
    target.mkdir(parents=True)
    (target / PART).write_bytes(zenodo.archive + b"more")
    assert_refused(target, capsys, PART, "and was removed: run the same command again")
    assert not list(target.iterdir())


def hostile(name: str, **attributes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    for key, value in {"size": 10, **attributes}.items():
        setattr(member, key, value)
    return member


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (hostile("../outside.txt"), "'../outside.txt', which points out of its folder"),
        (hostile(f"{FOLDER}/train/../../../outside.txt"), "points out of its folder"),
        (hostile("{tmp_path}/outside.txt"), "points out of its folder"),
        (hostile(f"{FOLDER}/omitted/../../../outside.txt"), "points out of its folder"),
        (hostile(f"{FOLDER}/link", type=tarfile.SYMTYPE, linkname="..", size=0), "link', which is a link"),
        (hostile(f"{FOLDER}/link", type=tarfile.LNKTYPE, linkname="x", size=0), "link', which is a link"),
        (hostile(f"{FOLDER}/pipe", type=tarfile.FIFOTYPE, size=0), "pipe', which is a link or a device"),
        (hostile(f"{FOLDER}/x", pax_headers={"path": "a\0b"}), "is damaged (embedded null byte)"),
    ],
)  # fmt: skip
def test_an_archive_that_points_out_of_its_folder_is_refused(zenodo, slakh, tmp_path, capsys, member, words):
    member.name = member.name.format(tmp_path=tmp_path)
    zenodo.archive = pack(slakh, member)
    zenodo.md5 = hashlib.md5(zenodo.archive).hexdigest()
    target = tmp_path / "data"
    assert_refused(target, capsys, words)
    assert not list(target.iterdir())
    assert not list(tmp_path.rglob("outside.txt"))


def test_an_archive_of_something_else_is_refused(zenodo, slakh, target, capsys):
    zenodo.archive = pack(slakh / "train")
    zenodo.md5 = hashlib.md5(zenodo.archive).hexdigest()
    assert_refused(target, capsys, f"{PART} lacks train, validation, test")
    zenodo.archive = gzip.compress(b"no tar" * 1000)
    zenodo.md5 = hashlib.md5(zenodo.archive).hexdigest()
    assert_refused(target, capsys, f"{PART} is damaged")
    assert not list(target.iterdir())


def test_permissions_in_the_archive_are_not_taken_over(zenodo, slakh, target):
    zenodo.archive = pack(slakh, hostile(f"{FOLDER}/program", mode=0o6777))
    zenodo.md5 = hashlib.md5(zenodo.archive).hexdigest()
    program = ucr.download_slakh2100(target) / "program"
    assert not program.stat().st_mode & 0o6111


def test_a_missing_archive_and_a_missing_record_are_named(zenodo, target, capsys, monkeypatch):
    zenodo.statuses = [404]
    assert_refused(target, capsys, f"files/{ARCHIVE}/content can't be downloaded (it answers 404)")
    assert zenodo.asked == [None]
    monkeypatch.setattr(download, "RECORD", f"{zenodo.url}/api/records/1")
    assert_refused(target, capsys, "/api/records/1 can't be read (it answers 404)")


@pytest.mark.parametrize(
    "record", [b"<html>", b"[]", b'{"files": []}', b'{"files": [{"key": "%b"}]}' % ARCHIVE.encode()]
)
def test_a_record_of_another_shape_is_refused(zenodo, target, capsys, monkeypatch, record):
    monkeypatch.setattr(zenodo, "record", lambda: record)
    assert_refused(target, capsys, f"does not describe {ARCHIVE} as it used to")
    assert not target.exists()


def test_without_a_network_one_sentence_says_so(target, capsys, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(
            download, "RECORD", f"http://127.0.0.1:{unused.getsockname()[1]}/api/records/4599666"
        )
        assert_refused(
            target, capsys, "can't be read (ConnectionError): check the network and run the same command"
        )
    assert not target.exists()


def test_the_disk_is_measured_first(zenodo, slakh, target, capsys, monkeypatch):
    size = len(zenodo.archive)
    zenodo.cuts = [200_000, 0, 0]
    assert_refused(target, capsys)
    zenodo.asked.clear()
    usage = namedtuple("usage", "free")
    free = [2 * size - 200_000 - 1]
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage(free[0]))
    assert_refused(
        target, capsys, f"the disk of {target} has", "GB are needed", "free some or choose another folder"
    )
    assert not zenodo.asked
    free[0] += 1
    ucr.download_slakh2100(target)
    assert_whole(target, slakh)


def test_a_full_disk_ends_in_one_sentence_and_is_gone_on_from(zenodo, slakh, target, capsys, monkeypatch):
    with monkeypatch.context() as full:

        def fail(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        full.setattr(download.shutil, "copyfileobj", fail)
        assert_refused(
            target, capsys, f"no space is left on the disk that holds {target}: free some and run again"
        )
    assert (target / PART).stat().st_size > 0
    ucr.download_slakh2100(target)
    assert_whole(target, slakh)


def test_two_runs_do_not_write_to_one_folder(zenodo, target, capsys):
    target.mkdir(parents=True)
    handle = os.open(target, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert_refused(target, capsys, f"another run downloads to {target}")
    os.close(handle)
    ucr.download_slakh2100(target)


def test_a_folder_or_file_that_stands_in_the_way_is_kept(zenodo, tmp_path, capsys):
    (tmp_path / "a" / FOLDER / "train").mkdir(parents=True)
    (tmp_path / "a" / FOLDER / "train" / "mine.txt").write_text("mine")
    assert run("data", "slakh2100", "--download", tmp_path / "a") == 1
    assert f"{FOLDER} lacks validation, test: move it away" in capsys.readouterr().err
    assert (tmp_path / "a" / FOLDER / "train" / "mine.txt").read_text() == "mine"
    (tmp_path / "b").write_text("")
    assert run("data", "slakh2100", "--download", tmp_path / "b") == 1
    assert "a file stands in the way" in capsys.readouterr().err


def test_the_target_must_be_named(capsys):
    assert run("data", "slakh2100") == 2
    assert "--download" in capsys.readouterr().err
    assert run("data", "--help") == 0
    assert "ucr data slakh2100 --download /data" in capsys.readouterr().out

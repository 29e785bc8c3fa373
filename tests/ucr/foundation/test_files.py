"""Files are written whole or not at all, on a full disk too."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch

from ucr.foundation.checkpoints import save_tensors
from ucr.foundation.files import read_audio, write_audio, write_csv, write_json

NOISE = np.random.default_rng(0).uniform(-1, 1, 3000).astype(np.float32)


@contextmanager
def end_of_disk():
    """No file can grow over 2000 bytes, as at the end of a disk; pytest's own log neither, so it must not last."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "write",
    [
        lambda path, values: write_json(path, values.tolist()),
        lambda path, values: write_csv(path, pd.DataFrame({"value": values})),
        lambda path, values: write_audio(path, values, 24000),
        lambda path, values: save_tensors(path, {"values": torch.from_numpy(values)}, {}),
    ],
    ids=["json", "csv", "audio", "weights"],
)
def test_a_full_disk_is_an_error_that_names_the_file_and_keeps_the_old_one(tmp_path, write):
    path = tmp_path / "file"
    write(path, NOISE[:10])
    before = path.read_bytes()
    with pytest.raises(OSError, match="File too large") as caught, end_of_disk():
        write(path, NOISE)
    assert "file" in caught.value.filename
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_was_writing_goes_when_the_file_is_written_again(tmp_path):
    wait = (
        "from ucr.foundation.files import replacing\n"
        "with replacing('{}') as it: it.mkdir(), print(flush=True), input()"
    )
    writers = {
        name: subprocess.Popen(
            [sys.executable, "-c", wait.format(tmp_path / name)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in ("killed", "alive")
    }
    for writer in writers.values():
        writer.stdout.readline()
    writers["killed"].kill()
    writers["killed"].wait()
    assert len(list(tmp_path.iterdir())) == 2
    for name in writers:
        write_json(tmp_path / name, [])
    assert len([path for path in tmp_path.iterdir() if path.name.startswith(".")]) == 1
    (tmp_path / "alive").unlink()
    writers["alive"].communicate(b"\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alive", "killed"]


def test_audio_comes_back_as_it_was_even_over_full_scale(tmp_path):
    write_audio(tmp_path / "a.wav", 3 * NOISE, 24000)
    audio, rate = read_audio(tmp_path / "a.wav")
    assert rate == 24000
    np.testing.assert_array_equal(audio, 3 * NOISE[None])


@pytest.mark.parametrize("channels", [1, 2])
def test_the_same_audio_is_the_same_file_whenever_it_is_written(tmp_path, channels):
    audio = NOISE.reshape(channels, -1)
    write_audio(tmp_path / "a.wav", audio, 24000)
    time.sleep(1.1)  # libsndfile notes the second
    write_audio(tmp_path / "b.wav", audio, 24000)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    np.testing.assert_array_equal(read_audio(tmp_path / "b.wav")[0], audio)

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
import soundfile
import torch

from ucr.foundation import audio
from ucr.foundation.checkpoints import save_tensors
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_audio, read_table, write_audio, write_csv, write_json

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


@pytest.mark.parametrize("ending", ["flac", "wav", "aiff", "ogg", "mp3"])
def test_a_file_that_vanishes_when_it_was_opened_is_one_sentence(tmp_path, monkeypatch, ending):
    path = tmp_path / f"song.{ending}"
    soundfile.write(path, np.full(9000, 0.1), 24000)

    class Vanishing(audio.Forward):
        def __init__(self, name):
            super().__init__(name)
            path.unlink()

    monkeypatch.setattr(audio, "Forward", Vanishing)
    with pytest.raises(UserError, match=rf"song\.{ending} vanished while it was read"):
        audio.open_audio(path)


@pytest.mark.parametrize("name", ["song.mp3", "song.wav"])
def test_a_file_that_is_there_and_no_audio_is_not_called_missing(tmp_path, name):
    (tmp_path / name).write_bytes(b"no audio at all" * 50)
    with pytest.raises(UserError) as error:
        read_audio(tmp_path / name)
    assert str(error.value) == (
        f"{tmp_path / name} can't be read as audio (Invalid data found when processing input): it is damaged or not an "
        "audio file"
    )


@pytest.mark.parametrize("channels", [1, 2])
def test_the_same_audio_is_the_same_file_whenever_it_is_written(tmp_path, channels):
    audio = NOISE.reshape(channels, -1)
    write_audio(tmp_path / "a.wav", audio, 24000)
    time.sleep(1.1)  # libsndfile notes the second
    write_audio(tmp_path / "b.wav", audio, 24000)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    np.testing.assert_array_equal(read_audio(tmp_path / "b.wav")[0], audio)


def test_a_tables_names_stay_text_and_its_empty_numbers_are_nan(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("source,track,value,other,count\nNA,007,0.1,x,1\nbass,8,,2,3\n")
    table = read_table(path, ["source", "value"])
    assert table["source"].tolist() == ["NA", "bass"]
    assert table["track"].tolist() == ["007", "8"]
    assert table["other"].tolist() == ["x", "2"]
    assert table["count"].tolist() == [1, 3]
    assert table["value"][0] == 0.1
    assert np.isnan(table["value"][1])
    assert read_table(path, numbers=["value"])["count"].tolist() == ["1", "3"]
    assert read_table(path, numbers=[])["value"].tolist() == ["0.1", ""]


def test_numbers_of_a_table_are_read_to_the_last_bit(tmp_path):
    values = np.concatenate([NOISE.astype(float), np.random.default_rng(0).lognormal(0, 30, 3000)])
    write_csv(tmp_path / "table.csv", pd.DataFrame({"value": values}))
    assert (read_table(tmp_path / "table.csv")["value"] == values).all()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "table.csv does not exist: make it"),
        (b"", "table.csv can't be read as a table"),
        (b"\xff\xfe\x00a,", "table.csv can't be read as a table"),
        (b'a,value\n"1', "table.csv can't be read as a table"),
        (b"value\n1\n", "table.csv lacks the column a: make it"),
        (b"a,value\nx,loud\n", "table.csv holds 'loud' in value, which is no number: make it"),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path, content, sentence):
    if content is not None:
        (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        read_table(tmp_path / "table.csv", ["a", "value"], ["value"], "make it")

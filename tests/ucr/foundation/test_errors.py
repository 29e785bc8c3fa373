"""What a command says of an error that the user can fix."""

from __future__ import annotations

import errno
import os

import pytest
import torch

from ucr.foundation.errors import UserError, command
from ucr.foundation.files import write_json


def torch_out_of_memory():
    torch.empty(10**15)


def onto_a_folder():
    write_json("folder", [])


def no_reader():
    raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def missing_package():
    raise ModuleNotFoundError("No module named 'librosa.core'", name="librosa.core")


def mistake():
    raise UserError("x is\nwrong: fix it")


@pytest.mark.parametrize(
    ("main", "sentence"),
    [
        (torch_out_of_memory, "memory ran out: free some, or ask for something smaller"),
        (onto_a_folder, "a folder stands in the way of folder: choose another place"),
        (no_reader, "what read this command's output has ended: save it to a file first"),
        (
            missing_package,
            "librosa is not installed: install ucr-benchmark with its extra `benchmark`, "
            "in a clone by pip install '.[benchmark]'",
        ),
        (mistake, "x is wrong: fix it"),
    ],
)
def test_an_error_that_can_be_mended_is_one_sentence(main, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder" / "full").mkdir(parents=True)
    with pytest.raises(SystemExit) as ended:
        command(main)()
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"error: {sentence}\n"


def test_a_module_of_our_own_that_is_missing_is_a_defect():
    def main():
        raise ModuleNotFoundError("No module named 'ucr.x'", name="ucr.x")

    with pytest.raises(ModuleNotFoundError):
        command(main)()


def test_a_defect_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="shape"):
        command(lambda: torch.zeros(2).view(3))()

"""Running `python -m eval` within the tests' process."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from eval.__main__ import main


@dataclass
class Ended:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command line in this process, which need not import everything again."""

    def ended(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["eval", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Ended(code, *capsys.readouterr())

    return ended

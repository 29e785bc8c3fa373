"""`python -m benchmarks.check`: methods that keep the contract, those that break it, and those that are not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import check
from tests.baselines.helpers import pretend_music, random_network
from tests.helpers import PARAMS
from ucr.foundation.files import read_audio, write_audio
from ucr.foundation.params import load_params
from ucr.methods.checks import CHECKS

METHOD = """
import numpy as np
from ucr.methods.contract import Baseline, Meta

META = Meta(name="{name}", kind="blind", paper="None", summary="Every estimate is the mixture", n_sources={n_sources})


class Method(Baseline):
    \"\"\"As the mixture.\"\"\"

    def __init__(self, gain: float = 1.0):
        self.gain, self.calls = gain, 0

    def separate(self, mixture, sample_rate, n_sources):
        self.calls += 1
        estimates = np.tile(mixture * np.float32(self.gain), (n_sources, 1))
        {body}
"""
BROKEN = {
    "shape": ("return estimates[:, :-1]", "of shape (2, 23999), not (2, 24000)"),
    "dtype": ("return estimates.astype(float)", "float64, not float32"),
    "finite": ("estimates[0, 5] = np.nan; return estimates", "1 samples are NaN or infinite"),
    "any length": ("return estimates[:, :24000]", "separate returned float32[2, 24000], not float32[2, 24001]"),
    "twice the same": ("return estimates * np.float32(1 + self.calls / 100)", "two calls with one mixture differ"),
    "mixture unchanged": ("mixture *= 0; return estimates", "copy it first"),
    "silence": ("return estimates / np.abs(estimates).max()", "separate returned samples that are not finite"),
    "scale": ("return estimates / 2", "the estimates add up to 0.50 times the sum of the sources"),
    "three sources": ("return estimates[[0, 1]]", "separate returned float32[2, 24000], not float32[3, 24000]"),
    "batch": (
        "return estimates\n\n"
        "    def separate_batch(self, mixtures, sample_rate, n_sources):\n"
        "        return np.stack([mixtures[::-1]] * n_sources, axis=1)",
        "a batch of two differs by up to",
    ),
    "a segment": (
        "if len(mixture) > 30000: raise MemoryError('too long')\n        return estimates",
        "separate raised MemoryError: too long",
    ),
}  # fmt: skip


@pytest.fixture
def run(project, monkeypatch, capsys):
    """Run the command on music made up here: exit code, what it printed, what it said on stderr."""
    project()
    songs = np.stack([pretend_music(2, 48000)] * 3)
    monkeypatch.setattr(check, "short_songs", lambda params: songs)

    def run_command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["check", *arguments])
        code: object = 0
        try:
            check.main()
        except SystemExit as left:
            code = left.code
        return code, *capsys.readouterr()

    return run_command


def write(folder: Path, name: str, body: str = "return estimates", n_sources: int | None = None) -> str:
    """A method of this name; the path as one gives it from the project."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(METHOD.format(name=name, body=body, n_sources=n_sources))
    return str(folder / f"{name}.py")


def statuses(printed: str) -> dict[str, str]:
    """Each check's status."""
    lines = [line for line in printed.splitlines() if line.startswith(("ok ", "failed ", "skipped "))]
    return {line[9:27].strip(): line.split()[0] for line in lines}


def test_a_method_elsewhere_is_checked_and_scored(run, tmp_path):
    code, printed, said = run(write(tmp_path / "elsewhere", "mine"))
    assert code == 0, said
    assert statuses(printed) == dict.fromkeys(CHECKS, "ok")
    assert "paper         None" in printed
    assert "music 6 dB quieter gives estimates 6 dB quieter" in printed
    mine, mixture, irm = printed.splitlines()[-3:]
    assert mine.split()[1:] == mixture.split()[1:]  # the same method, so the same scores
    assert all(float(a) > float(b) + 5 for a, b in zip(irm.split()[1:], mixture.split()[1:], strict=True))


@pytest.mark.parametrize("broken", BROKEN)
def test_what_breaks_the_contract_is_named(run, tmp_path, broken):
    body, sentence = BROKEN[broken]
    name = f"broken_{broken.replace(' ', '_')}"
    code, printed, said = run(write(tmp_path / "elsewhere", name, body))
    assert code == 1
    assert statuses(printed)[broken] == "failed"
    assert sentence in printed
    assert "no scores" in printed
    assert said.startswith("error: ")
    assert broken in said
    assert "Traceback" not in printed + said


def test_options_and_how_many_sources_it_gives(run, tmp_path):
    path = write(tmp_path / "elsewhere", "two_only", n_sources=2)
    code, printed, _ = run(path, "--set", "gain=1.1")
    assert code == 0
    assert "options       gain=1.1" in printed
    assert "add up to 1.10 times" in printed
    assert statuses(printed)["three sources"] == "skipped"
    assert run(path, "--set", "gain=3.0")[0] == 1


def test_an_oracle_and_a_method_with_weights(run, tmp_path):
    code, printed, _ = run("irm")
    assert code == 0
    assert statuses(printed)["batch"] == "skipped"
    params = load_params(PARAMS)
    sizes = {"N": 16, "L": 32, "B": 8, "H": 16, "Sc": 8, "P": 3, "X": 2, "R": 1}
    random_network("conv_tasnet", **sizes)(tmp_path / "weights", params)
    _, printed, said = run("conv_tasnet", "--weights", str(tmp_path / "weights"))
    found = statuses(printed)
    assert {key for key in found if found[key] == "failed"} <= {"scale"}, said  # random weights


MISTAKES = {
    "no method": (["nothing"], "no method is called 'nothing'"),
    "no file": (["../nothing.py"], "../nothing.py does not exist: fix the path of the method"),
    "no option": (["hpss", "--set", "depth=3"], "argument 'depth'"),
    "no weights": (
        ["conv_tasnet", "--weights", "nowhere"],
        "nowhere does not exist, which conv_tasnet needs",
    ),
    "no trained weights": (["conv_tasnet"], "models/conv_tasnet does not exist, which conv_tasnet needs"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(run, mistake):
    arguments, sentence = MISTAKES[mistake]
    code, printed, said = run(*arguments)
    assert code == 1
    assert printed == ""
    assert sentence in said
    assert said.count("\n") == 1


def test_a_setting_without_a_value_is_a_usage_error(run):
    code, _, said = run("hpss", "--set", "window")
    assert code == 2
    assert "'window' is no OPTION=VALUE" in said


def test_a_method_elsewhere_separates_a_song(project, tmp_path):
    folder = project()
    path = write(folder / "elsewhere", "mine", "return estimates * np.float32([[1.5], [0.5]])")
    mixture = pretend_music(2, 24000).mean(axis=0)
    write_audio(folder / "song.wav", mixture, 24000)
    command = [
        sys.executable,
        "-m",
        "ucr",
        "separate",
        "song.wav",
        "-o",
        "stems",
        "--method",
        path,
        "--no-mask",
        "--task",
        "drums+bass",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for i, gain in enumerate([1.5, 0.5]):
        audio, rate = read_audio(folder / "stems" / "song" / f"component_{i}.wav")
        assert rate == 24000
        assert np.std(audio[0]) / np.std(mixture) == pytest.approx(
            gain / 2, rel=0.01
        )  # stems add up to the song


@pytest.mark.slow
def test_the_command_renders_songs_and_keeps_them(project):
    folder = project()
    command = [sys.executable, "-m", "benchmarks.check", "mixture"]
    first = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert "mean of 3 segments of 7 s" in first.stdout
    kept = list(folder.glob("runs/check/*.npy"))
    assert len(kept) == 1
    again = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert again.stdout == first.stdout
    assert list(folder.glob("runs/check/*.npy")) == kept

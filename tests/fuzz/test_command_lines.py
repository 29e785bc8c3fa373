"""Spoilt input through the command lines: one sentence, no traceback, no hang, nothing outside the output folder.

A few seconds of it by default; 500 and more inputs with `-m slow`. What it found stays in `FOUND`.
"""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import safetensors.torch
import soundfile
import yaml
from hypothesis import HealthCheck, given, settings
from safetensors import safe_open

import baselines
import ucr.workers
from baselines import base
from eval.__main__ import main as evaluate
from pipelines import data, preset, references, segments, separate
from tests.baselines.conftest import TINY_WEIGHTS
from tests.fuzz.harness import holds_up
from tests.fuzz.mutations import byte_edits, spoil_bytes, spoil_values, value_edits
from ucr.cli import main as program
from ucr.params import load_params

for lazy in (
    "ucr.tools.separation",
    "baselines.ucr",
    "baselines.mixture",
    "baselines.conv_tasnet",
    "eval.folders",
    "eval.tables",
):
    importlib.import_module(lazy)  # once here, not in every fork
ROOT = Path(__file__).resolve().parents[2]
RATE = 24000
SEPARATE = ["separate", "song.wav", "-o", "out", "--method"]


def in_process(main: Callable[[], None]) -> Callable[[], None]:
    """The same in one process: a fork of a test can't start workers quickly."""

    def run() -> None:
        ucr.workers.cpu_count = lambda: 1
        main()

    return run


def with_baseline() -> None:
    """Separate by the method in `spoilt.py`."""
    base.FOLDER = Path.cwd()
    baselines.__path__ = [str(Path.cwd()), *baselines.__path__]
    program()


@dataclass(frozen=True)
class Target:
    """A file to spoil, what reads it, and what that may write."""

    file: str
    main: Callable[[], None]
    arguments: list[str]
    allowed: set[str]
    header: float = 0.0


TARGETS = {
    "wav": Target("song.wav", program, [*SEPARATE, "mixture"], {"out"}, 3),
    "flac": Target("song.flac", program, ["separate", "song.flac", "-o", "out", "--method", "mixture"], {"out"}, 1),
    "estimate": Target("estimates/drums.flac", in_process(evaluate), ["score", "true", "estimates"], set(), 1),
    "midi": Target("midi/song.mid", in_process(data.main), [], {"data"}),
    "metadata": Target("set/train/Track00001/metadata.yaml", in_process(segments.main), [], {"segments", "runs"}),
    "stem": Target("set/train/Track00001/stems/S00.flac", in_process(segments.main), [], {"segments", "runs"}, 2),
    "params": Target("params.yaml", in_process(segments.main), [], {"segments", "runs"}),
    "preset": Target("preset.yaml", preset.main, ["preset.yaml"], {"params.yaml", "runs"}),
    "dataset": Target("data/dataset.json", in_process(segments.main), [], {"segments", "runs"}),
    "description": Target("segments/segments.json", references.main, [], {"references"}),
    "lmdb": Target("segments/test.lmdb", in_process(separate.main), ["mixture"], {"estimates"}, 1),
    "safetensors": Target(
        "weights/model.safetensors", program, [*SEPARATE, "conv_tasnet", "--weights", "weights"], {"out"}, 3
    ),
    "decomposition": Target(
        "decomposition/model.safetensors", program, [*SEPARATE, "ucr", "--weights", "decomposition"], {"out"}, 3
    ),
    "card": Target("decomposition/card.json", program, [*SEPARATE, "ucr", "--weights", "decomposition"], {"out"}),
    "baseline": Target("spoilt.py", with_baseline, [*SEPARATE, "spoilt"], {"out"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory, request):
    """A folder in which every command of `TARGETS` succeeds."""
    folder = tmp_path_factory.mktemp("whole")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (RATE, 2)).astype(np.float32)
    for name in ("song.wav", "song.flac"):
        soundfile.write(folder / name, noise, RATE, subtype="PCM_16")
    for place in ("true", "estimates"):
        (folder / place).mkdir()
        for i, source in enumerate(("drums", "bass")):
            soundfile.write(folder / place / f"{source}.flac", noise[:, i], RATE)
    song = pretty_midi.PrettyMIDI()
    song.instruments = [pretty_midi.Instrument(33), pretty_midi.Instrument(0, is_drum=True)]
    for instrument in song.instruments:
        instrument.notes = [pretty_midi.Note(90, 40 + i, 0.2 * i, 0.2 * i + 0.2) for i in range(5)]
    (folder / "midi").mkdir()
    song.write(str(folder / "midi" / "song.mid"))
    for number, split in enumerate(("train", "validation", "test"), start=1):
        stems = folder / "set" / split / f"Track{number:05d}" / "stems"
        stems.mkdir(parents=True)
        for i in range(2):
            soundfile.write(stems / f"S{i:02d}.flac", noise[:, i], RATE)
        entries = {
            f"S{i:02d}": {"inst_class": c, "audio_rendered": True} for i, c in enumerate(("Drums", "Bass"))
        }
        (stems.parent / "metadata.yaml").write_text(yaml.safe_dump({"stems": entries}))
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["segments"]["seconds"] = 1.0
    values["data"] |= {"name": "midi", "path": "midi"}
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    (folder / "preset.yaml").write_text((ROOT / "params/smoke.yaml").read_text())
    (folder / "data").mkdir()
    described = {"name": "slakh2100", "root": "set", "fingerprint": "0", "tracks": {}}
    (folder / "data" / "dataset.json").write_text(json.dumps(described))
    params = load_params(folder / "params.yaml")
    TINY_WEIGHTS["conv_tasnet"](folder / "weights", params)
    TINY_WEIGHTS["ucr"](folder / "decomposition", params)
    text = (ROOT / "baselines/mixture.py").read_text().replace('"mixture"', '"spoilt"')
    (folder / "spoilt.py").write_text(text)
    holds_up(in_process(segments.main), [], folder, {"segments", "runs"})
    return folder


def spoil(path: Path, target: Target, edits: list, by_value: bool) -> None:
    """Spoil a file by its bytes, or by its values where it holds some."""
    if not by_value:
        path.write_bytes(spoil_bytes(path.read_bytes(), edits, target.header))
    elif path.suffix == ".yaml":
        path.write_text(
            yaml.safe_dump(spoil_values(yaml.safe_load(path.read_text()), edits), sort_keys=False)
        )
    elif path.suffix == ".json":
        path.write_text(json.dumps(spoil_values(json.loads(path.read_text()), edits)))
    else:
        with safe_open(str(path), "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            config = json.loads(file.metadata()["config"])
        changed = {"config": json.dumps(spoil_values(config, edits))}
        path.write_bytes(safetensors.torch.save(tensors, changed))
        (path.parent / "card.json").write_text("{}")


def attempt(whole: Path, folder: Path, name: str, change: Callable[[Path], None]) -> None:
    """Change the target's file in a copy of the whole folder, and run its command."""
    target = TARGETS[name]
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder / "deep" / "project")
    project = folder / "deep" / "project"
    change(project / target.file)
    for output in target.allowed - {"params.yaml", "data"}:
        if output != Path(target.file).parts[0]:
            shutil.rmtree(project / output, ignore_errors=True)
    holds_up(target.main, target.arguments, project, target.allowed)


VALUED = [
    name for name, target in TARGETS.items() if Path(target.file).suffix in (".yaml", ".json", ".safetensors")
]
CASES = [*((name, False) for name in TARGETS), *((name, True) for name in VALUED)]


def fuzz(whole: Path, folder: Path, name: str, by_value: bool, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(edits=value_edits if by_value else byte_edits)
    def attempts(edits):
        attempt(whole, folder, name, lambda path: spoil(path, TARGETS[name], edits, by_value))

    attempts()


@pytest.mark.parametrize("name", TARGETS)
def test_the_command_succeeds_on_whole_input(whole, tmp_path, name):
    target = TARGETS[name]
    shutil.copytree(whole, tmp_path / "deep" / "project")
    assert holds_up(target.main, target.arguments, tmp_path / "deep" / "project", target.allowed).code == 0


@pytest.mark.parametrize(("name", "by_value"), CASES)
def test_spoilt_input_ends_in_one_sentence(whole, tmp_path, name, by_value):
    fuzz(whole, tmp_path, name, by_value, 5)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "by_value"), CASES)
def test_much_spoilt_input_ends_in_one_sentence(whole, tmp_path, name, by_value):
    fuzz(whole, tmp_path, name, by_value, 25)

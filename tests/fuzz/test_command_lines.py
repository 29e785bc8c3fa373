"""Spoilt input through the command lines: one sentence, no traceback, no hang, nothing outside the output folder.

A few seconds of it by default; 500 and more inputs with `-m slow`. What it found stays in `FOUND`.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pretty_midi
import pytest
import safetensors.torch
import soundfile
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy
from safetensors import safe_open

import baselines
import ucr.foundation.workers
from eval.__main__ import main as evaluate
from pipelines import data, preset, references, segments, separate
from tests.baselines.helpers import TINY_WEIGHTS
from tests.fuzz.harness import PICKLE, YAML_BOMB, Ended, holds_up
from tests.fuzz.mutations import byte_edits, spoil_bytes, spoil_values, value_edits
from tests.fuzz.oddities import ODD, beside
from tests.helpers import PARAMS, ROOT
from ucr.foundation.params import load_params
from ucr.methods import contract as base
from ucr.program.cli import main as program

for lazy in (
    "ucr.program.separation",
    "baselines.ucr",
    "baselines.mixture",
    "baselines.conv_tasnet",
    "eval.folders",
    "eval.tables",
):
    importlib.import_module(lazy)  # once here, not in every fork
RATE = 24000
SEPARATE = ["separate", "song.wav", "-o", "out", "--method"]


def in_process(main: Callable[[], None]) -> Callable[[], None]:
    """The same in one process: a fork of a test can't start workers quickly."""

    def run() -> None:
        ucr.foundation.workers.cpu_count = lambda: 1
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
    "preset": Target("preset.yaml", preset.main, ["preset.yaml"], {"runs"}),
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
            soundfile.write(stems / f"S{i:02d}.flac", np.roll(noise[:, i], number), RATE)
        entries = {
            f"S{i:02d}": {"inst_class": c, "audio_rendered": True} for i, c in enumerate(("Drums", "Bass"))
        }
        (stems.parent / "metadata.yaml").write_text(yaml.safe_dump({"stems": entries}))
    values = yaml.safe_load(PARAMS.read_text())
    values["segments"]["seconds"] = 1.0
    values["data"] |= {"name": "midi", "path": "midi"}
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    (folder / "preset.yaml").write_text(
        (ROOT / "params/smoke.yaml").read_text().replace("ucr/weights", "decomposition")
    )
    (folder / ".dvc").mkdir()
    for file in ("dvc.yaml", ".dvc/config"):
        shutil.copy(ROOT / file, folder / file)
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
        write_config(path, lambda config: json.dumps(spoil_values(config, edits)))


def write_config(path: Path, change: Callable[[dict], str]) -> None:
    """Change the configuration in a file of weights, and take their card away."""
    with safe_open(str(path), "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        config = json.loads(file.metadata()["config"])
    path.write_bytes(safetensors.torch.save(tensors, {"config": change(config)}))
    (path.parent / "card.json").write_text("{}")


def attempt(
    whole: Path, folder: Path, name: str, change: Callable[[Path], None], arguments: list[str] | None = None
) -> Ended:
    """Change the target's file in a copy of the whole folder, and run its command."""
    target = TARGETS[name]
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder / "deep" / "project")
    project = folder / "deep" / "project"
    change(project / target.file)
    for output in target.allowed - {"params.yaml", "data"}:
        if output != Path(target.file).parts[0]:
            shutil.rmtree(project / output, ignore_errors=True)
    return holds_up(target.main, arguments or target.arguments, project, target.allowed)


VALUED = [
    name for name, target in TARGETS.items() if Path(target.file).suffix in (".yaml", ".json", ".safetensors")
]
CASES = [*((name, False) for name in TARGETS), *((name, True) for name in VALUED)]


def fuzz(examples: int, drawn: SearchStrategy, attempted: Callable[[Any], object]) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # shrinking would take minutes
        suppress_health_check=list(HealthCheck),
    )
    @given(value=drawn)
    def attempts(value):
        attempted(value)

    attempts()


def fuzz_spoilt(whole: Path, folder: Path, name: str, by_value: bool, examples: int) -> None:
    def attempted(edits):
        attempt(whole, folder, name, lambda path: spoil(path, TARGETS[name], edits, by_value))

    fuzz(examples, value_edits if by_value else byte_edits, attempted)


def fuzz_odd(whole: Path, folder: Path, name: str, examples: int) -> None:
    drawn, written = ODD[name]

    def change(path: Path, value: Any) -> None:
        path.write_bytes(written(value))
        beside(path)

    fuzz(examples, drawn, lambda value: attempt(whole, folder, name, lambda path: change(path, value)))


@pytest.mark.parametrize("name", TARGETS)
def test_the_command_succeeds_on_whole_input(whole, tmp_path, name):
    target = TARGETS[name]
    shutil.copytree(whole, tmp_path / "deep" / "project")
    assert holds_up(target.main, target.arguments, tmp_path / "deep" / "project", target.allowed).code == 0


@pytest.mark.parametrize(("name", "by_value"), CASES)
def test_spoilt_input_ends_in_one_sentence(whole, tmp_path, name, by_value):
    fuzz_spoilt(whole, tmp_path, name, by_value, 3)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "by_value"), CASES)
def test_much_spoilt_input_ends_in_one_sentence(whole, tmp_path, name, by_value):
    fuzz_spoilt(whole, tmp_path, name, by_value, 25)


@pytest.mark.parametrize("name", ODD)
def test_odd_files_end_well_or_in_one_sentence(whole, tmp_path, name):
    fuzz_odd(whole, tmp_path, name, 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_many_odd_files_end_well_or_in_one_sentence(whole, tmp_path, name):
    fuzz_odd(whole, tmp_path, name, 40)


def with_key(key: str) -> Callable[[Path], None]:
    """Put a segment of this name into a store."""

    def change(path: Path) -> None:
        with lmdb.open(str(path), subdir=False, lock=False) as env, env.begin(write=True) as transaction:
            transaction.put(key.encode(), bytes(4 * RATE))

    return change


def with_value(*keys: str, value: Any) -> Callable[[Path], None]:
    """Change a value of a JSON file, or of the configuration in a file of weights; None takes the key away."""

    def changed(values: dict) -> str:
        section = values
        for key in keys[:-1]:
            section = section[key]
        if value is None:
            del section[keys[-1]]
        else:
            section[keys[-1]] = value
        return json.dumps(values)

    def change(path: Path) -> None:
        if path.suffix == ".json":
            path.write_text(changed(json.loads(path.read_text())))
        else:
            write_config(path, changed)

    return change


FOUND = {
    "a segment's name that points out": ("lmdb", with_key("../../../x_0"), "which is no name of a segment"),
    "a segment's name without number": ("lmdb", with_key("x"), "which is no name of a segment"),
    "a page of another kind": (
        "lmdb", lambda path: path.write_bytes(spoil_bytes(path.read_bytes(), [(0.4621362561558934, b"../../x")])),
        "test.lmdb is damaged",
    ),
    "a stored source's name that points out": (
        "description", with_value("sources", value=["../../x", "bass"]), "sources.0: '../../x' is no source"
    ),
    "no rate": ("description", with_value("sample_rate", value=None), "segments.json: sample_rate: is missing"),
    "a path with a NUL": ("dataset", with_value("root", value="a\0b"), "dataset.json: root: has a NUL character in it"),
    "no fingerprint": ("dataset", with_value("fingerprint", value=None), "dataset.json: fingerprint: is missing"),
    "a component's name that points out": (
        "card", with_value("components", value=["../../x", "bass"]), "names its components ['../../x', 'bass']"
    ),
    "too few names": ("card", with_value("components", value=["bass"]), "names its components ['bass']"),
    "a trained source's name that points out": (
        "safetensors", with_value("sources", value=["../../x", "bass"]), "sources.0: '../../x' is no source name"
    ),
    "no size": ("safetensors", with_value("network", "L", value="x"), "weights describes no network of conv_tasnet"),
    "unknown size": ("safetensors", with_value("network", "mel", value=1), "describes no network of conv_tasnet"),
    "a song called ..": (
        "wav", lambda path: path.rename(path.parent / "...wav"), "not be in a folder of their own in out: rename it"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FOUND)
def test_what_was_found_stays_fixed(whole, tmp_path, case):
    name, change, words = FOUND[case]
    arguments = (
        [word.replace("song.wav", "...wav") for word in TARGETS[name].arguments] if ".." in case else None
    )
    ended = attempt(whole, tmp_path, name, change, arguments)
    assert ended.code == 1
    assert words in ended.said


@pytest.mark.parametrize("name", TARGETS)
def test_a_planted_pickle_is_never_run(whole, tmp_path, name):
    ended = attempt(whole, tmp_path, name, lambda path: path.write_bytes(PICKLE))
    assert ended.code == 1


@pytest.mark.parametrize("name", ["metadata", "params", "preset"])
@pytest.mark.parametrize("text", [YAML_BOMB, b"stems: " + YAML_BOMB, b"seed: !!python/name:os.system ''"])
def test_yaml_makes_no_objects(whole, tmp_path, name, text):
    assert attempt(whole, tmp_path, name, lambda path: path.write_bytes(text)).code == 1


@pytest.mark.parametrize(
    "song", ["<script>alert(1)</script>".replace("/", "∕"), "&amp;\"'", "..x", "-o", "a\nb"]
)
def test_a_songs_name_is_only_a_name(whole, tmp_path, song):
    def change(path: Path) -> None:
        for place in ("true", "estimates"):
            folder = path.parents[1] / place
            files = list(folder.iterdir())
            (folder / song).mkdir()
            for file in files:
                file.rename(folder / song / file.name)

    assert attempt(whole, tmp_path, "estimate", change).code == 0


def test_nothing_in_the_project_unpickles():
    unsafe = r"^\s*(import|from) (pickle|marshal|shelve|dill)|allow_pickle=True|(unsafe|full)_load|[^.\w](eval|exec)\("
    for package in ("ucr", "baselines", "eval", "pipelines", "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            assert not re.search(unsafe, text, re.MULTILINE), path
            assert all("weights_only=True" in call for call in re.findall(r"torch\.load\([^)]*\)", text)), (
                path
            )
            assert all("SafeLoader" in call for call in re.findall(r"yaml\.load\(.*", text)), path

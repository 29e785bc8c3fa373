"""The graph in dvc.yaml, as a file: what depends on what."""

import ast
from functools import lru_cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

from tests.helpers import ROOT
from ucr.foundation.params import TRAINED_CODEC, check_params

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
PACKAGES = ("baselines", "eval", "pipelines", "ucr")
BODIES = {name: stage.get("do", stage) for name, stage in STAGES.items()}


def test_each_stage_is_the_module_of_its_name_and_depends_on_it():
    modules = {path.stem for path in (ROOT / "pipelines").glob("*.py")} - {"__init__", "forecast", "preset"}
    assert set(STAGES) == {name for name in modules if not name.startswith("_")}
    for name, body in BODIES.items():
        assert body["cmd"].split()[:3] == ["python", "-m", f"pipelines.{name}"]
        assert f"pipelines/{name}.py" in body["deps"]


def test_every_dependency_is_a_file_of_the_project_or_some_stages_output():
    outs = [
        out if isinstance(out, str) else next(iter(out)) for body in BODIES.values() for out in body["outs"]
    ]
    for body in BODIES.values():
        for dep in body["deps"]:
            made = any(dep == out or dep.startswith(f"{out}/") or out.startswith(f"{dep}/") for out in outs)
            assert "${" in dep or made or (ROOT / dep).exists(), dep


@pytest.mark.parametrize("stage", ["separate", "score"])
def test_a_method_does_not_depend_on_the_others(stage):
    body = BODIES[stage]
    assert not any(param in ("methods", "methods.*") for param in body["params"])
    assert "baselines" not in body["deps"]
    assert not any(dep == "estimates" for dep in body["deps"])


def test_folders_with_a_folder_per_segment_are_walked_once():
    """By the stage that writes them: DVC walks a dependency anew for each stage (`findings/`)."""
    for body in BODIES.values():
        assert not {"references", "estimates", "estimates/${key}"} & set(body["deps"])


@lru_cache
def imported(path: Path) -> set[Path]:
    """Files of the project that the one at `path` imports, at its top or within a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join([*package, *filter(None, [node.module])])
            names |= {f"{module}.{alias.name}" for alias in node.names} | {module}
    places = [ROOT / name.replace(".", "/") for name in names]
    return {
        file
        for place in places
        for file in (place.with_suffix(".py"), place / "__init__.py")
        if file.is_file()
    }


def behind(files: set[Path], apart_from: set[Path]) -> set[Path]:
    """These files, what they import, what that imports and so on; `apart_from` and what lies behind it is left out."""
    found, new = set(files), set(files)
    while new:
        new = {file for each in new for file in imported(each)} - found - apart_from
        found |= new
    return found


# What no output's content comes from: messages, files, parameters, workers, readers of what a dependency is.
PLUMBING = [
    *(str(path.relative_to(ROOT)) for path in (ROOT / "ucr" / "foundation").glob("*.py")),
    *(str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")),
    *(
        "ucr/data/slakh/read.py",
        "ucr/data/slakh/song.py",
        "ucr/data/tracks.py",
        "ucr/training/trainer.py",
    ),
    "eval/comparable.py",
]
CALLS_NOT = {  # modules that come with another's import, of which a stage calls nothing that counts
    "train_prior": ["ucr/data/segments.py"],
    "train_supervised": ["ucr/methods/contract.py", "ucr/methods/registry.py"],
    "train_unsupervised": ["ucr/methods/contract.py", "ucr/methods/registry.py"],
    "tables": [
        *("eval/bss_eval.py", "eval/delay.py", "eval/distances.py"),
        *("eval/songs.py", "eval/stems.py", "eval/stretches.py"),
    ],
}


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_depends_on_all_the_code_that_its_output_comes_from(stage):
    methods = set((ROOT / "baselines").glob("[!_]*.py"))
    supervised = {ROOT / "baselines" / f"{name}.py" for name in PARAMS["supervised"]}
    unsupervised = {ROOT / "baselines" / f"{name}.py" for name in PARAMS["unsupervised"]}
    trained = {"train_supervised": supervised, "train_unsupervised": unsupervised}
    own = ({"separate": methods, "cost": methods} | trained).get(stage, set())
    own |= {ROOT / "pipelines" / f"{stage}.py"}
    aside = {ROOT / name for name in PLUMBING + CALLS_NOT.get(stage, [])}
    deps = [ROOT / dep for dep in BODIES[stage]["deps"]]
    covered = own if {"baselines/${key}.py", "${item.code}"} & set(BODIES[stage]["deps"]) else set()
    for file in behind(own, aside) - covered:
        assert any(file.is_relative_to(dep) for dep in deps), file.relative_to(ROOT)


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_what_is_imported_for_nothing_is_still_imported(stage):
    """So that the list above does not outlive its reasons."""
    assert set(CALLS_NOT) <= set(STAGES)
    for name in CALLS_NOT.get(stage, []):
        assert ROOT / name in behind(
            {ROOT / "pipelines" / f"{stage}.py"} | set((ROOT / "baselines").glob("*.py")), set()
        )


def test_nothing_depends_on_the_executor():
    for name, body in BODIES.items():
        assert not any(str(param).startswith("executor") for param in body.get("params", [])), name
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert "executor" in values
    elsewhere = values | {"executor": {"backend": "dask", "scheduler": "tcp://host:8786"}}
    assert check_params(elsewhere).model_dump() == check_params(values).model_dump()


def test_what_runs_the_codec_depends_on_what_it_is_read_from():
    codec = ROOT / "ucr" / "codecs" / "__init__.py"
    for name, body in BODIES.items():
        if name != "train_codec" and codec in behind(
            {ROOT / "pipelines" / f"{name}.py"}, {ROOT / "ucr" / "__init__.py"}
        ):
            needs = "latents" if name == "train_prior" else "${codec.needs}"
            assert needs in body["deps"], name
    assert BODIES["train_codec"]["outs"] == [TRAINED_CODEC]


def layer(path: Path) -> int:
    """How high a module stands: `ucr` below `baselines` and `eval`, then `pipelines`, then `benchmarks`."""
    return {"ucr": 0, "baselines": 1, "eval": 1, "pipelines": 2, "benchmarks": 3}[top(path)]


def top(path: Path) -> str:
    """The folder of the repository that a file is in."""
    return path.relative_to(ROOT).parts[0]


def modules() -> list[Path]:
    return [path for folder in (*PACKAGES, "benchmarks") for path in (ROOT / folder).rglob("*.py")]


def test_imports_run_one_way():
    for path in modules():
        for other in imported(path) - {path}:
            assert layer(other) < layer(path) or top(other) == top(path), (
                f"{path.relative_to(ROOT)} imports {other.relative_to(ROOT)}"
            )


def test_nothing_imports_a_stage():
    stages = {ROOT / "pipelines" / f"{name}.py" for name in STAGES}
    for path in modules():
        assert not (imported(path) & stages) - {path}, path.relative_to(ROOT)


def test_no_rooms_of_ucr_import_in_a_circle():
    rooms = {
        path: path.relative_to(ROOT / "ucr").parts[0]
        for path in modules()
        if path.is_relative_to(ROOT / "ucr")
    }
    arrows = {
        (room, rooms[other])
        for path, room in rooms.items()
        if path.name != "__init__.py" or path.parent.name != "ucr"
        for other in imported(path)
        if other in rooms and rooms[other] not in (room, "__init__.py")
    }
    below = {room: {other for one, other in arrows if one == room} for room in rooms.values()}
    TopologicalSorter(below).prepare()  # a CycleError names the rooms of a circle

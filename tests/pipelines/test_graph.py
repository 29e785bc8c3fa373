"""The graph in dvc.yaml, as a file: what depends on what."""

import re
from pathlib import Path

import pytest
import yaml

from ucr.params import TRAINED_CODEC, check_params

ROOT = Path(__file__).resolve().parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
BODIES = {name: stage.get("do", stage) for name, stage in STAGES.items()}


def test_each_stage_is_the_module_of_its_name_and_depends_on_it():
    modules = {path.stem for path in (ROOT / "pipelines").glob("*.py")} - {"__init__", "preset"}
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


@pytest.mark.parametrize("stage", ["separate", "cost"])
def test_a_method_depends_on_the_shared_code_that_it_is_built_of(stage):
    for path in (ROOT / "baselines").glob("[!_]*.py"):
        for shared in re.findall(r"^from baselines\.(_\w+) import", path.read_text(), re.MULTILINE):
            assert f"baselines/{shared}.py" in BODIES[stage]["deps"], path


def test_nothing_depends_on_the_executor():
    for name, body in BODIES.items():
        assert not any(str(param).startswith("executor") for param in body.get("params", [])), name
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert "executor" in values
    elsewhere = values | {"executor": {"backend": "dask", "scheduler": "tcp://host:8786"}}
    assert check_params(elsewhere).model_dump() == check_params(values).model_dump()


def test_what_runs_the_codec_depends_on_what_it_is_read_from():
    users = {name for name, body in BODIES.items() if "ucr/codecs" in body["deps"]}
    assert {"latents", "references", "separate", "cost"} <= users
    for name in users:
        assert "${codec.needs}" in BODIES[name]["deps"], name
    assert BODIES["train_codec"]["outs"] == [TRAINED_CODEC]

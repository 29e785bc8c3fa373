"""Presets: each in a folder of its own, and nothing of the project's is touched."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from pipelines.preset import main
from tests.helpers import PARAMS, ROOT

COPIED = ("dvc.yaml", ".dvcignore", ".dvc/config", "reports/steps.csv")
LOCKED = """schema: '2.0'
stages:
  data:
    cmd: python -m pipelines.data
    deps:
    - path: pipelines/data.py
      hash: md5
      md5: 0123456789abcdef0123456789abcdef
      size: 12
"""


@pytest.fixture
def folder(tmp_path):
    """A project of the same code, with results that a preset must leave alone, and a preset `small.yaml`."""
    for package in ("baselines", "eval", "pipelines", "ucr"):
        (tmp_path / package).symlink_to(ROOT / package)
    for name in COPIED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    methods = {name: {"code": f"baselines/{name}.py", "needs": "segments"} for name in ("mixture", "irm")}
    few = {"methods": methods, "supervised": {}, "unsupervised": {}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(yaml.safe_load(PARAMS.read_text()) | few))
    (tmp_path / "reports/tables").mkdir()
    (tmp_path / "reports/tables/cost.csv").write_text("mine")
    (tmp_path / "models").mkdir()
    (tmp_path / "small.yaml").write_text("seed: 7\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


@pytest.fixture
def preset(folder, monkeypatch, capfd):
    """Call the command in `folder`; returns its exit code and what was printed."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["preset", *arguments])
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code
        return SimpleNamespace(returncode=code, **capfd.readouterr()._asdict())

    return call


def start(name, *command):
    arguments = [sys.executable, "-m", "pipelines.preset", f"{name}.yaml", "--", *command]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def tree(folder):
    """What is in the project's folder, apart from `runs` and what DVC keeps for itself."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if not {"runs", "tmp", ".git"} & set(path.parts)}


def test_a_preset_has_parameters_and_results_of_its_own(folder, preset):
    before = tree(folder)
    done = preset(
        "small.yaml",
        "--",
        "sh",
        "-c",
        "mkdir models; echo theirs > models/x; cat params.yaml reports/steps.csv",
    )
    assert done.returncode == 0, done.err
    assert "seed: 7\n" in done.out
    assert done.out.endswith((ROOT / "reports/steps.csv").read_text())
    assert done.err.endswith(f"results: {folder}/runs/small\n")
    assert (folder / "runs/small/models/x").read_text() == "theirs\n"
    assert not (folder / "runs/small/reports/tables").exists()
    assert tree(folder) == before
    assert preset("small.yaml", "--", "false").returncode == 1
    assert preset("small.yaml").out == "runs/small\n"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            "seed: 7",
            r"forecast, were nothing done yet: \d+ minutes, \d.\d GB of disk, .*an estimate at the rates of",
        ),
        (
            "data: {name: stems, path: mine}",
            "no forecast: only reading the songs at mine tells how long they are",
        ),
    ],
)
def test_what_a_run_costs_is_said_before_it(folder, preset, monkeypatch, values, said):
    (folder / "small.yaml").write_text(values)
    (folder / "bin").mkdir()
    (folder / "bin/dvc").write_text("#!/bin/sh\necho begun >&2\n")
    (folder / "bin/dvc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
    first, second, *_ = preset("small.yaml", "--", "dvc", "repro").err.splitlines()
    assert re.match(said, first)
    assert second == "begun"
    assert preset("small.yaml", "--", "dvc", "status").err.startswith("begun")


def test_params_yaml_itself_runs_here(folder, preset):
    done = preset("params.yaml", "--", "sh", "-c", "pwd; cat reports/tables/cost.csv")
    assert done.out == f"{folder}\nmine"


def test_dvc_takes_the_code_and_the_cache_of_the_project(folder, preset):
    assert preset("small.yaml", "--", "dvc", "cache", "dir").out == f"{folder}/.dvc/cache\n"
    stages = preset("small.yaml", "--", "dvc", "status", "data")
    assert "modified:           ucr/data/slakh\n" in stages.out  # found behind the link
    assert "deleted:            ucr" not in stages.out
    assert subprocess.run(["dvc", "status", "data"]).returncode == 0


def test_every_dependency_is_there_and_no_output_is_a_link(folder, preset):
    made = folder / preset("small.yaml").out.strip()
    stages = [
        stage.get("do", stage) for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    ]
    for out in ("data", "segments", "models", "reports", "reports/tables", "runs", "params.yaml", "dvc.lock"):
        assert not (made / out).is_symlink(), out
    code = {dep for stage in stages for dep in stage["deps"] if "$" not in dep and dep.endswith(".py")}
    assert all((made / dep).is_file() for dep in code)


def test_what_is_added_or_gone_in_the_project_is_so_for_the_preset(folder, preset):
    preset("small.yaml")
    (folder / "reports/steps.csv").rename(folder / "reports/ablation.csv")
    preset("small.yaml")
    assert {path.name for path in (folder / "runs/small/reports").iterdir()} == {"ablation.csv"}


def test_paths_mean_what_they_mean_in_the_project(folder, preset):
    (folder / "own.yaml").write_text(
        "data: {name: midi, path: songs, soundfont: ../x.sf2}\ngeneration: {weights: {clap: /y}}\n"
    )
    (folder / "songs").mkdir()
    (folder / "songs/one.mid").touch()
    made = folder / preset("own.yaml").out.strip()
    values = yaml.safe_load((made / "params.yaml").read_text())
    assert (made / values["data"]["path"] / "one.mid").is_file()
    assert values["data"]["soundfont"] == str(folder.parent / "x.sf2")
    assert values["generation"]["weights"]["clap"] == "/y"


def test_methods_left_out_are_named(folder, preset):
    (folder / "few.yaml").write_text("methods: {irm: {code: baselines/irm.py, needs: segments}}\n")
    assert preset("few.yaml").err == "few.yaml leaves out the methods mixture\n"


def test_two_presets_at_once_and_the_project_itself(folder, preset):
    (folder / "other.yaml").write_text("seed: 8\n")
    wait = "touch begun; while [ ! -e ../../end ]; do sleep 0.05; done; grep 'seed: ' params.yaml"
    both = [start(name, "sh", "-c", wait) for name in ("small", "other")]
    while not all((folder / "runs" / name / "begun").exists() for name in ("small", "other")):
        assert all(each.poll() is None for each in both)
        time.sleep(0.05)
    assert preset("params.yaml", "--", "grep", "seed: 0", "params.yaml").returncode == 0
    assert preset("small.yaml", "--", "true").returncode == 0  # DVC tells users of one output apart
    (folder / "end").touch()
    assert [each.communicate()[0] for each in both] == ["seed: 7\n", "seed: 8\n"]


def test_a_kill_leaves_nothing_to_restore(folder, preset):
    before = tree(folder)
    assert start("small", "sh", "-c", "kill -9 $PPID").wait() == -9
    assert tree(folder) == before
    assert preset("small.yaml", "--", "true").returncode == 0


@pytest.mark.parametrize(
    ("text", "stays"), [(LOCKED, True), ("", False), (LOCKED[: LOCKED.index("ash: md5")], False)]
)
def test_a_lock_file_that_a_kill_cut_short_is_put_aside(folder, preset, text, stays):
    lock = folder / "dvc.lock"
    lock.write_text(text)
    done = preset("params.yaml", "--", "true")
    assert done.returncode == 0, done.err
    assert lock.exists() == stays
    assert (f"{lock} can't be read and is now {lock}.damaged" in done.err) == (not stays)
    assert stays or (folder / "dvc.lock.damaged").read_text() == text


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (
            "methods: {nmf: {code: baselines/nmf.py, needs: segmens}}",
            "methods.nmf.needs: segmens does not exist: choose segments, ",
        ),
        (
            "methods: {nmf: {code: baselines/nmf.py, needs: segments, speed: 3}}",
            "methods.nmf in the params file: got an unexpected",
        ),
        ("seeds: 7", "bad.yaml: seeds: is an unknown key"),
        ("seed: zero", "bad.yaml: seed: Input should be a valid integer"),
        ("seed: [", "bad.yaml is not valid YAML"),
        (
            "methods: {ghost: {code: ghost.py, needs: segments}}",
            "ghost.py does not exist: fix the path of the method",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_makes_nothing(folder, preset, mistake, sentence):
    (folder / "bad.yaml").write_text(mistake)
    done = preset("bad.yaml", "--", "true")
    assert (done.returncode, done.err.count("\n")) == (1, 1)
    assert done.err.startswith(f"error: {sentence}")
    assert not (folder / "runs").exists()


def test_a_command_line_that_is_wrong(folder, preset):
    assert preset().returncode == preset("small.yaml", "--").returncode == 2
    done = preset("small.yaml", "--", "nothing")
    assert (done.returncode, done.err) == (1, "error: nothing does not exist: name a command that does\n")

"""`benchmarks/build.py`: what a process takes, ratios, refusals, and two rows of this checkout beside itself."""

import os

import numpy as np
import pandas as pd
import pytest

from benchmarks import build, projects
from benchmarks.build import Build, less, summary
from tests.helpers import ROOT
from ucr.data.slakh.read import find_tracks
from ucr.foundation.params import load_params
from ucr.foundation.schema import read_yaml
from ucr.methods.registry import make_method

MIDI = "rendering MIDI, 25 minutes"


def used(wall, cpu, memory):
    return {"wall": wall, "cpu": cpu, "memory": memory}


def test_ratios_are_of_medians_and_ranges_are_kept():
    found = {
        "before": [used(8.0, 16.0, 400.0), used(9.0, 15.0, 500.0), used(30.0, 17.0, 450.0)],
        "after": [used(2.0, 4.0, 300.0), used(3.0, 4.0, 300.0), used(4.0, 4.0, 300.0)],
    }
    row = summary("nmf", found)
    assert (row["wall_ratio"], row["cpu_ratio"], row["memory_ratio"]) == (3.0, 4.0, 1.5)
    assert row["before_wall_range"] == "8 to 30"
    assert "disk_ratio" not in row
    assert row["turns"] == 3


def test_a_start_is_taken_off_times_alone():
    found = used(5.0, 8.0, 300.0) | {"disk": 12.0}
    assert less(found, used(2.0, 3.0, 290.0)) == used(3.0, 5.0, 300.0) | {"disk": 12.0}


def test_memory_of_children_and_disk_are_counted(tmp_path):
    (tmp_path / "spawning.py").write_text(
        "import subprocess, sys, pathlib\n"
        "pathlib.Path('out').mkdir()\n"
        "pathlib.Path('out/file').write_bytes(bytes(3_000_000))\n"
        "code = 'import time; held = b\"x\" * 200_000_000; time.sleep(0.5)'\n"
        "subprocess.run([sys.executable, '-c', code], check=True)\n"
    )
    found = Build("here", tmp_path).run(tmp_path, "spawning", out=tmp_path / "out")
    assert 190 < found["memory"] < 300
    assert found["disk"] == 3.0
    assert found["wall"] > 0.5 > found["cpu"] / 4


def test_what_fails_is_named_with_its_last_words(tmp_path):
    (tmp_path / "failing.py").write_text("raise SystemExit('error: no songs')")
    with pytest.raises(build.UserError, match=r"failing of .* failed \(error: no songs\): see .*failing.log"):
        Build("after", tmp_path).run(tmp_path, "failing")


def test_rows_replace_older_ones_of_the_same_keys(tmp_path):
    path = tmp_path / "table.csv"
    for speed in (1, 2):
        for hours in (1, 10):
            rows = pd.DataFrame([{"codec": "mel", "hours": hours, "speed": speed}])
            projects.keep_rows(rows, path, "codec", "hours")
    assert pd.read_csv(path).to_numpy().tolist() == [["mel", 1, 2], ["mel", 10, 2]]


def test_a_busy_machine_is_refused(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (1.7, 0.0, 0.0))
    with pytest.raises(build.UserError, match=r"the load is 1\.70"):
        build.require_quiet()


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["nowhere", str(ROOT)], 1, "nowhere holds no params.yaml: name a checkout"),
        ([str(ROOT), str(ROOT), "--songs", "nowhere"], 1, "nowhere"),
        ([str(ROOT), str(ROOT), "--songs", "songs", "--rows", "sums"], 2, "no such row: sums; there are"),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, code, named, tmp_path, monkeypatch, make_track, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    for number in (1, 2, 3):
        make_track(tmp_path / "songs" / f"Track{number:05d}", {"S00": ("Drums", 0.1), "S01": ("Bass", 0.2)})
    monkeypatch.setattr("sys.argv", ["build", *arguments])
    with pytest.raises(SystemExit) as ended:
        build.main()
    assert ended.value.code == code
    assert named in capsys.readouterr().err


@pytest.mark.parametrize("name", build.METHODS)
def test_methods_have_the_options_that_are_set(name):
    make_method(name, build.METHODS[name])


def test_a_whole_run_has_the_values_of_the_first_build_and_only_methods_of_both():
    own = {
        "data": {"seconds": {"train": 29.0, "test": 10.0}, "tracks": {"train": 80}},
        "codec": {"bands": 64},
        "methods": {"nmf": {"code": "nmf.py", "components": 256}, "grouping": {"code": "grouping.py"}},
    }
    first = {
        "data": {"seconds": 22.0, "tracks": {"train": 8}, "old": 1},
        "methods": {"nmf": {"needs": "segments"}},
    }
    assert build.shared(own, first) == {
        "data": {"seconds": {"train": 22.0, "test": 22.0}, "tracks": {"train": 8}},
        "codec": {"bands": 64},
        "methods": {"nmf": {"code": "nmf.py", "components": 256}},
    }


@pytest.mark.parametrize(
    ("row", "file", "bands", "batch"),
    [("default", "params.yaml", 64, None), ("the paper's networks", "params/paper.yaml", 128, 4)],
)
def test_a_training_step_is_of_the_first_builds_sizes(
    row, file, bands, batch, tmp_path, monkeypatch, make_track
):
    for number in range(1, 4):
        make_track(tmp_path / "songs" / f"Track{number:05d}", {"S00": ("Drums", 0.1), "S01": ("Bass", 0.2)})
    wanted = read_yaml(ROOT / file)["decomposition"]
    ran = []

    def run(self, folder, module, *arguments, out=None):
        ran.append(module)
        if module == "benchmarks.training":
            (folder / "figures.json").write_text('{"step_seconds": 0.25}')
            params = load_params(folder / "params.yaml")
            model = params.decomposition
            assert params.codec.bands == bands
            assert model.denoiser.channels == wanted["denoiser"]["channels"]
            assert model.encoder.channels == wanted["encoder"]["channels"]
            assert model.optim.batch == (batch or wanted["optim"]["batch"])
        return used(9.0, 18.0, 500.0)

    monkeypatch.setattr(Build, "run", run)
    here = Build("before", ROOT)
    bench = build.Bench(find_tracks(tmp_path / "songs"), tmp_path, here)
    assert build.rows(bench)[f"training step, {row}"](here) == {"wall": 0.25, "memory": 500.0}
    assert ran == ["pipelines.data", "pipelines.segments", "pipelines.latents", "benchmarks.training"]


@pytest.mark.slow
def test_this_checkout_beside_itself(tmp_path, monkeypatch, make_track):
    for number in range(1, 6):
        stems = {"S00": ("Drums", 0.1), "S01": ("Bass", 0.2)}
        make_track(tmp_path / "songs" / f"Track{number:05d}", stems, seconds=15.0)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(build, "TABLE", tmp_path / "build.csv")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "HOURS", {"mel": 0.03})
    monkeypatch.setattr(build, "MIDI", dict.fromkeys(build.MIDI, 0.5))
    monkeypatch.setattr(build, "METHODS", {name: build.METHODS[name] for name in ("repet_sim",)})
    command = ["build", str(ROOT), str(ROOT), "--songs", str(tmp_path / "songs"), "--turns", "1"]
    rows = ["preprocessing, mel", "repet_sim", "stage score", MIDI]
    monkeypatch.setattr("sys.argv", [*command, "--rows", *rows])
    build.main()
    table = pd.read_csv(tmp_path / "build.csv").set_index("row")
    assert list(table.index) == rows
    assert table.loc["preprocessing, mel", "disk_ratio"] == 1.0
    assert 0.3 < table.loc["stage score", "cpu_ratio"] < 3
    assert np.isfinite(table.loc["repet_sim", "after_memory"])

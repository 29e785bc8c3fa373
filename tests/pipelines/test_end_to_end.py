"""The whole graph at the smoke setting, in a copy of the project."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from tests.pipelines.kill import copy_project, environment
from ucr.foundation.params import load_params

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def run(folder, *command, check=True):
    env = environment(folder)
    if "SMOKE_CACHE" in os.environ:  # costs share a table with those of that run, which had all threads
        for name in (
            "OMP_NUM_THREADS",
            "MKL_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
        ):  # a Dask test sets the latter
            env.pop(name, None)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The smoke run's folder; what `.ci/run` ran of it just before, with this code, comes from the cache it names."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder)
    if "SMOKE_CACHE" in os.environ:
        shutil.copytree(os.environ["SMOKE_CACHE"], folder / ".dvc/cache")
    folder /= run(folder, sys.executable, "-m", "pipelines.preset", "params/smoke.yaml").stdout.strip()
    run(folder, "dvc", "repro")
    return folder


def ran(done):
    return set(re.findall(r"Running stage '([^']+)'", done.stdout + done.stderr))


def test_every_method_is_in_the_tables(project):
    table = pd.read_csv(project / "reports/tables/separation.csv")
    methods = set(load_params(project / "params.yaml").methods)
    assert set(table.method) == methods
    assert set(table.reference) == {"waveform", "codec"}
    assert {"si_sdr", "si_sir", "si_sar", "v4_sdr_mean_windows"} <= set(table.metric)
    assert (table.n + table.n_silent + table.n_capped + table.n_failed > 0).all()
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert set(metrics) == set(table["set"]) == {"slakh_mini", "stempeg"}
    assert all(methods == set(each) for each in metrics.values())
    assert "<html" in (project / "reports/index.html").read_text()[:500]
    assert len(pd.read_csv(project / "generated/manifest.csv")) > 0


def cpu_seconds(folder, *command):
    """What a command printed, and the processor's time that it took: other work stretches the clock's."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run(folder, *command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_nothing_runs_again_and_that_takes_little_more_than_reading_the_graph(project):
    run(project, "dvc", "repro")
    done, taken = cpu_seconds(project, "dvc", "repro")
    assert ran(done) == {"inputs"}
    assert taken < 5 * cpu_seconds(project, "dvc", "stage", "list")[1]


def test_a_lock_file_cut_short_costs_no_more_than_the_tables_and_the_report(project):
    lock = project / "dvc.lock"
    before = yaml.safe_load(lock.read_text())["stages"]
    lock.write_text("")  # DVC had opened it when it was killed
    done = run(project, sys.executable, "-m", "pipelines.preset", "params.yaml", "--", "dvc", "repro")
    assert ran(done) <= {"inputs", "tables", "report"}
    after = yaml.safe_load(lock.read_text())["stages"]
    assert after == {
        name: before[name] for name in run(project, "dvc", "stage", "list", "--name-only").stdout.split()
    }


def test_a_new_baseline_runs_its_own_stages_and_the_tables(project):
    (project / "baselines/copycat.py").write_text(
        (project / "baselines/mixture.py").read_text().replace('"mixture"', '"copycat"')
    )
    with open(project / "params.yaml", "a") as file:
        file.write("  copycat: {code: baselines/copycat.py, needs: segments}\n")
    done = run(project, "dvc", "repro")
    assert ran(done) == {"inputs", "separate@copycat", "score@copycat", "cost@copycat", "tables", "report"}
    table = pd.read_csv(project / "reports/tables/separation.csv")
    both = table[table.method.isin(["mixture", "copycat"]) & (table.metric == "si_sdr")]
    assert both.groupby(["set", "reference", "source"])["mean"].nunique().eq(1).all()


def test_a_baseline_that_raises_is_a_row_and_the_rest_goes_on(project):
    text = (project / "baselines/mixture.py").read_text().replace('"mixture"', '"faulty"')
    text = text.replace("        return ", "        raise ArithmeticError('too loud')\n        return ", 1)
    (project / "baselines/faulty.py").write_text(text)
    with open(project / "params.yaml", "a") as file:
        file.write("  faulty: {code: baselines/faulty.py, needs: segments}\n")
    run(project, "dvc", "repro")
    table = pd.read_csv(project / "reports/tables/separation.csv")
    assert (table[table.method == "faulty"].n_failed > 0).all()
    rows = pd.read_csv(project / "scores/faulty/rows.csv")
    assert rows.status.eq("failed").all()
    assert rows.reason.str.contains("too loud").all()

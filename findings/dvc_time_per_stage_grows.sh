#!/bin/sh
# DVC 3.67.1: the more stages a pipeline has, the longer each of them takes, all of its work apart.
#
# One would guess: what DVC does when a stage ends depends on that stage. Three hundred stages take ten times as long as
# thirty, and what is spent beside the commands is known from a small run.
# What happens: after each stage the whole lock file is read by a YAML parser in pure Python, one entry is changed, and
# the whole is written again. Its size grows with stages times dependencies, and so does the time of every stage: that
# of a run goes with the square of the number of stages. With 160 stages of 16 dependencies, a lock file of 285 kB, it
# is 1.5 s a stage on one core, however short the command is; with 10 stages 0.2.
# Whom it hurts: benchmarks of many methods, each with stages of its own, as `foreach` invites to write; above all their
# quick test runs, in which much of the time goes there.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export DVC_NO_ANALYTICS=1 DVC_GLOBAL_CONFIG_DIR="$folder/config" DVC_SYSTEM_CONFIG_DIR="$folder/config" DVC_SITE_CACHE_DIR="$folder/site"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet dvc==3.67.1
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import subprocess
import sys
import time
from pathlib import Path

DEPENDENCIES = 16
dvc = [sys.executable, "-m", "dvc"]
print("DVC 3.67.1, seconds that the same stage takes, by the stages that the pipeline has run before:")
took = {}
for count in (10, 160):
    project = Path(sys.argv[1]) / str(count)
    project.mkdir()
    for i in range(DEPENDENCIES):
        (project / f"dependency{i}.txt").write_text(str(i))
    deps = ", ".join(f"dependency{i}.txt" for i in range(DEPENDENCIES))
    stages = [f"  stage{i}: {{cmd: echo > out{i}, deps: [{deps}], outs: [out{i}]}}" for i in range(count)]
    (project / "dvc.yaml").write_text("\n".join(["stages:", *stages, ""]))
    quiet = {"cwd": project, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*dvc, "init", "--no-scm"], **quiet)
    for i in range(count):  # what `dvc commit` records without running
        (project / f"out{i}").write_text("\n")
    subprocess.run([*dvc, "commit", "--force"], **quiet)
    reading = forced = float("inf")
    for _ in range(3):
        began = time.monotonic()
        subprocess.run([*dvc, "status", "stage0"], **quiet)
        reading = min(reading, time.monotonic() - began)
        began = time.monotonic()
        subprocess.run([*dvc, "repro", "--force", "--single-item", "stage0"], **quiet)
        forced = min(forced, time.monotonic() - began)
    took[count] = forced - reading
    size = (project / "dvc.lock").stat().st_size / 1000
    print(f"{count:4} stages, lock file of {size:.0f} kB: {took[count]:.2f} s more than looking at it takes")
assert took[160] > 4 * took[10]
PYTHON

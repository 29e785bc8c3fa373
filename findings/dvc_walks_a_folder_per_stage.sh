#!/bin/sh
# DVC 3.67.1: where nothing has changed, a folder that thirty stages read is walked thirty times.
#
# One would guess: a run that finds nothing to do looks at each file once. How many stages read a folder costs no more
# than their lines in dvc.yaml.
# What happens: every dependency is looked at by itself. Within one `dvc status` or `dvc repro` each stage walks the
# whole folder again, matches each path with .dvcignore again, and asks the cache's database for each file again. Time
# grows with stages times folders.
# Whom it hurts: benchmarks, whose methods are all scored against one folder of references, a folder of stems for each
# song, as the tools of this field read and write them. With 500 songs and 30 methods a run without work takes several
# seconds for this alone.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export DVC_NO_ANALYTICS=1 DVC_GLOBAL_CONFIG_DIR="$folder/config" DVC_SYSTEM_CONFIG_DIR="$folder/config" DVC_SITE_CACHE_DIR="$folder/site"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet dvc==3.67.1
cat > "$folder/counting.py" <<'PYTHON'
"""Run `dvc status`, and print how often a folder of references was listed and how long that took."""

import os
import sys
import time

listed = 0


def count(event, arguments):
    global listed
    listed += event == "os.scandir" and "references" in os.fspath(arguments[0] or "")


sys.addaudithook(count)
from dvc.cli import main

began = time.monotonic()
assert main(["status", "--quiet"]) == 0  # all is up to date
print(listed, time.monotonic() - began)
PYTHON
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import subprocess
import sys
from pathlib import Path

SONGS = 500
top = Path(sys.argv[1])
print(f"DVC 3.67.1, `dvc status` with nothing changed, {SONGS} songs of two stems:")
listings = {}
for stages in (1, 30):
    project = top / str(stages)
    for song in range(SONGS):
        (project / f"references/song{song}").mkdir(parents=True)
        for stem in ("drums", "bass"):
            (project / f"references/song{song}/{stem}.wav").write_text(f"{stem} {song}")
    lines = [f"  score{i}: {{cmd: echo > out{i}, deps: [references], outs: [out{i}]}}" for i in range(stages)]
    (project / "dvc.yaml").write_text("\n".join(["stages:", *lines, ""]))
    quiet = {"cwd": project, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm"], **quiet)
    for i in range(stages):  # what `dvc commit` records without running
        (project / f"out{i}").write_text("\n")
    subprocess.run([sys.executable, "-m", "dvc", "commit", "--force"], **quiet)
    found = subprocess.run(
        [sys.executable, top / "counting.py"], cwd=project, check=True, capture_output=True, text=True
    ).stdout.split()
    listings[stages] = int(found[0])
    print(f"{stages:3} stages that read them: folders listed {found[0]} times, {float(found[1]):.1f} s")
assert listings[1] >= SONGS
assert listings[30] >= 30 * SONGS
PYTHON

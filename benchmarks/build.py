"""Two checkouts of this project side by side, in turns -> benchmarks/build.csv.

    git worktree add ../before 36a51f8
    python -m benchmarks.build ../before . [--rows nmf rpca] [--turns 3]

Both run on the same rendered songs, at the settings that the first has by default, with the packages of the environment
that runs this. Each command is a process of its own, started as a user starts it; from preprocessing the times of three
songs are taken off, and of a training step everything around it. `make repro` and `make test` run in empty clones, the
first without methods that only one of the two has and with all sizes, steps and songs of the first checkout. The table
has the medians and ranges of wall time, of CPU time and of the largest memory of the process and its children (their
own pages); of what takes minutes there is one turn. Refused where the machine is not quiet, since neighbours change
ratios.

Columns: `row`; for each of `before` and `after` the medians `wall` and `cpu` (seconds), `memory` (MB), `disk` (MB, of
what the command wrote) and `rtf` (a method's seconds per second of audio, of one segment or of eight at once,
whichever is less), each with its range over the turns; their ratios, before by after; `turns`; `cores`.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from tqdm import tqdm

from benchmarks import scoring
from benchmarks.made_songs import link_split, write_hour, write_midi
from benchmarks.preprocessing import link_songs
from benchmarks.projects import ROOT, keep_rows, run_module
from benchmarks.published_scheme import write_encodec
from ucr.data.slakh.read import Track, find_tracks
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_json
from ucr.foundation.schema import merge, read_yaml

TABLE = ROOT / "benchmarks" / "build.csv"
QUIET = 0.5  # load of the last minute
TEST_SONGS = 8
HOURS = {"mel": 2.0, "encodec_24khz": 0.1}  # of songs, for preprocessing
# What each method ran at in the first build that this was written for, so that both do the same work.
METHODS: dict[str, dict] = {
    "hpss": {"n_fft": 2048, "hop": 512, "kernel": 31},
    "nmf": {"components": 32, "iterations": 100},
    "ica": {},
    "rpca": {},
    "repet_sim": {"neighbours": 100, "apart_seconds": 1.0},
    "ucr_adapted": {"steps": 1},
}
FEW_CROPS = {"decomposition": {"optim": {"batch": 4}}}
STEPS = {"params.yaml": 30, "params/paper.yaml": 5}  # of a training, that count
MIDI = {"long.mid": 25.0, "first.mid": 0.5, "second.mid": 0.5}  # minutes
ONCE = ("make repro", "make repro, no change", "make test", "installation of ucr alone")  # minutes each
MEASURES = ("wall", "cpu", "memory", "disk", "rtf")

Used = dict[str, float]
"""Of `MEASURES`, those that a row has."""


@dataclass(frozen=True)
class Build:
    """A checkout."""

    name: str
    root: Path

    def run(self, folder: Path, *arguments: str | Path, out: Path | None = None) -> Used:
        """Run a module of this checkout in a folder; `disk` is of what lies in `out` afterwards."""
        module, *others = map(str, arguments)
        took = run_module(module, *others, folder=folder, root=self.root)
        used = {"wall": took["seconds"], "cpu": took["cpu_seconds"], "memory": took["peak_private_mb"]}
        if out is not None:
            used["disk"] = sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) / 1e6
        return used

    def project(self, folder: Path, changes: dict) -> Path:
        """A folder with this checkout's own parameters, some of their sections replaced."""
        folder.mkdir(parents=True)
        values = read_yaml(self.root / "params.yaml")
        values |= {key: {} for key in ("tests", "variants", "unsupervised") if key in values}
        (folder / "ucr").symlink_to(self.root / "ucr")  # shipped weights are named from the project's folder
        (folder / "params.yaml").write_text(yaml.safe_dump(values | changes))
        return folder


def less(found: Used, start: Used) -> Used:
    """Without the times of a call on next to nothing; memory and disk stay."""
    return found | {key: found[key] - start[key] for key in ("wall", "cpu")}


def together(parts: list[Used]) -> Used:
    """One after the other."""
    return {
        key: (max if key == "memory" else sum)(part[key] for part in parts)
        for key in ("wall", "cpu", "memory")
    }


def preprocess(build: Build, folder: Path, songs: Path, codec: dict) -> Used:
    """Stages `data`, `segments` and `latents`, timed but for the first; `disk` is of the latents."""
    own = read_yaml(build.root / "params.yaml")
    changes: dict = {
        "data": _data(build, songs),
        "codec": own["codec"] | codec,
        "methods": {"mixture": own["methods"]["mixture"]},
    }
    if codec["name"] != "mel":  # its latents don't add as magnitudes do
        changes["decomposition"] = own["decomposition"] | {"composition": "mean", "guided": 0.0}
    project = build.project(folder, changes)
    build.run(project, "pipelines.data")
    cut = build.run(project, "pipelines.segments")
    encoded = build.run(project, "pipelines.latents", out=project / "latents")
    return together([cut, encoded]) | {"disk": encoded["disk"]}


def _data(build: Build, songs: Path) -> dict:
    return read_yaml(build.root / "params.yaml")["data"] | {"name": "slakh2100", "path": str(songs)}


class Bench:
    """What the rows share: songs, projects, files.

    Parameters
    ----------
    songs
        Rendered songs in Slakh2100's layout.
    folder
        For everything that is made.
    first
        The build whose sizes both have.

    Attributes
    ----------
    whole
        Clones in which everything was run.
    """

    def __init__(self, songs: list[Track], folder: Path, first: Build):
        self.songs, self.folder, self.first = songs, folder, first
        self.whole: dict[str, Build] = {}
        self._number = itertools.count()

    def fresh(self) -> Path:
        """A folder that doesn't exist yet."""
        return self.folder / f"{next(self._number):04}"

    def linked(self, hours: float) -> Path:
        """A set of at least so many hours, three songs at the least."""
        path = self.folder / f"songs-{hours:g}"
        if not path.exists():
            link_songs(self.songs, hours, path)
        return path

    def preprocessing(self, codec: str) -> Callable[[Build], Used]:
        """Segments and latents of a large set, less those of three songs."""

        def row(build: Build) -> Used:
            settings: dict = {"name": codec}
            if codec != "mel":
                settings["weights"] = str(write_encodec(self.folder / "encodec.safetensors"))
            sets = (self.linked(0), self.linked(HOURS[codec]))
            start, found = (preprocess(build, self.fresh(), songs, settings) for songs in sets)
            return less(found, start)

        return row

    def segmented(self, build: Build) -> Path:
        """A project of this build with test segments, made once."""
        project = self.folder / f"segments-{build.name}"
        if not project.exists():
            methods = {"mixture": {}} | METHODS
            own = read_yaml(build.root / "params.yaml")["methods"]
            kept = ("code", "needs")
            options = {
                name: {key: own[name][key] for key in kept if key in own[name]} | more
                for name, more in methods.items()
            }
            build.project(project, {"data": _data(build, self._test_songs()), "methods": options})
            for stage in ("data", "segments", "latents", "references"):
                build.run(project, f"pipelines.{stage}")
        return project

    def _test_songs(self) -> Path:
        """A training, a validation and several test songs."""
        songs = self.folder / "test-songs"
        if not songs.exists():
            link_split(self.songs, songs, TEST_SONGS)
        return songs

    def method(self, name: str) -> Callable[[Build], Used]:
        """The stage `separate` of a method, its start counted, and the real-time factor by the stage `cost`."""

        def row(build: Build) -> Used:
            project = self.segmented(build)
            found = build.run(project, "pipelines.separate", name)
            build.run(project, "pipelines.cost", name)
            cost = read_json(project / "costs" / f"{name}.json")
            best = min(cost[key]["median"] for key in cost if key.startswith("real_time_factor"))
            return found | {"rtf": best}

        return row

    def training_step(self, file: str, changes: dict, bands: int) -> Callable[[Build], Used]:
        """A step of the decomposition model of a file of differences, the mean of several after as many others."""

        def row(build: Build) -> Used:
            project = self.folder / f"training-{build.name}-{bands}"
            if not project.exists():
                own, first = (read_yaml(root / "params.yaml") for root in (build.root, self.first.root))
                wanted = merge(merge(first, read_yaml(self.first.root / file)), changes)["decomposition"]
                settings = {
                    "data": _data(build, self._test_songs()),
                    "codec": own["codec"] | {"bands": bands},
                    "decomposition": _either(own["decomposition"], wanted),
                }
                build.project(project, settings)
                for stage in ("data", "segments", "latents"):
                    build.run(project, f"pipelines.{stage}")
            figures = project / "figures.json"
            arguments = ("--trainings", "decomposition", "--steps", str(STEPS[file]), "--measure", figures)
            found = build.run(project, "benchmarks.training", *arguments)
            took = read_json(figures)
            return {"wall": took["step_seconds"], "memory": found["memory"]}

        return row

    def stage_score(self, build: Build) -> Used:
        """The stage `score` of every method here, one after the other."""
        project = self.segmented(build)
        names = ["mixture", *METHODS]
        for name in names:
            if not (project / "estimates" / name).exists():
                build.run(project, "pipelines.separate", name)
        return together([build.run(project, "pipelines.score", name) for name in names])

    def eval_score(self, build: Build) -> Used:
        """`python -m eval score` of two songs of 150 s with four sources."""
        songs = self._songs_to_score()
        return build.run(songs, "eval", "score", songs / "true", songs / "found", "--csv", self.fresh())

    def museval(self) -> Used:
        """museval's BSS Eval v4 of the same songs."""
        return Build("museval", ROOT).run(
            self.folder, "benchmarks.scoring", "--museval", self._songs_to_score()
        )

    def _songs_to_score(self) -> Path:
        songs = self.folder / "to-score"
        if not songs.exists():
            scoring.make_songs(songs, scoring.Case(2, 150, 4, 44100))
        return songs

    def hour(self, build: Build) -> Used:
        """`ucr separate` of an hour in stereo, into drums and bass by the shipped weights."""
        song = self.folder / "hour.wav"
        if not song.exists():
            write_hour(self.songs, song)
        out = self.fresh()
        found = build.run(self.folder, "ucr", "separate", song, "-o", out, "--task", "drums+bass", out=out)
        shutil.rmtree(out)
        return found

    def clone(self, build: Build) -> Build:
        """An empty clone: nothing was run there."""
        root = self.fresh()
        subprocess.run(["git", "clone", "--quiet", build.root, root], check=True)
        return Build(build.name, root)

    def whole_run(self, build: Build) -> Used:
        """`dvc repro` in an empty clone, of what the first build has; `disk` is of all that it wrote."""
        clone = self.clone(build)
        self.whole.setdefault(build.name, clone)
        own, first = (read_yaml(root / "params.yaml") for root in (clone.root, self.first.root))
        values = shared(own, first) | {key: {} for key in ("tests", "variants", "unsupervised") if key in own}
        for name, options in METHODS.items():
            values["methods"][name] |= options
        (clone.root / "params.yaml").write_text(yaml.safe_dump(values))
        before = _bytes(clone.root)
        found = clone.run(clone.root, "dvc", "repro")
        return found | {"disk": _bytes(clone.root) - before}

    def no_change(self, build: Build) -> Used:
        """`dvc repro` where everything is up to date."""
        if build.name not in self.whole:
            self.whole_run(build)
        return self.whole[build.name].run(self.whole[build.name].root, "dvc", "repro")

    def midi(self, build: Build) -> Used:
        """The stage `data` on MIDI files with two stems, one of them 25 minutes long."""
        songs = self.folder / "midi"
        if not songs.exists():
            songs.mkdir()
            for name, minutes in MIDI.items():
                write_midi(songs / name, minutes)
        data = _data(build, songs) | {"name": "midi"}
        return build.run(build.project(self.fresh(), {"data": data}), "pipelines.data")

    def tests(self, build: Build) -> Used:
        """The fast tests, in an empty clone."""
        clone = self.clone(build)
        return clone.run(clone.root, "pytest", "-q", "-n", "auto", "--dist", "loadscope")

    def installation(self, build: Build) -> Used:
        """The package alone, into an empty environment; `disk` is of that."""
        clone = self.clone(build)
        environment = clone.root / ".venv"
        clone.run(clone.root, "venv", environment)
        arguments = ("--python", environment, "install", "-c", "constraints.txt", "--no-cache-dir", ".")
        return clone.run(clone.root, "pip", *arguments, out=environment)


def shared(own: dict, other: dict) -> dict:
    """Parameters with the values of others wherever both have the key; methods of `own` alone are left out."""
    values = {key: _either(value, other[key]) if key in other else value for key, value in own.items()}
    return values | {
        "methods": {key: each for key, each in values["methods"].items() if key in other["methods"]}
    }


def _either(own: Any, other: Any) -> Any:
    if not isinstance(own, dict):
        return other
    if not isinstance(other, dict):  # was one value for all
        return dict.fromkeys(own, other)
    return own | {key: _either(own[key], value) for key, value in other.items() if key in own}


def _bytes(folder: Path) -> float:
    """MB of the files in a folder, each file once however many links it has."""
    found = (path.lstat() for path in folder.rglob("*"))
    return sum({each.st_ino: each.st_size for each in found if stat.S_ISREG(each.st_mode)}.values()) / 1e6


def rows(bench: Bench) -> dict[str, Callable[[Build], Used]]:
    """Each row of the table: what a build runs in one turn."""
    return {
        "preprocessing, mel": bench.preprocessing("mel"),
        "preprocessing, EnCodec": bench.preprocessing("encodec_24khz"),
        **{name: bench.method(name) for name in METHODS},
        "training step, default": bench.training_step("params.yaml", {}, 64),
        "training step, the paper's networks": bench.training_step("params/paper.yaml", FEW_CROPS, 128),
        "stage score": bench.stage_score,
        "eval score": bench.eval_score,
        "ucr separate, an hour": bench.hour,
        "make repro": bench.whole_run,
        "make repro, no change": bench.no_change,
        "rendering MIDI, 25 minutes": bench.midi,
        "make test": bench.tests,
        "installation of ucr alone": bench.installation,
    }


def summary(name: str, found: dict[str, list[Used]]) -> dict[str, object]:
    """One row of the table."""
    row: dict[str, object] = {"row": name}
    middle: dict[tuple[str, str], float] = {}
    for who, used in found.items():
        for what in MEASURES:
            values = [each[what] for each in used if what in each]
            if not values:
                continue
            middle[who, what] = float(np.median(values))
            row[f"{who}_{what}"] = round(middle[who, what], 4)
            row[f"{who}_{what}_range"] = f"{min(values):.4g} to {max(values):.4g}"
    for what in MEASURES:
        if middle.get(("after", what), 0) > 0:
            row[f"{what}_ratio"] = round(middle["before", what] / middle["after", what], 2)
    return row | {"turns": len(found["after"]), "cores": os.cpu_count()}


def require_quiet() -> None:
    """Raise a `UserError` if other work runs on the machine."""
    load = os.getloadavg()[0]
    if load > QUIET:
        raise UserError(
            f"the load is {load:.2f}: wait until it is under {QUIET}, ratios of a busy machine say little"
        )


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.build",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("before", type=Path, help="a checkout")
    parser.add_argument("after", type=Path, help="another")
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="only these")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--songs", type=Path, default=Path("data/slakh_mini"), help="rendered songs to link")
    arguments = parser.parse_args()
    builds = [Build(name, getattr(arguments, name).resolve()) for name in ("before", "after")]
    for build in builds:
        if not (build.root / "params.yaml").is_file():
            raise UserError(f"{build.root} holds no params.yaml: name a checkout of this project")
    require_quiet()
    songs = find_tracks(arguments.songs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(arguments.songs, folder / "songs")  # hard links don't cross disks
        bench = Bench(find_tracks(folder / "songs"), folder, builds[0])
        every = rows(bench)
        chosen = arguments.rows or list(every)
        if unknown := sorted(set(chosen) - set(every)):
            parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(every)}")
        table = pd.DataFrame()
        for row in tqdm(chosen, "rows", unit="row"):
            found: dict[str, list[Used]] = {build.name: [] for build in builds}
            for _ in range(1 if row in ONCE else arguments.turns):
                for build in builds:
                    found[build.name].append(every[row](build))
                if row == "eval score":
                    found.setdefault("museval", []).append(bench.museval())
            table = pd.concat([table, pd.DataFrame([summary(row, found)])])
            keep_rows(table, TABLE, "row")
    print(table.filter(regex="row|ratio").to_string(index=False))
    print(f"{len(songs)} songs; all columns in {TABLE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

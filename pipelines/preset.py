"""Run a command with the parameters of a file: `python -m pipelines.preset FILE [-- COMMAND...]`.

The file's values are laid over those of `params.yaml`, and the command runs in a folder of its own, `runs/NAME` (the
file's name without its ending): a DVC project with those parameters and with its own results and lock file, which links
to everything else of this one and shares its cache. So presets and this folder never touch each other's results, and
several may run at once. The same call, or `dvc repro` in that folder, continues what was killed. With `params.yaml`
as FILE the command runs here. Without a command the folder is made and its path printed. Before `dvc repro`, what the
whole run costs is estimated (`pipelines.forecast`).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import yaml

from pipelines.forecast import device, forecast
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import replacing
from ucr.foundation.params import PARAMS_FILE, check_params
from ucr.foundation.schema import merge, read_yaml
from ucr.methods.registry import check_methods

GRAPH = "dvc.yaml"
LOCK = "dvc.lock"
RUNS = Path("runs")
REPORT = Path("reports/index.html")
REPRO = ["dvc", "repro"]


def workspace(name: str, values: dict) -> Path:
    """Make or refresh `runs/NAME`, and return it."""
    from dvc.config import Config  # slow to import

    folder = RUNS / name
    outputs = {Path(out) for stage in read_yaml(GRAPH)["stages"].values() for out in _outputs(stage)}
    _link(Path(), folder, outputs | {Path(PARAMS_FILE), Path(LOCK), RUNS})
    cache = Config(".dvc")["cache"].get("dir", os.path.abspath(".dvc/cache"))
    config = f"[core]\nno_scm = true\n[cache]\ndir = {cache}\n"
    params = yaml.safe_dump(_reachable(values), sort_keys=False)
    for path, text in ((".dvc/config.local", config), (PARAMS_FILE, params)):
        with replacing(folder / path) as temporary:
            temporary.write_text(text)
    with contextlib.suppress(FileExistsError):
        (folder / ".dvc/config").symlink_to("../../../.dvc/config")
    return folder


def _outputs(stage: dict) -> list[str]:
    """What a stage writes; of a template's outputs, the folder that holds them."""
    body = stage.get("do", stage)
    outs = [*body.get("outs", []), *body.get("metrics", [])]
    return [(out if isinstance(out, str) else next(iter(out))).split("${")[0] for out in outs]


def _link(here: Path, there: Path, own: set[Path]) -> None:
    """Link from `there` to what lies in `here`, but for hidden files and `own`; folders that hold `own` are made."""
    there.mkdir(parents=True, exist_ok=True)
    for link in there.iterdir():
        if link.is_symlink() and not link.exists():
            link.unlink()
    for path in here.iterdir():
        if path in own or (path.name.startswith(".") and path.name != ".dvcignore"):
            continue
        if any(path in each.parents for each in own):
            _link(path, there / path.name, own)
        else:
            with contextlib.suppress(FileExistsError):
                (there / path.name).symlink_to(os.path.relpath(path, there))


def _reachable(value):
    """Make paths that lead out of the project absolute; those in it are reached by the links."""
    if isinstance(value, dict):
        return {key: _reachable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_reachable(each) for each in value]
    return os.path.abspath(value) if isinstance(value, str) and value.startswith("../") else value


def _fix_lock_file(folder: Path) -> None:
    """Put aside a lock file that was cut short: DVC writes it in place, so a kill may leave half of it.

    What had run is found in the cache, but for the tables and the report, which are made again.
    """
    from dvc.dvcfile import Lockfile
    from dvc.exceptions import DvcException, PrettyDvcException
    from dvc.repo import Repo

    path = folder.absolute() / LOCK
    try:
        with Repo(folder) as repo, repo.lock:
            try:
                Lockfile(repo, str(path)).load()
            except PrettyDvcException:
                path.replace(f"{path}.damaged")
                print(f"{path} can't be read and is now {path}.damaged: DVC makes it again", file=sys.stderr)
    except DvcException as error:
        raise UserError(f"DVC can't work in {folder.absolute()}: {error}") from None


@command
def main() -> None:
    arguments = sys.argv[1:]
    if arguments and arguments[0] in ("-h", "--help"):
        print(__doc__)
        return
    if not arguments or (len(arguments) > 1 and (arguments[1] != "--" or len(arguments) == 2)):
        print("usage: python -m pipelines.preset FILE [-- COMMAND...]", file=sys.stderr)
        raise SystemExit(2)
    file, run = arguments[0], arguments[2:]
    base = read_yaml(PARAMS_FILE)
    here = Path(file).resolve() == Path(PARAMS_FILE).resolve()
    values = base if here else merge(base, read_yaml(file))
    params = check_params(values, file)
    check_methods(params)
    if left_out := [name for name in base.get("methods", {}) if name not in params.methods]:
        print(f"{file} leaves out the methods {', '.join(left_out)}", file=sys.stderr)
    folder = Path() if here else workspace(Path(file).stem, values)
    if not run:
        print(folder)
        return
    _fix_lock_file(folder)
    if run == REPRO:
        unknown = f"no forecast: only reading the songs at {params.data.path} tells how long they are"
        print(forecast(params, device()) or unknown, file=sys.stderr)
    try:
        code = subprocess.run(run, cwd=folder).returncode
    except FileNotFoundError:
        raise UserError(f"{run[0]} does not exist: name a command that does") from None
    if not code:
        report = folder / REPORT
        print(f"results: {(report if report.is_file() else folder).absolute()}", file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main()

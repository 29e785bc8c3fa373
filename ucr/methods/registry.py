"""How methods are found: files under `baselines/`, files elsewhere, and what installed packages offer."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, get_args

from ucr.foundation.errors import UserError
from ucr.methods.contract import Baseline, Kind, Meta, Oracle, Weights

if TYPE_CHECKING:
    from ucr.foundation.params import Params

IN_A_WHEEL = (Path(__file__).parent / "baselines").is_dir()
PACKAGE = "ucr.methods.baselines" if IN_A_WHEEL else "baselines"
GROUP = "ucr.methods"  # of entry points: NAME = "package.module"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NOT_OPTIONS = ("code", "needs")


@dataclass(frozen=True)
class Plugin:
    """A method's card and class."""

    meta: Meta
    method: type[Baseline] | type[Oracle]


def folder() -> Path:
    """Where the benchmark's own methods are."""
    return Path(next(iter(importlib.import_module(PACKAGE).__path__)))


def names() -> list[str]:
    """Names of the benchmark's own methods and of those of installed packages, sorted; `_NAME.py` is no method."""
    own = [path.stem for path in folder().glob("[!_]*.py")]
    return sorted({*own, *(entry.name for entry in entry_points(group=GROUP))})


def find(name: str) -> Plugin:
    """Import a method.

    Parameters
    ----------
    name
        A name out of `names()`, or the path of a file.

    Raises
    ------
    UserError
        If there is none, if importing it fails, or if it does not keep the contract.
    """
    module, where = _module(name)
    meta, method = getattr(module, "META", None), getattr(module, "Method", None)
    if not isinstance(meta, Meta) or not (
        isinstance(method, type) and issubclass(method, (Baseline, Oracle))
    ):
        raise UserError(f"{where} needs a META (ucr.methods.contract.Meta) and a class Method(Baseline)")
    if meta.name != Path(name).stem.lstrip("_"):
        raise UserError(
            f"{where}: META.name is {meta.name!r}, which must be the file's name, {Path(name).stem!r}"
        )
    for key, allowed in (("kind", get_args(Kind)), ("weights", get_args(Weights))):
        if (value := getattr(meta, key)) not in allowed:
            raise UserError(f"{where}: META.{key} is {value!r}, which must be one of {', '.join(allowed)}")
    if (meta.kind == "oracle") != issubclass(method, Oracle):
        raise UserError(
            f"{where}: an oracle's Method is an Oracle, every other one a Baseline: change one of the two"
        )
    if missing := sorted(getattr(method, "__abstractmethods__", ())):
        raise UserError(f"{where}: Method lacks {', '.join(missing)}: write it")
    return Plugin(meta, method)


def _module(name: str) -> tuple[ModuleType, str]:
    """The module of a method, and what to call it in messages."""
    path = Path(name)
    if path.suffix == ".py":
        if not path.is_file() and (folder().parent / path).is_file():  # stages may run in another folder
            path = folder().parent / path
        if not path.is_file():
            raise UserError(f"{path} does not exist: fix the path of the method")
        if path.resolve().parent == folder().resolve():
            return _module(path.stem)
        return _imported(f"ucr_method_{path.stem}", path), str(path)
    if NAME.fullmatch(name) and (file := folder() / f"{name}.py").is_file() and name != "__init__":
        return _imported(f"{PACKAGE}.{name}", file), str(file)
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            return _imported(entry.value, None), entry.value
    raise UserError(f"no method is called {name!r}: name the path of a file, or one of {', '.join(names())}")


def _imported(name: str, path: Path | None) -> ModuleType:
    known = sys.modules.get(name)
    if known is not None and (path is None or Path(str(known.__file__)).resolve() == path.resolve()):
        return known
    try:
        if path is None or name.startswith(f"{PACKAGE}."):
            return importlib.import_module(name)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module
    except Exception as error:  # a plug-in may fail in any way
        raise UserError(
            f"{path or name} fails to import ({type(error).__name__}: {error}): fix it"
        ) from error


def make_method(name: str, options: dict) -> tuple[Meta, Baseline | Oracle]:
    """Build the method called `name` with its options (`code` and `needs` are left out).

    `name` is the key in the parameters; the method is the file at `options["code"]`, or the one of this name.

    Raises
    ------
    UserError
        As `find`, and for an option that the method doesn't take.
    """
    plugin = find(options.get("code", name))
    chosen = {key: value for key, value in options.items() if key not in NOT_OPTIONS}
    known = inspect.signature(plugin.method)
    try:
        known.bind(**chosen)
        return plugin.meta, plugin.method(**chosen)
    except Exception as error:  # a plug-in may fail in any way
        takes = ", ".join(known.parameters) or "no options"
        raise UserError(f"methods.{name} in the params file: {error} ({name} takes {takes})") from None


def check_methods(params: Params) -> None:
    """Find mistakes in the methods of `params` before hours of work.

    Raises
    ------
    UserError
        As `make_method`, and if what a method needs is there neither now nor after the trainings.
    """
    trained = {Path("models") / name for name in params.trainings}
    for name in (*params.supervised, *params.unsupervised):
        find(name)
    for name, options in params.methods.items():
        make_method(name, options)
        needs = Path(options["needs"])
        if needs not in {Path("segments"), Path("latents"), *trained} and not needs.exists():
            raise UserError(
                f"methods.{name}.needs: {needs} does not exist: choose segments, "
                f"{', '.join(sorted(map(str, trained)))} or the path of weights"
            )


def load_method(name: str, params: Params) -> tuple[Meta, Baseline | Oracle]:
    """Build the method called `name` as `params` say, and load what it needs.

    Raises
    ------
    UserError
        As `make_method`, and if `params` have no such method or what it needs is missing or of other sources.
    """
    options = params.methods.get(name)
    if options is None:
        raise UserError(
            f"params.yaml: methods lacks {name!r}: add it, or choose from {', '.join(params.methods)}"
        )
    meta, method = make_method(name, options)
    needs = Path(options["needs"])
    if meta.weights != "none" and not needs.exists():
        raise UserError(
            f"{needs} does not exist, which {name} needs: run its stage (`dvc repro`) or fix the path"
        )
    if not meta.inapplicable(len(params.sources)):
        method.load(needs, params.sources)
    return meta, method

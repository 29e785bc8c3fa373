"""Where scores come from: code, parameters, data, weights, libraries, machine."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd

from ucr.foundation.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
CODE = ["baselines", "eval", "pipelines", "ucr", "params.yaml"]
LIBRARIES = ["demucs", "encodec", "librosa", "numpy", "pyrpca", "scikit-learn", "scipy", "soundfile", "torch"]
# Scores that differ in one of these measure different things.
MUST_AGREE = {
    "data": "data hashes",
    "sources": "sources",
    "sample_rate": "sample rates",
    "protocol": "scoring protocols",
    "references": "reference signals",
}


def code_version() -> dict[str, object]:
    """Commit of this code, `unknown` outside git, and whether tracked code or `params.yaml` differs from it."""
    commit = _git("rev-parse", "HEAD") if (ROOT / ".git").exists() else ""
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", *CODE) if commit else ""
    return {"commit": commit or "unknown", "uncommitted_changes": bool(changes)}


def libraries() -> dict[str, str]:
    """Versions of Python and of what methods and scores are computed with."""
    return {"python": platform.python_version()} | {name: _version(name) for name in LIBRARIES}


def machine() -> dict[str, object]:
    """Processor, cores this process may use, memory in GB."""
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).is_file():
        models = [
            line.split(":", 1)[1].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        cpu = models[0] if models else cpu
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cpu": cpu, "cores": cores, "memory_gb": round(memory, 1), "system": platform.system()}


def values_hash(values: object) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def files_hash(*paths: Path) -> str:
    """SHA-256 over files, and all files of folders: their names relative to the folder, and their bytes."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def check_comparable(provenance: dict[str, dict], keys: Iterable[str] = MUST_AGREE) -> None:
    """Refuse scores that can't share a table.

    Parameters
    ----------
    provenance
        Provenance by the name of a method or of a set of results.
    keys
        What must agree, of `MUST_AGREE`.

    Raises
    ------
    UserError
        Naming what differs, and who has which.
    """
    for key in keys:
        groups: dict[str, list[str]] = {}
        for name, values in provenance.items():
            groups.setdefault(_short(values.get(key)), []).append(name)
        if len(groups) > 1:
            having = "; ".join(f"{', '.join(names)}: {value}" for value, names in groups.items())
            raise UserError(
                f"these can't be compared, their {MUST_AGREE[key]} differ ({having}): score all on the same"
            )


def provenance_table(provenance: dict[str, dict]) -> pd.DataFrame:
    """One row a method, nested values spread over columns; of the parameters their hash alone."""
    table = pd.json_normalize([{"method": name, **values} for name, values in provenance.items()], sep="_")
    table = table.drop(columns=[name for name in table if str(name).startswith("params_values_")])
    return table.map(lambda value: "+".join(value) if isinstance(value, list) else value)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text[:12] if len(text) == 64 else text


def _git(*arguments: str) -> str:
    try:
        result = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if result.returncode else result.stdout.strip()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"

"""What results are made with: the code's commit, libraries, machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ["baselines", "eval", "pipelines", "ucr", "params.yaml"]
LIBRARIES = ["demucs", "encodec", "librosa", "numpy", "scikit-learn", "scipy", "soundfile", "torch"]


def code_version() -> dict[str, object]:
    """Commit of this code, `unknown` outside git, and whether tracked code or `params.yaml` differs from it."""
    commit = git("rev-parse", "HEAD") if (ROOT / ".git").exists() else ""
    changes = git("status", "--porcelain", "--untracked-files=no", "--", *CODE) if commit else ""
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


def made_with() -> dict[str, object]:
    """Code, libraries and machine."""
    return {"code": code_version(), "libraries": libraries(), "machine": machine()}


def git(*arguments: str, folder: str | Path | None = None) -> str:
    """What a git command prints in a folder (None: this code's), stripped; empty where it fails or there is no git."""
    try:
        result = subprocess.run(
            ["git", *arguments], cwd=folder or ROOT, capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if result.returncode else result.stdout.strip()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"

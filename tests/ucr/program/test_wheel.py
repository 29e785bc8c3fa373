"""The wheel: what it installs, and that the program runs from it alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from ucr.foundation.files import read_audio, write_audio

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of the project, built from a copy so that the clone stays clean."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("ucr", "baselines"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", folder, source], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """An environment of the wheel alone, which borrows the other packages of this one.

    So PyTorch is not installed anew; that the declared packages suffice is another test's.
    """
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    # isolated: by PYTHONPATH the clone's own metadata would count as installed
    subprocess.run([python, "-I", "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True)
    packages = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    ).strip()
    (Path(packages) / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin"


def test_nothing_but_ucr_is_installed(wheel):
    names = ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"ucr", "ucr_benchmark"}
    assert "ucr/methods/baselines/ucr_pretrained.py" in names
    assert "ucr/weights/drums+bass/model.safetensors" in names
    assert not any("__pycache__" in name for name in names)


@pytest.mark.parametrize("method", ["ucr_pretrained", "mixture"])
def test_a_song_is_separated(environment, method, tmp_path):
    song = np.random.default_rng(0).standard_normal((1, 72000)).astype(np.float32) * 0.1
    write_audio(tmp_path / "song.wav", song, 24000)
    command = [environment / "ucr", "separate", "song.wav", "-o", "stems", "--method", method]
    ran = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={"PATH": str(environment)}
    )
    assert ran.returncode == 0, ran.stderr
    stems = [read_audio(tmp_path / line, 24000)[0] for line in ran.stdout.split()]
    assert len(stems) == 3
    np.testing.assert_allclose(sum(stems), song, atol=1e-4)


def test_methods_are_the_wheels_own(environment, tmp_path):
    where = "from ucr.methods import registry; print(registry.folder())"
    found = subprocess.check_output(
        [environment / "python", "-c", where], cwd=tmp_path, text=True, env={"PATH": str(environment)}
    )
    assert Path(found.strip()).is_relative_to(environment.parent)


def test_what_is_not_declared_is_not_imported(tmp_path):
    """The program separates where every package that only an extra declares can't be imported."""
    write_audio(tmp_path / "song.wav", np.full((1, 48000), 0.1, np.float32), 24000)
    lines = """
import sys
for name in ("dvc", "dvclive", "encodec", "joblib", "librosa", "lightning_fabric", "lmdb", "museval", "pandas",
             "PIL", "pretty_midi", "seaborn", "matplotlib", "sklearn", "symusic", "dask", "transformers"):
    sys.modules[name] = None
import ucr
print(*ucr.separate("song.wav", "stems"))
"""
    env = {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, text=True, env=env)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["drums", "bass", "other"]

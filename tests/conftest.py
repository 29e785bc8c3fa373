"""What several folders of tests share: small data sets in Slakh's layout."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

# There is a process of pytest for every core. NumPy reads this when it is imported.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
import soundfile
import yaml

from tests.helpers import PARAMS, ROOT

os.environ["PYTHONPATH"] = str(ROOT)  # commands that tests start are of this checkout, whichever is installed


@pytest.fixture
def make_track() -> Callable[..., Path]:
    """Write a track in Slakh's layout: `make_track(folder, {"S00": ("Bass", audio)}, rate, ending)`.

    Audio that is None gives a stem that was not rendered; a number, noise of that amplitude for `seconds`.
    """

    def make(
        folder: Path, stems: dict, rate: int = 24000, ending: str = "flac", seconds: float = 2.0
    ) -> Path:
        (folder / "stems").mkdir(parents=True)
        entries = {}
        for i, (name, (inst_class, audio)) in enumerate(stems.items()):
            rendered = audio is not None
            entries[name] = {"inst_class": inst_class, "audio_rendered": rendered}
            if not rendered:
                continue
            if np.isscalar(audio):
                audio = audio * np.random.default_rng([i, crc32(folder.name.encode())]).uniform(
                    -1, 1, round(seconds * rate)
                )
            soundfile.write(str(folder / "stems" / f"{name}.{ending}"), audio, rate, subtype="PCM_16")
        (folder / "metadata.yaml").write_text(yaml.safe_dump({"UUID": f"of {folder}", "stems": entries}))
        return folder

    return make


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A folder to run stages in, with the default parameters changed as told: `project(data={"name": ...})`."""

    def make(**changes) -> Path:
        values = yaml.safe_load(PARAMS.read_text())
        for section, change in changes.items():
            values[section] = values[section] | change if isinstance(change, dict) else change
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        return tmp_path

    return make

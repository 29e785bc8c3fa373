"""The whole graph on folders of one's own music: trained on songs without stems, tested on multitracks."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from tests.pipelines.kill import copy_project, environment
from ucr.data.stems import find_stems
from ucr.foundation.files import read_audio, read_json

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

PARAMS = """\
sources: [drums, bass]
data: {name: songs, path: mixes}
tests: {real: {name: stems, path: band, seconds: 3.0}}
segments: {seconds: 3.0}
decomposition: {optim: {steps: 4, batch: 4, crop: 64, warmup: 1, ema: 0.5, validate_every: 2}}
variants: {}
prior: {optim: {steps: 4, batch: 4, crop: 64, warmup: 1, ema: 0.5, validate_every: 2}}
generation: {count: 4, songs: 2, prior_steps: 2, steps: 1}
report: {segments: 1}
supervised: {}
unsupervised:
  bootstrap:
    network: {channels: [16, 16], kernels: [3, 3], strides: [2, 2], attention: [false, true], dropout: 0.0}
    optim: {steps: 4, batch: 4, crop: 64, lr: 1.0e-3, weight_decay: 0.0, warmup: 1, clip: 1.0, ema: 0.5,
            validate_every: 2, schedule: constant}
methods:
  irm: {code: baselines/irm.py, needs: segments}
  hpss: {code: baselines/hpss.py, needs: segments}
  bootstrap: {code: baselines/bootstrap.py, needs: models/bootstrap}
  ucr: {code: baselines/ucr.py, needs: models/decomposition, steps: 1}
"""
REAL = Path(__file__).resolve().parents[3] / "shared" / "real"
RATE = 22050
SECONDS = 10


def make_band(folder) -> None:
    """Six pieces: clicks of noise, a bass line, and chords as everything else, stereo."""
    rng = np.random.default_rng(0)
    time = np.arange(SECONDS * RATE) / RATE
    for piece in range(6):
        beat = 0.4 + 0.05 * piece
        drums = rng.normal(size=time.size) * np.exp(-30 * (time % beat)) * 0.4
        bass = 0.3 * np.sign(np.sin(2 * np.pi * 55 * 2 ** (np.floor(time / beat) % 5 / 12) * time))
        other = 0.1 * sum(np.sin(2 * np.pi * pitch * time) for pitch in (220, 277, 330))
        target = folder / f"Piece {piece}"
        target.mkdir(parents=True)
        for name, audio in {"drums": drums, "bass": bass, "other": other}.items():
            soundfile.write(str(target / f"{name}.flac"), np.stack([audio, audio], axis=1), RATE)


def test_songs_are_trained_on_and_stems_are_tested_on(tmp_path):
    """Real multitracks where they lie beside the project, otherwise made ones."""
    project = tmp_path / "project"
    project.mkdir()
    copy_project(project)
    if REAL.is_dir():
        shutil.copytree(REAL, project / "band")
    else:
        make_band(project / "band")
    (project / "mixes").mkdir()
    for track in find_stems(project / "band", tested_on=True):
        parts = [read_audio(path) for path in track.folder.iterdir()]
        audio = sum(each for each, _ in parts) / 2
        soundfile.write(str(project / "mixes" / f"{track.name}.ogg"), audio.T, parts[0][1])
    (project / "params/own.yaml").write_text(PARAMS)
    command = [sys.executable, "-m", "pipelines.preset", "params/own.yaml", "--", "dvc", "repro"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment(project))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    results = project / "runs/own"
    counts = read_json(results / "segments/segments.json")["counts"]
    assert min(counts["train"], counts["validation"]) > 0
    assert counts["test"] == 0
    table = pd.read_csv(results / "reports/tables/separation.csv")
    assert set(table["set"]) == {"real"}
    assert set(table["method"]) == {"irm", "hpss", "bootstrap", "ucr"}
    scores = table[(table["metric"] == "si_sdr") & (table["reference"] == "waveform")]
    index = pd.read_csv(results / "test_sets/real/index.csv")
    assert index["track"].nunique() == 6
    assert scores["n"].eq(len(index)).all()
    assert scores.set_index(["method", "source"]).loc["irm", "mean"].gt(5).all()
    data = pd.read_csv(results / "reports/tables/data.csv")
    assert set(data["set"]) == {"songs", "real"}
    page = (results / "reports/index.html").read_text()
    assert "test segments of real" in page

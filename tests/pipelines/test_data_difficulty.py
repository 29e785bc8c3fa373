"""`benchmarks/difficulty.py`: its measures, and its command on bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import difficulty
from ucr.foundation.files import write_audio

RATE = 24000


@pytest.fixture
def clips(tmp_path):
    """A click track and a sine, which median filters tell apart."""
    drums, bass = np.zeros((2, 3 * RATE), np.float32)
    drums[:: RATE // 4] = 0.9
    bass += 0.3 * np.sin(2 * np.pi * 200 * np.arange(len(bass)) / RATE).astype(np.float32)
    for name, audio in (("drums", drums), ("bass", bass)):
        write_audio(tmp_path / "clips" / "drums+bass" / "1" / f"{name}.wav", audio, RATE)
    return tmp_path / "clips"


def test_band_levels_find_a_sine():
    levels = difficulty.band_levels(np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE), RATE)
    assert levels[difficulty.BANDS.index("250-500 Hz")] == pytest.approx(0, abs=0.01)
    assert np.sort(levels)[-2] < -60


def test_clips_are_measured(clips):
    rows = pd.DataFrame(difficulty.measure_clips(clips / "drums+bass", ["drums", "bass"], RATE))
    assert rows["source"].tolist() == ["drums", "bass"]
    assert (rows["irm"] > rows["hpss"] + 10).all()
    assert (rows["hpss"] > 2).all()
    assert rows["level_beside_other"].sum() == pytest.approx(0, abs=1e-5)
    table = difficulty.summarise(rows)
    assert list(table) == ["task", "method", "source", "set", "n", "mean", "sd", "q25", "median", "q75"]
    assert len(table) == 4


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["none"], "none is no folder"),
        (["."], "data/dataset.json does not exist: run `python -m pipelines.data`"),
    ],
)
def test_bad_input_ends_in_one_sentence(project, monkeypatch, capsys, arguments, expected):
    project()
    monkeypatch.setattr("sys.argv", ["difficulty", *arguments])
    with pytest.raises(SystemExit) as ended:
        difficulty.main()
    assert ended.value.code == 1
    assert f"error: {expected}" in capsys.readouterr().err

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from tests.helpers import ROOT

CODE = """
import json, sys, ucr
from eval.cost import peak_memory_mb
ucr.separate(sys.argv[1], sys.argv[2])
print(json.dumps(peak_memory_mb()))
"""


def peak_mb(folder, minutes):
    """Peak resident memory of separating stereo noise at 44.1 kHz, in MB."""
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(str(folder / "song.wav"), "w", 44100, 2, "PCM_16") as file:
        for _ in range(minutes):
            file.write(rng.normal(0, 0.1, (60 * 44100, 2)))
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(folder / "song.wav"), str(folder / "stems")],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    stems = list((folder / "stems" / "song").glob("*.wav"))
    assert [soundfile.info(str(stem)).frames for stem in stems] == [minutes * 60 * 44100] * 2
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_does_not_grow_with_the_song(tmp_path):
    """Twenty minutes take no more than two, up to what allocators scatter: an hour stays far under 2 GB."""
    short, long = peak_mb(tmp_path, 2), peak_mb(tmp_path, 20)
    assert long < 1000
    assert long < short + 60

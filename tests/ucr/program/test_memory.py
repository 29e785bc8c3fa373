import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from tests.helpers import ROOT
from tests.ucr.program.helpers import make_song

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
    assert [soundfile.info(str(stem)).frames for stem in stems] == [minutes * 60 * 44100] * 3
    return json.loads(done.stdout)


LEARNING = """
import json, sys, ucr
from eval.cost import peak_memory_mb
ucr.train(sys.argv[1], sys.argv[2], minutes=0.001)
print(json.dumps(peak_memory_mb()))
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_hour_of_songs_is_learnt_from_in_little_memory(tmp_path):
    """What is read lies on the disk: ten hours stay under 2 GB, of which their latents, mapped, are 0.7."""
    (tmp_path / "songs").mkdir()
    first = make_song(tmp_path / "songs" / "0.wav", 40.0, 24000, 1)
    for i in range(1, 90):
        os.link(first, tmp_path / "songs" / f"{i}.wav")
    arguments = [sys.executable, "-c", LEARNING, str(tmp_path / "songs"), str(tmp_path / "weights")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
    card = json.loads((tmp_path / "weights" / "card.json").read_text())
    assert card["data"]["segments"] == 90 * 6
    assert card["labelled_segments"] < card["data"]["segments"]
    assert json.loads(done.stdout) < 1300


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_does_not_grow_with_the_song(tmp_path):
    """Twenty minutes take no more than two, up to what allocators scatter: an hour stays far under 2 GB."""
    short, long = peak_mb(tmp_path, 2), peak_mb(tmp_path, 20)
    assert long < 1000
    assert long < short + 60

"""The paper's setting rehearsed whole: Slakh2100's layout of short tracks, EnCodec with random weights.

    python -m tests.pipelines.rehearsal [--tracks 40]

`make repro PARAMS=params/rehearsal.yaml` runs in a copy of the project: the networks of `params/paper.yaml` at their
sizes, but for the supervised ones, its methods, two steps of each training. The run is killed while it trains the prior
and goes on; then each of a few stages is killed and must end with the outputs that it had.
`tests/pipelines/test_paper_setting.py` is the short form.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import yaml

from benchmarks.published_scheme import write_encodec
from tests.helpers import ROOT
from tests.pipelines.kill import REPRO, copy_project, killed, outputs_of, run, torture
from ucr.foundation.schema import merge, read_yaml

RATE = 44100
ROOT_OF_TRACKS = "slakh2100_flac_redux"
WEIGHTS = "encodec.safetensors"
TORTURED = ["segments", "latents", "train_decomposition", "separate@ucr"]
FEW = {"optim": {"steps": 2, "batch": 2, "validate_every": 1}}
SMALL = {  # the paper's take gigabytes and minutes a step
    "demucs": {"channels": 4, "depth": 2, "lstm_layers": 1, "resample": True},
    "htdemucs": {
        "channels": 8,
        "nfft": 4096,
        "t_layers": 1,
        "t_heads": 2,
        "bottom_channels": 0,
        "dconv_mode": 1,
    },
    "conv_tasnet": {"N": 16, "L": 16, "B": 8, "H": 16, "Sc": 8, "P": 3, "X": 3, "R": 1},
}
STEM = {
    "audio_rendered": True,
    "integrated_loudness": -25.1,
    "is_drum": False,
    "midi_program_name": "Electric Bass (finger)",
    "midi_saved": True,
    "plugin_name": "scarbee_rickenbacker_bass_palm_muted.nkm",
    "program_num": 33,
}
USUAL = ["Drums", "Bass", "Piano", "Piano", "Strings (continued)", "Sound Effects"]


def paper_on_little(sources: list[str], seconds: float) -> dict[str, Any]:
    """Differences from `params/paper.yaml`: its networks and methods on segments so long, for two steps."""
    paper = read_yaml(ROOT / "params/paper.yaml")
    methods = {
        name: options | ({"steps": 2} if options.get("steps") == 50 else {})
        for name, options in paper["methods"].items()
    }
    supervised = {
        name: {
            "network": SMALL[name],
            "optim": each["optim"] | FEW["optim"] | {"epochs": None, "crop": RATE // 4},
        }
        for name, each in paper["supervised"].items()
    }
    return {
        "sources": sources,
        "segments": {"seconds": seconds},
        "codec": {"weights": WEIGHTS},
        "decomposition": FEW,
        "prior": FEW,
        "supervised": supervised,
        "generation": {"count": 1, "songs": 1, "prior_steps": 2, "steps": 2, "strengths": [0.5]},
        "scores": {"window": seconds / 2, "hop": seconds / 4, "bootstrap": 100},
        "report": {"segments": 1},
        "methods": methods,
    }


def write_tracks(root: Path, counts: dict[str, int], seconds: float) -> None:
    """Tracks in Slakh2100's layout, of noise, with what its metadata has: a stem that was not rendered, one that is as
    good as silent, two of one class. The training split also gets one without drums and one whose bass has no file.
    """
    number = 0
    for split, count in counts.items():
        for _ in range(count):
            number += 1
            write_track(root / split / f"Track{number:05d}", number, seconds)
    write_track(root / "train" / f"Track{number + 1:05d}", number + 1, seconds, lacks="Drums")
    folder = root / "train" / f"Track{number + 2:05d}"
    write_track(folder, number + 2, seconds)
    (folder / "stems/S01.flac").unlink()


def write_track(folder: Path, seed: int, seconds: float, lacks: str = "") -> None:
    """One of them, with a mixture, the MIDI file and metadata of the real ones' keys."""
    (folder / "stems").mkdir(parents=True)
    rng = np.random.default_rng(seed)
    stems = {}
    for i, inst_class in enumerate(each for each in USUAL if each != lacks):
        rendered = inst_class != "Sound Effects"
        drums = inst_class == "Drums"
        stems[f"S{i:02d}"] = STEM | {"inst_class": inst_class, "audio_rendered": rendered, "is_drum": drums}
        if not rendered:
            continue
        audio = (1e-4 if inst_class.startswith("Strings") else 0.1) * rng.uniform(
            -1, 1, round(seconds * RATE)
        )
        soundfile.write(str(folder / f"stems/S{i:02d}.flac"), audio, RATE, subtype="PCM_16")
    soundfile.write(str(folder / "mix.flac"), np.zeros(RATE), RATE, subtype="PCM_16")
    (folder / "all_src.mid").write_bytes(b"MThd%d" % seed)
    about = {
        "UUID": f"{seed:032x}",
        "lmd_midi_dir": "lmd_matched/A/B/C",
        "normalized": True,
        "target_peak": -1.0,
    }
    (folder / "metadata.yaml").write_text(yaml.safe_dump(about | {"stems": stems}))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.pipelines.rehearsal", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--tracks", type=int, default=40, help="(default: %(default)s)")
    tracks = parser.parse_args().tracks
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        copy_project(folder)
        held_out = max(1, tracks // 8)
        counts = {"train": tracks - 2 * held_out - 2, "validation": held_out, "test": held_out}
        write_tracks(folder / ROOT_OF_TRACKS, counts, seconds=4.5)
        write_encodec(folder / WEIGHTS)
        values = merge(read_yaml(ROOT / "params/paper.yaml"), paper_on_little(["drums", "bass"], 2.0))
        (folder / "params/rehearsal.yaml").write_text(yaml.safe_dump(values))
        folder /= run([sys.executable, "-m", "pipelines.preset", "params/rehearsal.yaml"], folder).strip()
        seconds = killed(REPRO, folder, 3.0, "'train_prior'")
        print(f"killed while it trained the prior: {seconds == float('inf')}", flush=True)
        run(REPRO, folder)
        methods = set(pd.read_csv(folder / "reports/tables/separation.csv")["method"])
        missing = set(read_yaml(folder / "params.yaml")["methods"]) - methods
        print(
            f"methods without a score: {missing or 'none'}; report: {(folder / 'reports/index.html').is_file()}"
        )
        outputs = outputs_of(folder)
        instants = iter(random.Random(0).random, None)
        same = [torture(stage, outputs[stage], folder, instants, 1) for stage in TORTURED]
    raise SystemExit(0 if all(same) and not missing else 1)


if __name__ == "__main__":
    main()

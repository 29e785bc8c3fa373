"""Speed and memory beside the published design, same machine, same run -> benchmarks/against_scheme.csv.

    python -m benchmarks.against_scheme          (under four minutes; on a machine that does nothing else)

The published scheme is a minimal rendering of the paper's: components encoded and denoised one after another, segments
separated one by one in 50 steps, float32, tracks read one by one by librosa, each signal through the codec by itself.
It has none of the waste that a full program adds. Ours is what the stages run: `ucr.training.trainer.train`,
`Baseline.separate_batch`, `pipelines.segments` and `pipelines.latents`. Both sides of a row take turns,
`REPEATS` times, the first a warm-up; the median counts. EnCodec's and the sampling of the paper's networks are long and
done once. Freed memory is kept on both sides (`ucr.foundation.memory`).

Training: the paper's networks, optimiser and crop (`params/paper.yaml`), batch `BATCH` in place of 64 on both sides so
that two cores can do it (`MEMORY_BATCH` for the memory); latents are 128-band `mel` ones of rendered songs, since
EnCodec's have the same shape. Same weights, batches and noise; dropout's masks differ. Memory: the largest resident
set of a fresh process up to the end of the last step, less that after the imports.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from baselines import ucr as ucr_method
from benchmarks import published_scheme
from benchmarks.projects import ROOT, WITHOUT_MAGNITUDES, run_stage, setting, write_params
from benchmarks.published_scheme import write_encodec
from eval.cost import peak_memory_mb
from eval.scores import si_scores
from ucr.codecs import make_codec
from ucr.data.segments import SegmentStore
from ucr.foundation.errors import command
from ucr.foundation.files import read_json, write_csv
from ucr.foundation.params import load_params
from ucr.model.decomposition import DecompositionModel
from ucr.training.decomposition import make_job, make_setting
from ucr.training.latents import LatentStore
from ucr.training.trainer import Job, finish, in_bfloat16, train
from ucr.weights import FOLDER

TABLE = ROOT / "benchmarks" / "against_scheme.csv"
TRACKS = {"train": 24, "validation": 4, "test": 4}
BATCH, TRAIN_STEPS = 4, 6
MEMORY_BATCH = 16
SEGMENTS, SAMPLING_STEPS, FEWER_STEPS = 8, 50, 10
LATENT_FRAMES = 525  # of 7 s
REPEATS = 3


def median(runs: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Median of what each of several calls returns; they take turns, and the first turn of several is a warm-up."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            found[name].append(run())
    return {name: statistics.median(values[min(1, repeats - 1) :]) for name, values in found.items()}


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def paper_job(folder: Path, steps: int, batch: int = 1) -> Job:
    """Training of the paper's networks on the latents of `folder`, by the default trainer, without validations."""
    store = LatentStore(folder / "latents", "train")
    optim = {"steps": steps, "epochs": None, "batch": batch, "validate_every": steps}
    params = setting("paper.yaml", {"decomposition": {"optim": optim}})
    params = params.model_copy(update={"codec": load_params(folder / "params.yaml").codec})
    torch.manual_seed(0)
    made = make_setting(params, store.meta)
    return replace(make_job(made.build(), made, store, store, None, params.seed), validate=dict)


def our_training(job: Job, model: DecompositionModel) -> tuple[float, float]:
    """Seconds and mean loss of the steps of `job`, by the project's trainer, which ends with `model` trained."""
    last = train(job, torch.device("cpu"))[-1]
    finish(job)
    return last["seconds"], last["loss"]


def training_rows(folder: Path, steps: int, repeats: int) -> list[dict]:
    job = paper_job(folder, steps, BATCH)
    start = deepcopy(job.module.state_dict())
    losses = {}

    def run(name: str, call: Callable) -> Callable[[], float]:
        def once() -> float:
            job.module.load_state_dict(start)
            taken, losses[name] = call()
            return taken / steps

        return once

    found = median(
        {
            "published": run("published", lambda: published_scheme.train(job, job.module, steps)),
            "ours": run("ours", lambda: our_training(job, job.module)),
        },
        repeats,
    )
    precision = "bfloat16" if in_bfloat16(job) else "no bfloat16 products on this CPU: float32"
    step = f"training step, the paper's networks, batch {BATCH}"
    return [
        row(step, "s", found, f"{precision}; both components in one batch of the denoiser", at_least=1.5),
        row(f"mean loss of the first {steps} steps", "", losses, "same weights, batches and noise"),
    ]


def memory_rows(folder: Path) -> list[dict]:
    peaks = {}
    for name in ("published", "ours"):
        command = [sys.executable, "-m", "benchmarks.against_scheme", "--memory-of", name]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        output = subprocess.run(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True, text=True
        )
        peaks[name] = json.loads(output.stdout)
    what = f"peak memory of the training step, batch {MEMORY_BATCH}"
    return [
        row(what, "MB", peaks, "activations in bfloat16; the averaged weights count against it", at_least=1.0)
    ]


def print_memory(name: str) -> None:
    """Train a few steps in this process, a fresh one, and print how many MB they took."""
    import dvclive  # noqa: F401  (the trainer imports it late)

    before = peak_memory_mb()
    job = paper_job(Path(), 2, MEMORY_BATCH)
    if name == "published":
        published_scheme.train(job, job.module, job.steps)
        print(peak_memory_mb() - before)
    else:
        print(
            train(replace(job, validate=lambda: {"peak": peak_memory_mb()}), torch.device("cpu"))[-1]["peak"]
            - before
        )


def separation_rows(folder: Path, count: int, steps: int, repeats: int) -> list[dict]:
    params = load_params(folder / "params.yaml")
    store = SegmentStore(folder / "segments", "train")
    pieces = [store[i] for i in range(count)]
    mixtures, true = (np.stack([getattr(each, key) for each in pieces]) for key in ("mixture", "sources"))
    ours, slow = (ucr_method.Method(steps=n, batch_size=count) for n in (1, steps))
    for method in (ours, slow):
        method.load(FOLDER / params.task, params.sources)
    sound = torch.from_numpy(mixtures)
    rate, n = store.sample_rate, len(store.sources)
    estimates: dict[str, np.ndarray] = {}

    def keep(name: str, call: Callable) -> Callable[[], float]:
        def once() -> None:
            estimates[name] = np.asarray(call())

        return lambda: seconds(once)

    found = median(
        {
            "published": keep(
                "published", lambda: published_scheme.separate(ours.model, ours.codec, sound, steps)
            ),
            "batched": keep("batched", lambda: slow.separate_batch(mixtures, rate, n)),
            "ours": keep("ours", lambda: ours.separate_batch(mixtures, rate, n)),
        },
        repeats,
    )
    scores = {
        name: float(np.nanmean(si_scores(true, each, mixtures)["si_sdr"])) for name, each in estimates.items()
    }
    batching = found["published"] / found["batched"]
    source = (
        f"segments and components in one batch x{batching:.1f}, "
        f"1 step in place of {steps} x{found['batched'] / found['ours']:.1f}"
    )
    what = f"separation of {count} segments"
    return [
        row(f"{what}, shipped weights", "s", found, source, at_least=8.0),
        row("mean SI-SDR of that separation", "dB", scores, "same weights and segments", difference=True),
    ]


def network_row(folder: Path, count: int, steps: int) -> dict:
    """Sampling alone, by the paper's networks."""
    paper = paper_job(folder, 1).module.eval()
    latent = torch.randn(count, paper.channels, LATENT_FRAMES)
    found = median(
        {
            "published": lambda: seconds(lambda: published_scheme.separate(paper, None, latent, steps)),
            "ours": lambda: seconds(lambda: paper.separate(latent, steps)),
        },
        1,
    )
    what = f"sampling {count} segments, the paper's networks, {steps} steps on both sides"
    return row(what, "s", found, "segments and components in one batch, nothing else")


def preprocessing_row(folder: Path, repeats: int, source: str, at_least: float | None) -> dict:
    """Songs in Slakh's layout to latents; `folder` is a project whose `data` stage has run."""
    params = load_params(folder / "params.yaml")
    root = folder / read_json(folder / "data" / "dataset.json")["root"]
    codec = make_codec(params.codec, params.segments.sample_rate)
    out = folder / "published.lmdb"
    counts = {}

    def published() -> float:
        out.unlink(missing_ok=True)
        return seconds(lambda: counts.update(published=published_scheme.preprocess(params, root, codec, out)))

    def ours() -> float:
        taken = sum(run_stage(stage, folder)["seconds"] for stage in ("segments", "latents"))
        counts["ours"] = sum(len(SegmentStore(folder / "segments", split)) for split in TRACKS)
        return taken

    found = median({"published": published, "ours": ours}, repeats)
    if counts["published"] != counts["ours"]:
        raise RuntimeError(f"the two ways kept different segments: {counts}")
    what = f"preprocessing, {params.codec.name}, {counts['ours']} segments"
    return row(what, "s", found, source, at_least)


def row(
    what: str,
    unit: str,
    found: dict[str, float],
    source: str,
    at_least: float | None = None,
    difference: bool = False,
) -> dict:
    """A line of the table. The ratio is published / ours; `at_least` is what this project wants it to be."""
    published, ours = found["published"], found["ours"]
    return {
        "what": what,
        "unit": unit,
        "published": round(published, 4),
        "ours": round(ours, 4),
        "ratio": None if difference else round(published / ours, 2),
        "wanted": at_least,
        "from": source,
    }


def make_projects(work: Path, tracks: dict[str, int]) -> tuple[Path, Path]:
    """Render songs and put them through the stages: a project with the default latents, one with 128 channels."""
    project, wide = work / "default", work / "wide"
    write_params(project, {"data": {"tracks": tracks}})
    write_params(wide, {"codec": {"bands": 128}})
    (wide / "segments").symlink_to(project / "segments")
    for stage, where in (("data", project), ("segments", project), ("latents", wide)):
        run_stage(stage, where)
    return project, wide


def make_encodec_project(work: Path, songs: Path) -> Path:
    """A project of one of the rendered songs per split, for EnCodec."""
    few = work / "encodec"
    weights = write_encodec(work / "encodec.safetensors")
    codec = {"name": "encodec_24khz", "weights": str(weights)}
    root = few / "songs"
    changes = {
        "data": {"name": "slakh2100", "path": str(root)},
        "codec": codec,
    }
    write_params(few, changes | WITHOUT_MAGNITUDES)
    for split in TRACKS:
        (root / split).mkdir(parents=True)
        track = min((songs / split).iterdir())
        (root / split / track.name).symlink_to(track)
    run_stage("data", few)
    return few


def measure(work: Path) -> pd.DataFrame:
    """Every row, from songs rendered into `work`."""
    project, wide = make_projects(work, TRACKS)
    cores = f"{os.cpu_count()} cores read tracks; one resampling per source, not a stem; batches through the codec"
    return pd.DataFrame(
        [
            *memory_rows(wide),
            *training_rows(wide, TRAIN_STEPS, REPEATS),
            *separation_rows(project, SEGMENTS, SAMPLING_STEPS, REPEATS),
            network_row(wide, SEGMENTS, FEWER_STEPS),
            preprocessing_row(project, REPEATS, cores, 3.0),
            preprocessing_row(
                make_encodec_project(work, project / "data" / "slakh_mini"),
                1,
                "the codec's convolutions are nearly all of it on a CPU",
                None,
            ),
        ]
    )


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.against_scheme", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--memory-of", choices=["published", "ours"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        print_memory(arguments.memory_of)
        return
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # the trainer's runs/
        table = measure(Path(folder))
    write_csv(TABLE, table)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()

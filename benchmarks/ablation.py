"""What makes it separate: trainings that differ in one thing, measured alike -> reports/ablation.csv, steps.csv.

    python -m benchmarks.ablation [VARIANT...] [--seeds 0 1 2] [--clips FOLDER]
    python -m benchmarks.ablation --steps 1 2 4 8 16

Variants are the keys of `benchmarks/ablation.yaml`, differences from `params.yaml`. Each run trains on the mixtures
of `segments/`, or of songs of its own where it changes `data` or `sources`, and is measured on the validation split: by
the label-free figures of the training, and by SI-SDR and SI-SIR against the true sources. These guide no training but
that of variants with `guidance: sources`, which say what better guidance could reach. With `--clips` each is also
measured on the real stems of a folder, as `benchmarks.clips` does: `si_sdr_clips` is the mean over `n_clips` scores,
one for each clip and source. Runs that the table has are not repeated, but for those that lack this mean.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd
import torch

from baselines import ucr
from benchmarks.clips import measure, read_clips
from benchmarks.projects import REMEDY, run_stage, setting, write_params
from eval.quick import mean_si_scores
from ucr.codecs import Codec, make_codec
from ucr.data.segments import SegmentStore
from ucr.foundation.checkpoints import save_model
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_table, write_csv
from ucr.foundation.hashes import short_hash
from ucr.foundation.params import PARAMS_FILE, Params, check_params
from ucr.foundation.schema import merge, read_yaml
from ucr.training.decomposition import make_setting, self_train
from ucr.training.latents import LatentStore, open_latents, write_latents
from ucr.training.trainer import RUNS, finish
from ucr.weights import FOLDER

VARIANTS = Path("benchmarks/ablation.yaml")
TABLE = Path("reports/ablation.csv")
STEPS = Path("reports/steps.csv")
SEGMENTS = Path("segments")
METRICS = ("si_sdr", "si_sir")


def segments_folder(changes: dict) -> Path:
    """The segments to train on: `segments/`, or those of a project made once for what changes them."""
    if not {"data", "sources", "segments"} & changes.keys():
        return SEGMENTS
    keys = ("data", "sources", "segments", "supervised", "methods")  # the last two as `data: songs` need them
    changes = {key: changes[key] for key in keys if key in changes}
    made_of = setting("", changes).model_dump(include={"seed", "sources", "data", "segments"})
    project = RUNS / f"ablation-data-{short_hash(made_of)}"
    if not (project / SEGMENTS).is_dir():
        write_params(project, changes)
        for stage in ("data", "segments"):
            run_stage(stage, project)
    return project / SEGMENTS


def latents(params: Params, folder: Path) -> list[LatentStore]:
    """Training and validation latents of the codec that `params` name, made once, beside other unfinished work."""
    codec = make_codec(params.codec, params.segments.sample_rate)
    splits = {split: SegmentStore(folder, split) for split in ("train", "validation")}
    made = RUNS / f"ablation-{codec.fingerprint}-{splits['train'].fingerprint[:12]}"
    if not made.is_dir():
        write_latents(made, splits, codec, params.codec.model_dump(), RUNS)
    return [open_latents(made, split, codec, params.sources) for split in splits]


@torch.no_grad()
def true_labels(store: SegmentStore, codec: Codec, power: float) -> np.ndarray:
    """The true sources in the place of a grouping, on the mixture's scale: float16[segments, n, channels, frames]."""
    latents = [codec.encode(torch.from_numpy(segment.sources)).numpy() for segment in store]
    return np.stack([len(s) ** -power * s for s in latents]).astype(np.float16)


def run(variant: str, changes: dict, seed: int, clips: Path | None = None) -> dict:
    """Train one variant and measure it, on the stems of the folder `clips` too: a row of the table."""
    settings = {key: value for key, value in changes.items() if key != "guidance"}
    params = check_params(merge(read_yaml(PARAMS_FILE), settings | {"seed": seed}), VARIANTS)
    guidance = changes.get("guidance")
    if guidance not in (None, "sources"):
        raise UserError(f"{VARIANTS}: {variant}: guidance: {guidance!r} is not sources: fix it or remove it")
    stems = read_clips(clips, params) if clips else {}
    trained_on = segments_folder(changes)
    training, validation = latents(params, trained_on)
    codec = make_codec(params.codec, params.segments.sample_rate)
    model_setting = make_setting(params, training.meta)
    labels = true_labels(SegmentStore(trained_on, "train"), codec, params.codec.power) if guidance else None
    began = time.monotonic()
    jobs, history, _ = self_train(
        params, model_setting, training, validation, codec, SegmentStore(trained_on, "train"), labels
    )
    seconds = round(time.monotonic() - began)
    folder = RUNS / f"ablation-{variant}-{seed}"
    save_model(folder, jobs[-1].module, model_setting.to_config(), {})
    for job in jobs:
        finish(job)
    method = ucr.Method(steps=1)
    method.load(folder, params.sources)
    measured = trained_on if "sources" in changes else SEGMENTS
    means, _ = mean_si_scores(method.separate_batch, SegmentStore(measured, "validation"))
    on_clips = [row["si_sdr"] for row in measure(variant, method, stems, params)]
    last = {name: round(history[-1][name], 4) for name in ("validation_loss", "remix_consistency_db")}
    return {
        "run": f"{variant}-{seed}",
        "variant": variant,
        "seed": seed,
        "task": params.task,
        "params": json.dumps(changes),
        "steps": int(history[-1]["step"]),
        "seconds": seconds,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        **last,
        **{f"{metric}_{source}": means[metric][source] for metric in METRICS for source in params.sources},
        **({"si_sdr_clips": round(fmean(on_clips), 3), "n_clips": len(on_clips)} if on_clips else {}),
    }


def add_runs(variants: dict[str, dict], seeds: list[int], clips: Path | None = None) -> None:
    """Run what the table lacks and write it after each run."""
    rows = read_table(TABLE, remedy=REMEDY).to_dict("records") if TABLE.is_file() else []
    for seed in seeds:
        for variant, changes in variants.items():
            name = f"{variant}-{seed}"
            found = next((row for row in rows if row["run"] == name), None)
            if found is None or (clips and not found.get("n_clips", 0) > 0):
                rows = [row for row in rows if row is not found] + [run(variant, changes, seed, clips)]
                write_csv(TABLE, pd.DataFrame(rows))
                print(pd.DataFrame(rows[-1:]).drop(columns="params").to_string(index=False))


def step_scores(steps: list[int]) -> pd.DataFrame:
    """Score of the shipped weights against sampling steps, with the time that they take."""
    params = check_params(read_yaml(PARAMS_FILE))
    store = SegmentStore(SEGMENTS, "validation")
    rows = []
    for count in steps:
        method = ucr.Method(steps=count)
        method.load(FOLDER / params.task, params.sources)
        means, seconds = mean_si_scores(method.separate_batch, store)
        rows += [
            {
                "steps": count,
                "source": source,
                **{metric: means[metric][source] for metric in METRICS},
                "real_time_factor": round(seconds / (len(store) * params.segments.seconds), 5),
            }
            for source in store.sources
        ]
    return pd.DataFrame(rows)


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__.split("\n")[0])
    parser.add_argument("variants", nargs="*", help=f"keys of {VARIANTS}; all by default")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument(
        "--clips", type=Path, metavar="FOLDER", help="measure on its clips too, a folder of stems for each"
    )
    parser.add_argument(
        "--steps", nargs="+", type=int, help="measure the shipped weights with so many sampling steps instead"
    )
    arguments = parser.parse_args()
    if arguments.steps:
        table = step_scores(arguments.steps)
        write_csv(STEPS, table)
        print(table.to_string(index=False))
        return
    known = read_yaml(VARIANTS)
    unknown = [name for name in arguments.variants if name not in known]
    if unknown:
        raise UserError(f"{VARIANTS} has no variant {unknown[0]!r}: it has {', '.join(known)}")
    common = known.pop("common")
    chosen = {name: merge(common, known[name] or {}) for name in arguments.variants or known}
    add_runs(chosen, arguments.seeds, arguments.clips)


if __name__ == "__main__":
    main()

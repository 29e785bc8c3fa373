"""The result of a training on disk: weights, card and curve."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from ucr.foundation.checkpoints import FIRST_TRAINING, save_model
from ucr.foundation.files import replacing, write_csv
from ucr.foundation.params import Params
from ucr.foundation.provenance import machine
from ucr.training.trainer import Job, best_row, finish, in_bfloat16, is_first, out_of_patience

SMALL = 4_000_000  # parameters


def fit_threads(module: nn.Module) -> None:
    """Train a small network with one thread on a CPU with AMX: sharing its operations out costs more than it saves.

    A step of the default decomposition model with one thread and with two: 0.29 and 0.48 s on two cores of a Xeon with
    AMX, 0.14 and 0.11 s on an EPYC with AVX-512 BF16, 0.27 and 0.16 s on one without.
    """
    small = sum(parameter.numel() for parameter in module.parameters()) < SMALL
    if small and torch.cpu._is_amx_tile_supported():
        torch.set_num_threads(1)


def model_card(params: Params, job: Job, history: list[dict], device: torch.device, what: str) -> dict:
    """Everything a reader wants to know of weights that a run of the benchmark trained."""
    data = {"name": params.data.name, "segments": params.segments.model_dump()}
    return training_card(job, history, device, what) | {"task": params.task, "data": data}


def training_card(job: Job, history: list[dict], device: torch.device, what: str) -> dict:
    """Everything a reader wants to know of how weights were trained."""
    return {
        "what": what,
        "seed": job.seed,
        "parameters": sum(parameter.numel() for parameter in job.module.parameters()),
        "optim": job.optim.model_dump(),
        "identity": job.identity,
        "last": history[-1],
        "ended_by": "patience" if out_of_patience(job.optim, history) else "steps",
        "kept": best_row(history) if job.optim.patience else history[-1],
        "device": str(device) if device.type == "cpu" else torch.cuda.get_device_name(device),
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "processes": torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1,
        "precision": "bfloat16" if in_bfloat16(job) else "float32",
        "versions": {"python": platform.python_version(), "torch": version("torch")},
        "license": "MIT",
    }


def save_training(
    folder: Path, job: Job, config: dict, card: dict, history: list[dict], first: Job | None = None
) -> None:
    """Write weights, card and training curve as one folder, then drop the resume state; the first process does.

    `first` is the training whose model guided `job`, if any did: its weights are kept in the folder's `FIRST_TRAINING`.
    """
    if not is_first():
        return
    with replacing(folder) as temporary:
        temporary.mkdir()
        save_model(temporary, job.module, config, card)
        write_csv(temporary / "training.csv", pd.DataFrame(history))
        if first:
            (temporary / FIRST_TRAINING).mkdir()
            about = {"what": "what guided the training above", "identity": first.identity}
            save_model(temporary / FIRST_TRAINING, first.module, first.identity["setting"], about)
    for each in (first, job):
        if each:
            finish(each)

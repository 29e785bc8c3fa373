"""The training of a decomposition model on songs, in a given time."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ucr.foundation.checkpoints import default_device, fill
from ucr.foundation.files import read_json, write_json
from ucr.foundation.schema import merge
from ucr.model.decomposition import DecompositionModel, Setting
from ucr.training.decomposition import make_job
from ucr.training.grouping import name_components
from ucr.training.labels import Labels, label
from ucr.training.latents import LatentStore
from ucr.training.results import fit_threads, training_card
from ucr.training.trainer import Job, finish, train

BATCH = 8  # of the benchmark's default run
LABELS_SHARE = 1 / 3  # of the time, at most, for pseudo-labels
TRIAL = 6  # steps that tell how long one takes
LEAST_STEPS = 20
CAUTION = 0.9  # of the time that is left is planned for
CHECKPOINT = 60.0  # seconds between checkpoints, about
NAMED_BY = 16  # segments by which components are told apart


@dataclass(frozen=True)
class Learnt:
    """A training on songs that is done.

    Attributes
    ----------
    job
        Its module is trained.
    history
        See `ucr.training.trainer.train`.
    config
        What the weights are saved with.
    card
        How they were trained, with figures that take no true source, before and after.
    """

    job: Job
    history: list[dict]
    config: dict
    card: dict


def learn(
    store: LatentStore,
    setting: Setting,
    start: dict[str, Tensor] | None,
    work: Path,
    seconds: float,
    seed: int,
    identity: dict,
) -> Learnt:
    """Train a model as its stage does (`ucr.training.decomposition`), in about so many seconds, pseudo-labels included.

    One training, the first (`DecompositionParams.trainings`): no model's own estimates guide another's. Where there are
    more mixtures than a third of the time can label, songs are left out at random. What is left
    of it is turned into a number of steps once, by a trial, so that a killed training goes on as it began.

    Parameters
    ----------
    store
        Of the songs' mixtures.
    setting
        The model's; `params` but the optimisation's length hold as they are.
    start
        Weights to go on from; None: random ones.
    work
        A folder for the unfinished training, of these songs and settings alone.
    seconds
        The time there is.
    seed
        Of all that is random.
    identity
        What else the result depends on: the songs and the start.
    """
    device, plan = default_device(), work / "plan.json"
    began = time.monotonic()
    untrained = setting.build()
    power, params = untrained.power, untrained.params.trainings[0]
    labels: Labels | None = None
    if params.guided:
        allowed = 0.0 if plan.is_file() else seconds * LABELS_SHARE
        store, labels = label(store, work / "labels", setting.sources, power, params.grouping, seed, allowed)
    preparation = time.monotonic() - began

    def make(optim: dict) -> tuple[Job, Setting]:
        values = merge(params.model_dump(), {"optim": optim | {"batch": BATCH}})
        changed = setting.model_copy(update={"params": values | {"first": None}})
        torch.manual_seed(seed)
        model = changed.build()
        if start is not None:
            fill(model, start, "the weights to start from")
        fit_threads(model)
        job = make_job(model.to(device), changed, store, store, labels, seed)
        told = job.identity | identity | {"labelled": len(store)}
        return replace(job, runs=work / "runs", identity=told), changed

    if not plan.is_file():
        trial, _ = make({"steps": TRIAL, "validate_every": TRIAL // 2})
        planned = _plan(replace(trial, name="trial"), seconds - preparation)
        write_json(plan, planned | {"preparation_seconds": round(preparation, 1)})
    planned = read_json(plan)
    job, changed = make(planned["optim"])
    before = _figures(job)
    history = train(job, device)
    assert isinstance(job.module, DecompositionModel)
    after = {name: history[-1][name] for name in before}
    card = training_card(job, history, device, "decomposition model: encoders and shared denoiser") | {
        "preparation_seconds": planned["preparation_seconds"],
        "labelled_segments": len(store) if labels else 0,
        "label_free": {"before": before, "after": after},
        "components": _names(job.module, setting.sources, store),
    }
    return Learnt(job, history, changed.to_config(), card)


def _plan(trial: Job, seconds: float) -> dict:
    """What optimisation fits into the time that is left."""
    device = next(trial.module.parameters()).device
    began = time.monotonic()
    _figures(trial)
    validation = time.monotonic() - began
    unvalidated = replace(trial, validate=dict)
    first, last = train(unvalidated, device)
    finish(unvalidated)
    step = (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])
    left = CAUTION * (seconds - (time.monotonic() - began)) - 2 * validation
    every = max(1, round(CHECKPOINT / step))
    steps = max(LEAST_STEPS, int(left / (step + validation / every)))
    optim = trial.optim
    return {
        "optim": {
            "steps": steps,
            "validate_every": min(every, steps),
            "warmup": min(optim.warmup, steps // 10),
            "ema": min(optim.ema, 1 - 4 / steps),  # an average over a quarter of the steps, at most
        }
    }


@torch.no_grad()
def _figures(job: Job) -> dict[str, float]:
    """The validation of a model as it is, as the trainer does it."""
    job.module.eval()
    torch.manual_seed(job.seed)
    return job.validate()


@torch.no_grad()
def _names(model: DecompositionModel, sources: list[str], store: LatentStore) -> list[str] | None:
    """Which source each component is, by how it sounds; None if that can't be told."""
    if not model.additive:
        return None
    chosen = np.unique(np.linspace(0, len(store) - 1, NAMED_BY).astype(int))
    mixtures = torch.from_numpy(np.stack([store.mixture(i) for i in chosen]))
    components = model.separate(mixtures.to(next(model.parameters()).device), steps=1).cpu()
    return name_components(sources, components.numpy() ** (1 / model.power))

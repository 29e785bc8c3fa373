"""The one trainer, of every model here: codec, decomposition, prior and baselines.

Started by `torchrun`, its processes train one model together (distributed data parallel, by Lightning Fabric).
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ucr.foundation.checkpoints import load_tensors, save_tensors
from ucr.foundation.errors import UserError
from ucr.foundation.hashes import code_hash, short_hash
from ucr.foundation.params import OptimParams

if TYPE_CHECKING:
    from lightning_fabric import Fabric

RUNS = Path("runs")
TORCHRUN = "TORCHELASTIC_RUN_ID"  # of the environment of what `torchrun` starts
Batch = tuple[Tensor, ...]


@dataclass(frozen=True)
class Job:
    """What to train.

    Attributes
    ----------
    name
        Shown in the progress bar and in the name of the resume folder.
    module
        Its parameters are trained; all that require a gradient have a part in every loss.
    draw
        (random generator, step) -> a training batch. Called ahead in a thread: it must depend on
        these alone.
    loss
        (batch) -> scalar, to be minimised: a mean over the batch's items.
    validate
        () -> figures of the averaged weights, `validation_loss` among them where `optim.patience` is set; called in
        evaluation mode, without gradients. Those of an unsupervised training see no true source.
    optim
        Rate, averaging and so on.
    steps
        How many; the most where `optim.patience` is set.
    seed
        Of the data order, noise and dropout.
    identity
        Everything else that the result depends on but the code and the precision, such as the data's
        fingerprint: a killed run is resumed only by one that agrees in all of these.
    cpu_bfloat16
        Whether a CPU that multiplies in bfloat16 trains in it, as every GPU does.
    noise
        (batch, share of the training that is done) -> what `loss` takes: the batch and the noise of its items,
        drawn by torch's global generator.
        It sees the whole batch, of which `loss` may see parts: every tensor's first axis counts the items.
    runs
        The folder that keeps what is needed to resume.
    """

    name: str
    module: nn.Module
    draw: Callable[[np.random.Generator, int], Batch]
    loss: Callable[[Batch], Tensor]
    validate: Callable[[], dict[str, float]]
    optim: OptimParams
    steps: int
    seed: int
    identity: dict
    cpu_bfloat16: bool = False
    noise: Callable[[Batch, float], Batch] = lambda batch, progress: batch
    runs: Path = RUNS


def train(job: Job, device: torch.device) -> list[dict[str, float]]:
    """Train `job.module` in place; it ends with the averaged weights, in evaluation mode.

    With `optim.patience` these are the ones of the least `validation_loss`, and training ends when so many
    validations have not lowered it.

    A killed run continues from its last checkpoint, under `job.runs`, with the same result as an
    unbroken one: every step's batch, noise and dropout come from the seed and the step's number.

    A batch is shared evenly by the processes of `torchrun` and by the `optim.accumulate` parts that each
    takes one after the other. The result is that of one process up to rounding, but for dropout, whose masks
    differ. All processes read one folder; the first alone writes there (see `is_first`).

    Returns
    -------
    list of dict
        One row per validation: `step`, `loss` (mean over the steps since the last), `loader_share` (of the
        time since, how much was spent waiting for batches), what `validate` gave, and `seconds` of
        training so far.

    Raises
    ------
    UserError
        If the batch can't be shared evenly.
    """
    optim, module = job.optim, job.module.to(device)
    optimiser = torch.optim.AdamW(
        module.parameters(), lr=optim.lr, weight_decay=optim.weight_decay, fused=True
    )
    average = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    work = _work(job)
    checkpoint = work / "checkpoint.safetensors"
    best: dict[str, Tensor] = {}
    done, history = _resume(checkpoint, module, average, best, optimiser) if checkpoint.is_file() else (0, [])
    fabric = _fabric(device)
    parts = fabric.world_size * optim.accumulate
    if optim.batch % parts:
        raise UserError(
            f"{job.name}: a batch of {optim.batch} has no even parts for {fabric.world_size} processes x "
            f"accumulate {optim.accumulate}: choose in params.yaml a batch that {parts} divides, or other numbers"
        )
    network = fabric.setup_module(_Loss(job), move_to_device=False)

    began = since = time.monotonic()
    spent, waited = history[-1]["seconds"] if history else 0.0, 0.0
    losses: list[Tensor] = []
    ended = out_of_patience(optim, history)
    live = _live(work, resume=bool(done)) if is_first() else None
    bar = tqdm(
        total=job.steps, initial=done, desc=f"training {job.name}", unit="step", disable=not is_first()
    )
    # One thread draws: a team of its own would fight with that of the training for the cores.
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as loader:
        upcoming = loader.submit(_draw, job, done)
        for step in range(done, job.steps):
            if ended:
                break
            waiting = time.monotonic()
            drawn = upcoming.result()
            waited += time.monotonic() - waiting
            batch = tuple(tensor.to(device, non_blocking=True) for tensor in drawn)
            if step + 1 < job.steps:
                upcoming = loader.submit(_draw, job, step + 1)
            torch.manual_seed(job.seed * 1_000_003 + step)
            batch = job.noise(batch, step / job.steps)
            if fabric.global_rank:  # dropout of its own
                torch.manual_seed(job.seed * 1_000_003 + step + (fabric.global_rank << 40))
            module.train()
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(optim, step, job.steps)
            optimiser.zero_grad(set_to_none=True)
            for turn in range(optim.accumulate):
                part = fabric.global_rank * optim.accumulate + turn
                with fabric.no_backward_sync(network, enabled=turn + 1 < optim.accumulate):
                    with torch.autocast(device.type, torch.bfloat16, enabled=in_bfloat16(job)):
                        loss = network(tuple(tensor.chunk(parts)[part] for tensor in batch))
                    fabric.backward(loss / optim.accumulate)
                losses.append(loss.detach())
            if optim.clip:
                nn.utils.clip_grad_norm_(module.parameters(), optim.clip)
            optimiser.step()
            _update(average, module, optim.ema if step >= optim.warmup else 0.0)
            bar.update()
            if (step + 1) % optim.validate_every == 0 or step + 1 == job.steps:
                mean = fabric.all_reduce(torch.stack(losses).mean(), reduce_op="mean")
                assert isinstance(mean, Tensor)
                row = {"step": step + 1, "loss": mean.item()}
                row["loader_share"] = round(waited / (time.monotonic() - since), 4)
                row |= _validated(job, average)
                row["seconds"] = round(spent + time.monotonic() - began, 3)
                losses.clear()
                history.append(row)
                if optim.patience and best_row(history) is row:
                    best = {name: tensor.clone() for name, tensor in average.items()}
                bar.set_postfix(
                    {key: f"{value:.4g}" for key, value in row.items() if key not in ("step", "seconds")}
                )
                ended = fabric.broadcast(out_of_patience(optim, history))
                if live:
                    _save(checkpoint, module, average, best, optimiser, step + 1, history)
                    _log(live, row)
                since, waited = time.monotonic(), 0.0
    bar.close()
    if live:
        live.end()
    module.load_state_dict(best or average)
    module.eval()
    return history


def best_row(history: list[dict]) -> dict | None:
    """The first row of the least `validation_loss`; None if no row has one that is a number."""
    rows = [row for row in history if not math.isnan(row["validation_loss"])]
    return min(rows, key=lambda row: row["validation_loss"], default=None)


def out_of_patience(optim: OptimParams, history: list[dict]) -> bool:
    """Whether the last `optim.patience` validations have not lowered the loss; never where that is 0."""
    if not optim.patience:
        return False
    best = best_row(history)
    return sum(best is None or row["step"] > best["step"] for row in history) >= optim.patience


def is_first() -> bool:
    """Whether this process is alone, or the one of those started by `torchrun` that shows progress and writes files."""
    return TORCHRUN not in os.environ or os.environ["RANK"] == "0"


def finish(job: Job) -> None:
    """Delete the resume state of a job, once its result is safely written."""
    shutil.rmtree(_work(job), ignore_errors=True)


def learning_rate(optim: OptimParams, step: int, steps: int) -> float:
    """Linear rise over `warmup` steps, then constant or half a cosine to zero."""
    rate = optim.lr * min(1.0, (step + 1) / max(1, optim.warmup))
    if optim.schedule == "cosine":
        progress = max(0, step - optim.warmup) / max(1, steps - optim.warmup)
        rate *= 0.5 * (1 + math.cos(math.pi * progress))
    return rate


class _Loss(nn.Module):
    """A job's loss as a module's forward pass, which is what gradients are averaged around."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.module, self.loss = job.module, job.loss

    def forward(self, batch: Batch) -> Tensor:
        return self.loss(batch)


def _fabric(device: torch.device) -> Fabric:
    """Join the processes that `torchrun` started, or stay alone, whatever else the environment says."""
    from lightning_fabric import Fabric  # slow to import
    from lightning_fabric.plugins.environments import LightningEnvironment

    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    if TORCHRUN not in os.environ:
        return Fabric(accelerator=device.type, devices=1, plugins=LightningEnvironment())
    here, everywhere = (int(os.environ[name]) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    fabric = Fabric(
        accelerator=device.type,
        strategy="ddp",
        devices=here,
        num_nodes=everywhere // here,
    )
    fabric.launch()
    return fabric


def _draw(job: Job, step: int) -> Batch:
    return job.draw(np.random.default_rng([job.seed, step]), step)


def in_bfloat16(job: Job) -> bool:
    """Whether a job's forward passes run in bfloat16, where its module lies now."""
    device = next(job.module.parameters()).device
    return device.type == "cuda" or (job.cpu_bfloat16 and cpu_multiplies_bfloat16())


def cpu_multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for products in bfloat16: AMX or AVX-512 BF16."""
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def _work(job: Job) -> Path:
    """The folder of a job's resume state."""
    shapes = {name: list(tensor.shape) for name, tensor in job.module.state_dict().items()}
    identity = [
        *(job.identity, job.seed, job.steps, job.optim.model_dump(), shapes),
        *(in_bfloat16(job), code_hash()),
    ]
    return job.runs / f"{job.name}-{short_hash(identity)}"


@torch.no_grad()
def _update(average: dict[str, Tensor], module: nn.Module, decay: float) -> None:
    trained = module.state_dict()
    floats = [name for name, tensor in trained.items() if tensor.is_floating_point()]
    torch._foreach_lerp_([average[name] for name in floats], [trained[name] for name in floats], 1 - decay)
    for name in trained.keys() - set(floats):
        average[name].copy_(trained[name])


@torch.no_grad()
def _validated(job: Job, average: dict[str, Tensor]) -> dict[str, float]:
    """Figures of the averaged weights; the trained ones are put back."""
    trained = {name: tensor.clone() for name, tensor in job.module.state_dict().items()}
    job.module.load_state_dict(average)
    job.module.eval()
    torch.manual_seed(job.seed)
    figures = job.validate()
    job.module.load_state_dict(trained)
    return figures


def _save(
    path: Path,
    module: nn.Module,
    average: dict[str, Tensor],
    best: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    step: int,
    history: list[dict],
) -> None:
    tensors = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": tensor for name, tensor in state.items()}
    # clone: safetensors refuses tensors that share memory
    save_tensors(path, {name: t.clone() for name, t in tensors.items()}, {"step": step, "history": history})


def _resume(
    path: Path,
    module: nn.Module,
    average: dict[str, Tensor],
    best: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
) -> tuple[int, list[dict]]:
    tensors, config = load_tensors(path)
    parts: dict[str, dict[str, Tensor]] = {"module": {}, "average": {}, "best": {}, "optimiser": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    module.load_state_dict(parts["module"])
    for name, tensor in parts["average"].items():
        average[name].copy_(tensor)
    best |= {name: tensor.to(average[name].device) for name, tensor in parts["best"].items()}
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["optimiser"].items():
        index, _, key = name.partition(".")
        states.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": states})
    return config["step"], config["history"]


def _live(work: Path, resume: bool):
    from dvclive import Live  # slow to import

    logging.getLogger("dvclive").setLevel(logging.ERROR)  # it warns about stages that run outside `dvc exp`
    return Live(dir=str(work / "dvclive"), resume=resume, save_dvc_exp=False, dvcyaml=None, report=None)


def _log(live, row: dict[str, float]) -> None:
    live.step = int(row["step"])
    for name, value in row.items():
        if name != "step":
            live.log_metric(name, value)
    live.make_summary()

"""What a method costs: parameters, operations, time and memory of separating, size on disk, training."""

from __future__ import annotations

import inspect
import itertools
import math
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.fft

from ucr.foundation.errors import UserError
from ucr.foundation.files import read_json

REPEATS = 5
TRAINING = (
    "train_steps",
    "preparation_seconds",
    "train_seconds",
    "train_seconds_elsewhere",
    "train_energy_wh_estimate",
)
SECONDS_A_MEASUREMENT = 1.0  # slow methods are repeated less often, but never less than once


def repeated(call: Callable[[], object], synchronise: Callable[[], object]) -> list[float]:
    """Seconds of several calls, to be made after a warm-up; fewer where a call is slow."""
    seconds: list[float] = []
    while len(seconds) < REPEATS and sum(seconds) < SECONDS_A_MEASUREMENT:
        synchronise()
        began = time.perf_counter()
        call()
        synchronise()
        seconds.append(time.perf_counter() - began)
    return seconds


def real_time_factor(seconds: list[float], audio_seconds: float) -> dict[str, float]:
    """Median, least and greatest of seconds of work for a second of audio."""
    factors = [value / audio_seconds for value in seconds]
    return {"median": statistics.median(factors), "min": min(factors), "max": max(factors), "n": len(factors)}


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MB.

    Linux counts the process that started this one too in `getrusage`, its own page in /proc does not.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def networks(method: object) -> list:
    """The torch modules that a method holds, directly or inside an object that it holds."""
    if "torch" not in sys.modules:
        return []
    from torch import nn

    found: list = []
    for value in vars(method).values():
        held = [value, *vars(value).values()] if hasattr(value, "__dict__") else [value]
        modules = (
            [value]
            if isinstance(value, nn.Module)
            else [each for each in held if isinstance(each, nn.Module)]
        )
        found += [module for module in modules if module not in found]
    return found


def parameter_count(method: object) -> int:
    """Trained numbers of a method; 0 for one without a network."""
    return sum(parameter.numel() for module in networks(method) for parameter in module.parameters())


def _eigenvectors(shape: Sequence[int], *_: object, **__: object) -> int:
    """FLOPs of all eigenvectors of symmetric matrices, 9 n^3: Golub & Van Loan, *Matrix Computations*, section 8.3."""
    return 9 * math.prod(shape[:-2]) * shape[-1] ** 3


def _householder(shape: Sequence[int], *_: object, **__: object) -> int:
    """FLOPs of Q and R, or of the singular values, of m x n matrices, 4 n^2 (m - n / 3): sections 5.2 and 8.6."""
    m, n = max(shape[-2:]), min(shape[-2:])
    return 4 * math.prod(shape[:-2]) * n**2 * (3 * m - n) // 3


def _transforms(n_values: int, n_points: int, real: bool) -> int:
    """FLOPs of Fourier transforms of n points: 5 log2 n a value, half of that a real one, as FFTW's authors count."""
    return round((2.5 if real else 5.0) * n_values * math.log2(max(1, n_points)))


def _of_torch(real: bool, inverse: bool = False) -> Callable[..., int]:
    def flops(
        shape: Sequence[int], dims: Sequence[int], *_: object, out_shape: Sequence[int], **__: object
    ) -> int:
        values = out_shape if inverse else shape
        return _transforms(math.prod(values), math.prod(values[dim] for dim in dims), real)

    return flops


@contextmanager
def _transforms_counted(counts: list[int]) -> Iterator[None]:
    """Append the FLOPs of every transform by a function of `scipy.fft` or `numpy.fft`."""

    def counting(function: Callable, real: bool) -> Callable:
        signature = inspect.signature(function)

        @wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            values, size, axes = itertools.islice(bound.arguments.values(), 3)
            shape = list(np.shape(result))
            dims = list(range(len(shape)) if axes is None else np.atleast_1d(axes))
            if real and not function.__name__.startswith("i"):  # whose result has half of the values
                shape[dims[-1]] = np.shape(values)[dims[-1]] if size is None else np.atleast_1d(size)[-1]
            counts.append(_transforms(math.prod(shape), math.prod(shape[dim] for dim in dims), real))
            return result

        return counted

    names = [f"{i}{real}fft{dims}" for i in ("", "i") for real in ("", "r") for dims in ("", "2", "n")]
    originals = [(module, name, getattr(module, name)) for module in (scipy.fft, np.fft) for name in names]
    try:
        for module, name, function in originals:
            setattr(module, name, counting(function, "rfft" in name))
        yield
    finally:
        for module, name, function in originals:
            setattr(module, name, function)


def multiply_accumulates(call: Callable[[], object]) -> int:
    """Multiply-accumulates of a call: half of the FLOPs of its products, decompositions and Fourier transforms.

    Products and convolutions in torch are counted, in networks and elsewhere, such as in factorisations, and
    eigenvectors, QR decompositions, singular values and Fourier transforms by their usual formulas, the transforms of
    SciPy and NumPy too. LSTMs and attention are made to run as the plain products that the counter knows. Elementwise
    operations, medians and other products and decompositions of NumPy are not counted (`Baseline.products` has those).
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    formulas = {
        torch.ops.aten._linalg_eigh: _eigenvectors,
        torch.ops.aten.linalg_qr: _householder,
        torch.ops.aten._linalg_svd: _householder,
        torch.ops.aten._fft_r2c: _of_torch(real=True),
        torch.ops.aten._fft_c2r: _of_torch(real=True, inverse=True),
        torch.ops.aten._fft_c2c: _of_torch(real=False),
    }
    transforms: list[int] = []
    counter = FlopCounterMode(display=False, custom_mapping=formulas)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.backends.mkldnn.flags(enabled=False, allow_tf32=None))  # set, it warns
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast_path)
        torch.backends.mha.set_fastpath_enabled(False)
        stack.enter_context(counter)
        stack.enter_context(_transforms_counted(transforms))
        call()
    return (counter.get_total_flops() + sum(transforms)) // 2


def training_cost(needs: Path, watts: float) -> dict[str, float | int | None]:
    """Steps, seconds and estimated energy of the training behind `needs`; None where there was none.

    Weights that ship with the project were trained on the machine that their card names: their time has a
    column of its own. `preparation_seconds` went into what the training learns from, such as pseudo-labels. The
    energy is `watts`, a stated assumption of what a machine draws while training, times the seconds of both.
    """
    card = read_json(needs / "card.json") if (needs / "card.json").is_file() else {}
    last = card.get("last", {})
    seconds, preparation = last.get("seconds"), card.get("preparation_seconds")
    watt_hours = None if seconds is None else round(watts * (seconds + (preparation or 0)) / 3600, 3)
    shipped = "hours" in card
    return {
        "train_steps": last.get("step"),
        "preparation_seconds": preparation,
        "train_seconds": None if shipped else seconds,
        "train_seconds_elsewhere": seconds if shipped else None,
        "train_energy_wh_estimate": watt_hours,
    }


def size_on_disk_mb(needs: Path) -> float:
    """Size of trained weights in MB (10^6 bytes); 0 for a method without."""
    return sum(path.stat().st_size for path in needs.glob("*.safetensors")) / 1e6


def cost_table(costs: dict[str, dict]) -> pd.DataFrame:
    """One row per method of what `pipelines.cost` measured.

    Empty cells say that there is nothing to count: a method that does nothing has no
    multiply-accumulates (see `multiply_accumulates`), one that learns nothing has 0 parameters and no
    training time, one that takes segments one by one has no time for eight at once.

    Raises
    ------
    UserError
        If two methods were measured on different machines, devices or numbers of threads.
    """
    settings = {name: _setting(cost) for name, cost in costs.items()}
    first, *others = settings
    for name in others:
        if settings[name] != settings[first]:
            raise UserError(
                f"the costs of {first} and {name} were measured on different machines, whose times can't share "
                f"a column: measure them on one (`dvc repro --force --single-item cost@{first} cost@{name}`)"
            )
    return pd.DataFrame([_row(cost) for cost in costs.values()]).convert_dtypes()


def _setting(cost: dict) -> dict[str, object]:
    machine = cost["machine"]
    return {
        "device": cost["device"],
        "threads": cost["threads"],
        "machine": f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB",
    }


def _row(cost: dict) -> dict[str, object]:
    row = {key: cost[key] for key in ("method", "kind")}
    row |= {key: cost.get(key) for key in ("parameters", "macs_per_second", *TRAINING)}
    for count in (1, 8):
        factor = cost.get(f"real_time_factor_{count}") or {}
        row |= {f"rtf_{count}": factor.get("median")}
        row |= {f"rtf_{count}_{end}": factor.get(end) for end in ("min", "max")}
    row["peak_memory_mb"] = cost.get("peak_memory_mb")
    row["size_on_disk_mb"] = cost.get("size_on_disk_mb") or None
    libraries = ", ".join(f"{name} {version}" for name, version in cost["libraries"].items())
    return row | _setting(cost) | {"libraries": libraries, "failed": cost["failed"]}

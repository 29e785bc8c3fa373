"""What Slakh2100 costs at the paper's setting, on paper -> docs/scale.md.

    python -m benchmarks.scale

Figures come from `benchmarks/gpu.csv` (kept by hand: steps that `benchmarks.training` took on a GPU with the parameters
that its rows name), which must be there, `against_scheme.csv`, `preprocessing.csv` and counts of the networks'
operations; a row that lacks one of the latter says which benchmark to run.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import pandas as pd
import torch

from benchmarks.projects import REMEDY, ROOT, setting
from eval.cost import multiply_accumulates
from pipelines.forecast import SLAKH2100, SLAKH2100_HOURS, duration, forecast
from ucr.codecs.encodec import untrained
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_table, replacing
from ucr.model.networks import UNet
from ucr.training.decomposition import make_setting

PAGE = ROOT / "docs" / "scale.md"
DOWNLOAD_GB = 104.3
H200_TFLOPS = 989.5  # dense products in bfloat16, half of its maker's figure for sparse ones
LATENT = {"fingerprint": "", "channels": 128, "frame_rate": 75.0, "mean": 0.0, "std": 1.0}
SAMPLING_STEPS = 50


def measured(file: str, **where: str) -> pd.Series | None:
    """The last row of a table of `benchmarks/` whose columns start with what is given; None where there is none."""
    path = ROOT / "benchmarks" / file
    if not path.is_file():
        return None
    table = read_table(path, remedy=REMEDY)
    for column, start in where.items():
        table = table[table[column].str.startswith(start)]
    return table.iloc[-1] if len(table) else None


def operations() -> dict[str, float]:
    """TFLOP of a crop forward, of one through the prior, of sampling a segment, and of coding an hour by EnCodec.

    A multiply-accumulate is two.
    """
    params = setting("paper.yaml", {})
    model = make_setting(params, LATENT).build().eval()
    optim = params.decomposition.optim
    crop, mixture = torch.randn(1, 128, optim.crop), torch.randn(1, 128, 525)
    prior = UNet(len(params.sources), len(params.sources), params.prior.denoiser).eval()
    codec = untrained("encodec_24khz")
    codec.set_target_bandwidth(params.codec.bandwidth)
    second = torch.randn(1, 1, 24000)
    components = torch.randn(1, len(params.sources), params.prior.optim.crop)
    calls = {
        "decomposition": lambda: model.separate(crop, 1),
        "prior": lambda: prior(components, torch.zeros(1), components),
        "sampling": lambda: model.separate(mixture, SAMPLING_STEPS),
        "codec_hour": lambda: codec.encode(second),
    }
    found = {name: 2 * multiply_accumulates(call) / 1e12 for name, call in calls.items()}
    return found | {"codec_hour": found["codec_hour"] * 3600}


def rows() -> list[tuple[str, str, str]]:
    """Lines of the page: what, arithmetic, result."""
    params = setting("paper.yaml", {})
    optim = params.decomposition.optim
    tflop, n = operations(), len(params.sources)
    seconds = params.segments.seconds
    tracks = sum(SLAKH2100.values())
    segments = math.floor(SLAKH2100_HOURS * 3600 / seconds)
    training = round(segments * SLAKH2100["train"] / tracks)
    epoch = math.ceil(training / optim.batch)
    steps = optim.total_steps(training)
    test_hours = SLAKH2100_HOURS * SLAKH2100["test"] / tracks
    test = round(segments * SLAKH2100["test"] / tracks)
    gpu = measured("gpu.csv", training="decomposition, params/paper.yaml")
    if gpu is None:
        raise UserError("benchmarks/gpu.csv lacks the step of params/paper.yaml: restore it from git")
    rate = 3 * tflop["decomposition"] * gpu["batch"] / gpu["step_seconds"]
    methods = len(params.methods)

    def hours(count: float, each: float, passes: int = 1) -> tuple[str, str]:
        what = f"{passes} × " if passes > 1 else ""
        return (
            f"{what}{each:.4g} TFLOP × {count:,} / {rate:.1f} TFLOP/s",
            f"{passes * each * count / rate / 3600:.1f} h",
        )

    sound = (
        f"{SLAKH2100_HOURS:g} h of mixtures × {tflop['codec_hour']:.4g} TFLOP per hour / {rate:.1f} TFLOP/s"
    )
    coding = SLAKH2100_HOURS * tflop["codec_hour"] / rate / 3600
    step = f"{gpu['step_seconds']:g} s × {steps:,} steps"
    lines = [
        ("**Work**", "", ""),
        ("segments, were none too quiet", f"{SLAKH2100_HOURS:g} h × 3600 / {seconds:g} s", f"{segments:,}"),
        ("of these to train on", f"× {SLAKH2100['train']:,} / {tracks:,} tracks", f"{training:,}"),
        ("steps per epoch", f"{training:,} / {optim.batch}, rounded up", f"{epoch:,}"),
        ("steps of a training", f"× {optim.epochs} epochs", f"{steps:,}"),
        (f"**GPU-hours** ({gpu['device']}, {gpu['precision']})", "", ""),
        ("decomposition model, from measured steps", step, f"{gpu['step_seconds'] * steps / 3600:.1f} h"),
        (
            "share of an H200's peak",
            f"{rate:.1f} / {H200_TFLOPS:g} TFLOP/s",
            f"{100 * rate / H200_TFLOPS:.1f} %",
        ),
        ("latents, at the rate of these", sound, f"{coding:.1f} h"),
        ("prior", *hours(steps * params.prior.optim.batch, tflop["prior"], 3)),
        (f"separating the test split in {SAMPLING_STEPS} steps", *hours(test, tflop["sampling"])),
        ("**The same on the machine of the benchmarks**", "", ""),
        _cpu_training(steps, optim.batch),
        *_cpu_preprocessing(),
        ("**Disk**", "", ""),
        ("Slakh2100, packed, as its authors give it", "", f"{DOWNLOAD_GB:g} GB"),
        (
            "segments",
            f"{SLAKH2100_HOURS:g} h × 3600 × 24,000 × 2 bytes × {n} sources",
            f"{SLAKH2100_HOURS * 172.8e6 * n / 1e9:.0f} GB",
        ),
        (
            "latents",
            f"{SLAKH2100_HOURS:g} h × 3600 × 75 × 128 × 4 bytes",
            f"{SLAKH2100_HOURS * 138.24e6 / 1e9:.0f} GB",
        ),
        (
            "estimates, 32-bit float WAV",
            f"{test_hours:.1f} h of test × 3600 × 24,000 × 4 bytes × {n} sources × {methods} methods",
            f"{test_hours * 3600 * 24000 * 4 * n * methods / 1e9:.0f} GB",
        ),
        (
            "references, as waveforms and through the codec",
            f"{test_hours:.1f} h × 3600 × 24,000 × 4 bytes × (mixture + 2 × {n} sources)",
            f"{test_hours * 3600 * 24000 * 4 * (1 + 2 * n) / 1e9:.0f} GB",
        ),
        ("**Memory**", "", ""),
        _memory(optim.batch),
        ("its tensors on a GPU", f"measured, batch {gpu['batch']}", f"{gpu['peak_memory_mb'] / 1024:.1f} GB"),
        *_private(),
        ("**Network**", "", ""),
        ("download", "Slakh2100, and EnCodec's weights of 0.09 GB", f"{DOWNLOAD_GB + 0.09:.1f} GB"),
        (
            "latents of a step, where they lie on another machine",
            f"{optim.batch} × {optim.crop} frames × 128 channels × 4 bytes",
            f"{optim.batch * optim.crop * 128 * 4 / 1e6:.1f} MB",
        ),
        _gradients(),
        ("**The whole run, stage by stage**", "`pipelines/forecast.py`", ""),
        *_stages(),
    ]
    return lines


def _cpu_training(steps: int, batch: int) -> tuple[str, str, str]:
    what = "decomposition model"
    row = measured("against_scheme.csv", what="training step")
    if row is None:
        return what, "run `python -m benchmarks.against_scheme`", "not measured"
    own = int(row["what"].rsplit(" ", 1)[1])
    days = row["ours"] * batch / own * steps / 86400
    return what, f"{row['ours']:.3f} s × {batch}/{own} × {steps:,} steps", f"{days:,.0f} days"


def _cpu_preprocessing() -> list[tuple[str, str, str]]:
    row = measured("preprocessing.csv", codec="encodec_24khz", stage="both")
    if row is None or pd.isna(row["audio_hours_per_hour"]):
        return [("segments and latents", _ENCODEC, "not measured")]
    speed = row["audio_hours_per_hour"]
    return [
        (
            "segments and latents",
            f"{SLAKH2100_HOURS:g} h / {speed:g} hours of songs per hour",
            f"{SLAKH2100_HOURS / speed:.0f} h",
        )
    ]


def _memory(batch: int) -> tuple[str, str, str]:
    what = "a training step of the decomposition model"
    row = measured("against_scheme.csv", what="peak memory")
    if row is None:
        return what, "run `python -m benchmarks.against_scheme`", "not measured"
    own = int(row["what"].rsplit(" ", 1)[1])
    fixed = 5 * 4 * parameters() / 2**20
    grown = fixed + (row["ours"] - fixed) * batch / own
    kept = f"{fixed:.0f} MB (weights, gradients, two moments, average)"
    return what, f"{kept} + ({row['ours']:.0f} − {fixed:.0f}) MB × {batch}/{own}", f"{grown / 1024:.1f} GB"


def _private() -> list[tuple[str, str, str]]:
    lines = []
    for stage in ("segments", "latents"):
        row = measured("preprocessing.csv", codec="encodec_24khz", stage=stage)
        arithmetic = _ENCODEC if row is None else f"measured on {row['hours']:g} h"
        lines.append(
            (stage, arithmetic, "not measured" if row is None else f"{row['peak_private_mb']:.0f} MB")
        )
    return lines


def _stages() -> list[tuple[str, str, str]]:
    """What `pipelines.preset` says before the run, on both kinds of device."""
    params = setting("paper.yaml", {"data": {"path": "nowhere"}})
    lines = []
    for device in ("cpu", "cuda"):
        found = forecast(params, device)
        assert found is not None
        where = f"at the rates of {found.machine}"
        memory = f"{duration(found.total)}, {found.disk / 1e9:.0f} GB of disk, {found.memory / 1e9:.0f} GB of memory"
        lines.append(("all stages", where, memory))
        lines += [
            (f"stage {stage}", where, duration(seconds))
            for stage, seconds in found.seconds.items()
            if seconds >= 1800
        ]
    return lines


def _gradients() -> tuple[str, str, str]:
    what = "gradients of a step between two processes, each way"
    return what, f"{parameters():,} × 4 bytes", f"{parameters() * 4 / 1e6:.0f} MB"


def parameters() -> int:
    """Of the paper's decomposition model."""
    model = make_setting(setting("paper.yaml", {}), LATENT).build()
    return sum(parameter.numel() for parameter in model.parameters())


_ENCODEC = "run `python -m benchmarks.preprocessing --codec encodec_24khz --hours 0.1 0.2`"
TEXT = f"""# What Slakh2100 costs at the paper's setting

Written by `python -m benchmarks.scale`: arithmetic, not a run. Slakh2100's {sum(SLAKH2100.values()):,} tracks and
{SLAKH2100_HOURS:g} hours are its authors' figures; every segment is taken to be loud enough and every track to have
the sources, so that counts are upper bounds. Operations are counted by PyTorch's counter on one forward pass (a
multiply-accumulate is two, elementwise operations and Fourier transforms none) and tripled for a training step. The
decomposition model's hours are the step's time on a GPU (`benchmarks/gpu.csv`) times the steps; latents, prior and
separation are estimates
at the rate of operations that this step reached, a small part of the card's peak: the host starts kernels more slowly
than the card runs them. Times and memory of the CPU come from the machine and the run of
`benchmarks/against_scheme.csv` and `benchmarks/preprocessing.csv`; memory at batch 64 extrapolates the smaller batch's.
The last part is what `make repro` prints before it starts, on two cores and on a GPU: a step that was measured nowhere
has the rate of operations of the nearest one that was (`benchmarks/rates.csv`), so those of the supervised baselines at
these sizes are rough. For the default run it gives 2.4 hours, at the rates of a processor with AVX-512 and bfloat16;
on one without them `make repro` takes 3.5.

"""


@command
def main() -> None:
    argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=__doc__.split("\n")[0]
    ).parse_args()
    table = ["| | arithmetic | |", "|---|---|---|", *("| " + " | ".join(line) + " |" for line in rows())]
    with replacing(PAGE) as temporary:
        Path(temporary).write_text(TEXT + "\n".join(table) + "\n")
    print(PAGE.read_text())


if __name__ == "__main__":
    main()

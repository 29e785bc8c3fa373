"""What a run will cost: seconds of each stage, disk and memory, from its parameters and from rates measured before.

Arithmetic on tables that the repository keeps, so it takes no time and asks for nothing:

- `benchmarks/rates.csv`, kept by hand: steps of trainings and their operations, and what no other table has;
- `benchmarks/preprocessing.csv`: segments and latents;
- `reports/tables/cost.csv`: what methods took for a second of audio.

Every segment is taken to be loud enough and every track to have the sources, so that counts are upper bounds. The
operations of a network that is not in the table are those of the one of its kind that is nearest in size, times the
ratio of their sizes. Where no step of its kind was measured on the device, it has the rate of the step whose operations
are nearest. What has no network runs on the CPU.
"""

from __future__ import annotations

import math
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ucr.data.slakh.read import find_tracks
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_table
from ucr.foundation.params import OptimParams, Params, check_params
from ucr.foundation.schema import merge

ROOT = Path(__file__).resolve().parents[1]
RATES = ROOT / "benchmarks/rates.csv"
PREPROCESSING = ROOT / "benchmarks/preprocessing.csv"
COSTS = ROOT / "reports/tables/cost.csv"
REMEDY = "restore it from git"
SLAKH2100 = {"train": 1500, "validation": 375, "test": 225}  # tracks
SLAKH2100_HOURS = 145.0  # of mixtures, as the data set's authors give it
LATENTS = {"encodec_24khz": (128, 75), "encodec_48khz": (129, 150), "encodec_mini": (128, 75)}
ON_LATENTS = ("decomposition", "prior", "bootstrap")
FORWARD_AND_BACKWARD = 3  # forward passes that a training step costs
HELD = 5 * 4  # bytes for each weight: itself, gradient, two moments, average
ENCODEC = 3.61  # GFLOP of a second through its encoder, counted (docs/scale.md)
PROCESS = 350e6  # bytes of one with PyTorch
FLOAT, PCM = 4, 2  # bytes of a sample
RENDERED = 183_000  # bytes of a second of a song of `slakh_mini`: 671 MB of the default run
COSTED = 20  # segments that stage `cost` separates, with its repeats
ONCE = 8  # stages that every run has, apart from those of trainings and methods
HOUR, DAY = 3600, 86400
LISTED = 0.001  # of the whole, the least share of a stage that is named


@dataclass(frozen=True)
class Forecast:
    """Seconds by stage (those of every method together), bytes on disk, bytes of memory, and where rates are from."""

    seconds: dict[str, float]
    disk: float
    memory: float
    machine: str

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds.values())

    def __str__(self) -> str:
        lines = [
            f"forecast, were nothing done yet: {duration(self.total)}, {self.disk / 1e9:.1f} GB of disk, "
            f"{self.memory / 1e9:.1f} GB of memory (an estimate at the rates of {self.machine}: docs/scale.md)"
        ]
        if self.total >= HOUR:
            longest = sorted(self.seconds.items(), key=lambda item: -item[1])
            lines += [
                f"{duration(each):>12}  {stage}" for stage, each in longest if each >= LISTED * self.total
            ]
        return "\n".join(lines)


def duration(seconds: float) -> str:
    """Days, hours or minutes, whichever fits."""
    for unit, name in ((DAY, "days"), (HOUR, "hours")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.{int(seconds < 10 * unit)}f} {name}"
    return f"{seconds / 60:.0f} minutes"


def songs(params: Params) -> dict[str, tuple[int, float]] | None:
    """Tracks of each split, and the seconds of one; None where only reading them tells."""
    data = params.data
    if data.name == "slakh_mini":
        tracks, seconds = data.tracks.model_dump(), data.seconds.model_dump()
        return {split: (tracks[split], seconds[split]) for split in tracks}
    if data.name != "slakh2100":
        return None
    tracks = SLAKH2100
    try:
        found = [track.split for track in find_tracks(Path(data.path or "").expanduser())]
        tracks = {split: found.count(split) for split in SLAKH2100}
    except UserError:
        pass  # not there yet
    return {split: (tracks[split], SLAKH2100_HOURS * HOUR / sum(SLAKH2100.values())) for split in tracks}


def channel_squares(sizes: Mapping[str, Any]) -> float:
    """The sum of squares of a network's channels, which its operations nearly grow with; 1 for an unknown one."""
    if "channels" in sizes:
        channels = sizes["channels"]
        return sum(each**2 for each in channels) if isinstance(channels, list) else channels**2
    if {"B", "H", "L", "X", "R"} <= set(sizes):
        return sizes["B"] * sizes["H"] * sizes["X"] * sizes["R"] / sizes["L"]
    return 1.0


class Training(NamedTuple):
    """One of a stage's; `size` is its network's."""

    stage: str
    kind: str
    optim: OptimParams
    size: float

    @property
    def model(self) -> str:
        """Its folder's name under `models`."""
        return self.stage.removeprefix("train_").rpartition("@")[2]


def trainings(params: Params) -> Iterator[Training]:
    """All that a run trains, but for a codec."""

    def models(stage: str, own: Params) -> Iterator[Training]:
        for each in own.decomposition.trainings:
            networks = (each.encoder, each.denoiser)
            size = sum(channel_squares(network.model_dump()) for network in networks)
            yield Training(stage, "decomposition", each.optim, size * len(params.sources))

    yield from models("train_decomposition", params)
    for name, changes in params.variants.items():
        varied = merge(params.model_dump(), {"decomposition": changes})
        yield from models(f"train_variant@{name}", check_params(varied))
    yield Training(
        "train_prior", "prior", params.prior.optim, channel_squares(params.prior.denoiser.model_dump())
    )
    for name, each in params.supervised.items():
        yield Training(f"train_supervised@{name}", name, each.optim, channel_squares(each.network))
    for name, each in params.unsupervised.items():
        yield Training(f"train_unsupervised@{name}", name, each.optim, channel_squares(each.network))


class Rates:
    """What was measured: networks on one device, `cpu` or `cuda`, all else on the CPU."""

    def __init__(self, on: str):
        table = read_table(RATES, ["work", "device", "size", "gflop", "seconds"], remedy=REMEDY)
        self.of = table[table["gflop"].isna()].set_index("work")["seconds"]
        self.networks = table[table["gflop"].notna() & (table["device"] == "cpu")]
        self.steps = table[table["gflop"].notna() & table["seconds"].notna() & (table["device"] == on)]
        self.on = on
        self.machine = ", ".join(self.steps["machine"].unique())
        costs = read_table(COSTS, ["method"], ["rtf_1", "rtf_8"], REMEDY)
        self.factors = costs.set_index("method")[["rtf_1", "rtf_8"]].min(axis=1).fillna(0.0)

    def network(self, training: Training) -> tuple[float, float]:
        """Operations (GFLOP) of a crop forward, and the network's weights."""
        row = _nearest(_of_kind(self.networks, training.kind), "size", training.size)
        larger = training.size / row["size"]
        return float(row["gflop"] * larger * training.optim.crop / row["crop"]), float(
            row["parameters"] * larger
        )

    def forward(self, training: Training) -> float:
        """Seconds of a crop forward, in a batch."""
        gflop = self.network(training)[0]
        rows = _of_kind(self.steps, training.kind)
        row = _nearest(
            rows.assign(whole=rows["gflop"] * rows["batch"]), "whole", gflop * training.optim.batch
        )
        return float(row["seconds"] / (FORWARD_AND_BACKWARD * row["batch"]) * gflop / row["gflop"])

    def memory(self, training: Training) -> float:
        """Bytes of a step: weights, and what was measured beside them of the decomposition model, by operations."""
        gflop, weights = self.network(training)
        row = _nearest(_of_kind(self.steps, "decomposition"), "gflop", gflop)
        parts = gflop * training.optim.batch / training.optim.accumulate / (row["gflop"] * row["batch"])
        return float(PROCESS + HELD * weights + row["memory_mb"] * 1e6 * parts)

    def coding(self, codec: str) -> float:
        """Seconds of a codec for a second of audio; one without a network runs on the CPU."""
        if self.on == "cpu" or codec == "mel":
            return float(1 / self.preprocessing(codec, "latents")["audio_hours_per_hour"])
        row = self.steps.sort_values("gflop").iloc[-1]
        return float(row["seconds"] / (FORWARD_AND_BACKWARD * row["batch"]) * ENCODEC / row["gflop"])

    def preprocessing(self, codec: str, stage: str) -> pd.Series:
        """The row of the largest set; every neural codec counts as EnCodec."""
        table = read_table(
            PREPROCESSING, ["codec", "stage"], ["audio_hours_per_hour", "peak_private_mb"], REMEDY
        )
        measured = "mel" if codec == "mel" else "encodec_24khz"
        return table[(table["codec"] == measured) & (table["stage"] == stage)].iloc[-1]


def _of_kind(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    own = table[table["work"] == kind]
    return own if len(own) else table


def _nearest(table: pd.DataFrame, column: str, value: float) -> pd.Series:
    return table.iloc[int((table[column] / value).map(math.log).abs().argmin())]


def device() -> str:
    """Where networks run, told without importing PyTorch."""
    return "cuda" if shutil.which("nvidia-smi") else "cpu"


def forecast(params: Params, on: str) -> Forecast | None:
    """What the whole of a run takes on `cpu` or `cuda`, from nothing.

    None where only reading the songs tells how long they are. Further test sets count as a segment each; the training
    of a codec is not in it.
    """
    lengths = songs(params)
    if lengths is None:
        return None
    rates, n, generation = Rates(on), len(params.sources), params.generation
    length, rate = params.segments.seconds, params.segments.sample_rate
    heard = sum(tracks * each for tracks, each in lengths.values())
    counts = {split: tracks * math.floor(each / length) for split, (tracks, each) in lengths.items()}
    cut, tested = sum(counts.values()) * length, (counts["test"] + len(params.tests)) * length
    clips = (generation.count + generation.songs * (2**n + len(generation.strengths))) * length
    rendered = heard if params.data.name == "slakh_mini" else 0.0
    coding = rates.coding(params.codec.name)
    cutting = rates.preprocessing(params.codec.name, "segments")
    channels, frames = LATENTS.get(params.codec.name, (params.codec.bands, 75))

    seconds: defaultdict[str, float] = defaultdict(float)
    seconds |= {
        "data": rendered * rates.of["rendering"],
        "segments": heard / cutting["audio_hours_per_hour"],
        "latents": cut * coding,
        "references": n * tested * coding,
    }
    learned = (counts["train"] + counts["validation"]) * length
    if params.decomposition.guided:
        seconds["train_decomposition"] = learned * rates.of["grouping"]
    for name, changes in params.variants.items():
        seconds[f"train_variant@{name}"] = (
            learned * rates.of["refining" if "first" in changes else "grouping"]
        )
    work = list(trainings(params))
    forwards = {}  # seconds of a second of audio
    for each in work:
        crops = each.optim.total_steps(counts["train"]) * each.optim.batch
        seconds[each.stage] += crops * FORWARD_AND_BACKWARD * rates.forward(each)
        forwards[each.model] = (
            rates.forward(each) * (frames if each.kind in ON_LATENTS else rate) / each.optim.crop
        )

    methods = {
        name: max(
            rates.factors.get(name, 0.0),
            forwards.get(options["needs"].removeprefix("models/"), 0.0) * options.get("steps", 1),
        )
        for name, options in params.methods.items()
    }
    stages = ONCE + len({each.stage for each in work}) + 3 * len(methods)
    seconds |= {
        "separate": sum(methods.values()) * tested,
        "score": len(methods) * n * tested * rates.of["scoring"],
        "cost": sum(methods.values()) * length * COSTED,
        "generate": clips * (rates.of["generating"] + generation.prior_steps * forwards["prior"]),
        "score_generation": clips * rates.of["scoring generation"],
        "starting the stages": stages * rates.of["starting a stage"],
    }
    samples = tested * (1 + 2 * n + n * len(methods)) + clips * (1 + n)  # references, estimates, clips
    disk = rendered * RENDERED + cut * (n * rate * PCM + channels * frames * FLOAT) + samples * rate * FLOAT
    memory = max(
        rates.preprocessing(params.codec.name, "latents")["peak_private_mb"] * 1e6, *map(rates.memory, work)
    )
    return Forecast(seconds, disk, memory, rates.machine)

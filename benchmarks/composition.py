"""Where sources emerge from composition alone: rates and widths of the components' latents -> reports/composition.csv.

    python -m benchmarks.composition [--seeds 0] [--settings 1/1+8/8 "1/1+8/8 independence=0.1" ...]

Each setting is two latents, WIDTH/POOL+WIDTH/POOL: so many values, each the mean of so many frames. After it may stand
further differences of `decomposition`, KEY=VALUE or KEY.KEY=VALUE, the values in YAML. After `> second` stand those of
a second training, on what the first one's model makes of the mixtures: with the latents of `params.yaml`, which don't
differ. A run trains on the mixtures of `segments/` as `benchmarks.ablation` does, without any grouping, and is
measured on the validation split: by what needs no labels, and by SI-SDR and SI-SIR against the true sources, which
choose nothing. Runs that the table has are not repeated. At the end: Spearman's rank correlation of each label-free
figure with the mean SI-SDR over settings of latents alone, and the figure docs/composition.svg.

Label-free figures, of the components' shares of the validation mixtures (the codec's masks, on band magnitudes), means
over mixtures; all but the first two are new here:

- `validation_loss`, `remix_consistency_db`: the training's own.
- `correlation`: of the two components' time courses, band by band: the mean magnitude of Pearson's coefficient over all
  pairs of a band of one and a band of the other, weighted by their energies.
- `envelope_correlation`: the same of their loudness over all bands.
- `overlap`: entropy of the masks in bits, weighted by the mixture's energy.
- `kurtosis`: of the first component's loudness over time.
- `likeness`: cosine of the components' mean spectra.
- `smaller`: the smaller component's share of the energy.
- `consensus`: how much the masks agree with those of the other settings of the same seed, 1 being the same.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from torch import Tensor

from benchmarks.ablation import SEGMENTS, latents, run
from benchmarks.projects import REMEDY
from ucr.codecs.mel import MASK_EXPONENT
from ucr.foundation.errors import command
from ucr.foundation.files import read_table, write_csv
from ucr.foundation.params import load_params
from ucr.foundation.schema import merge
from ucr.model.decomposition import load_decomposition
from ucr.signal.masks import ratio_masks
from ucr.training.trainer import RUNS

TABLE = Path("reports/composition.csv")
FIGURE = Path("docs/composition.svg")
SETTINGS = [
    *(f"1/1+8/{pool}" for pool in (1, 2, 4, 8, 16, 32, 64)),
    *(f"1/1+{width}/8" for width in (1, 2, 4, 16, 32, 64)),
    *("2/1+8/8", "4/1+8/8", "2/1+16/8", "2/1+16/16"),
    *(f"1/1+8/8 independence={weight}" for weight in (0.1, 0.3, 1)),
    "1/1+8/8 independence=1 > second",
]
TOGETHER = 10  # mixtures
COMMON = {
    "guided": 0.0,
    "remix": 0.0,
    "iadb": {"alpha_zero_share": 1.0},
    "denoiser": {"channels": [64, 96], "kernels": [3, 3], "strides": [2, 2], "attention": [False, False]},
    "optim": {"steps": 400, "validate_every": 400, "crop": 128, "lr": 2e-3, "ema": 0.98},
}
LABEL_FREE = [
    *(
        "validation_loss",
        "remix_consistency_db",
        "correlation",
        "envelope_correlation",
        "overlap",
        "kurtosis",
    ),
    *("likeness", "smaller", "consensus"),
]


def changes(setting: str) -> dict:
    """Differences from params.yaml that make a setting."""
    structure, _, afterwards = (part.strip() for part in setting.partition(">"))
    latent_sizes, *further = structure.split()
    (fast_width, fast_pool), (slow_width, slow_pool) = (
        map(int, each.split("/")) for each in latent_sizes.split("+")
    )
    encoder = {
        "channels": [64, 64, max(8, fast_width, slow_width)],
        "width": [fast_width, slow_width],
        "pool": [fast_pool, slow_pool],
    }
    first = merge(COMMON | {"encoder": encoder}, _nested(further))
    if not afterwards:
        return {"decomposition": first}
    return {
        "decomposition": {"first": first, "denoiser": COMMON["denoiser"], **_nested(afterwards.split()[1:])}
    }


def _nested(assignments: list[str]) -> dict:
    """KEY.KEY=VALUE, the values in YAML, as mappings in mappings."""
    found: dict = {}
    for key, value in (each.split("=") for each in assignments):
        nested = yaml.safe_load(value)
        for name in reversed(key.split(".")):
            nested = {name: nested}
        found = merge(found, nested)
    return found


@torch.no_grad()
def masks(folder: Path, mixtures: Tensor) -> Tensor:
    """Each component's share of the magnitudes of mixtures' latents: float32[b, n, bands, frames]."""
    model, _, _ = load_decomposition(folder)
    parts = torch.cat([model.separate(batch, steps=1) for batch in mixtures.split(TOGETHER)])
    return ratio_masks(parts, MASK_EXPONENT / model.power, axis=1)


def correlation(first: Tensor, second: Tensor) -> float:
    """Mean magnitude of Pearson's coefficient of rows of [b, i, frames] and [b, j, frames], weighted by energy."""
    weights = first.sum(2)[:, :, None] * second.sum(2)[:, None, :]
    a, b = (x - x.mean(2, keepdim=True) for x in (first, second))
    a, b = (x / x.norm(dim=2, keepdim=True).clamp_min(1e-9) for x in (a, b))
    coefficients = torch.einsum("bit,bjt->bij", a, b).abs()
    return ((coefficients * weights).sum((1, 2)) / weights.sum((1, 2)).clamp_min(1e-9)).mean().item()


def label_free(shares: Tensor, magnitudes: Tensor) -> dict[str, float]:
    """The figures above, but for those of the training and the consensus."""
    energies = shares * magnitudes.square()[:, None]
    loudness = energies.sum(2)
    spectra = torch.nn.functional.normalize(energies.mean(3), dim=2)
    entropy = -(shares * shares.clamp_min(1e-9).log2()).sum(1) * magnitudes.square()
    centred = loudness[:, 0] - loudness[:, 0].mean(1, keepdim=True)
    fourth, second = (centred.pow(k).mean(1) for k in (4, 2))
    return {
        "correlation": correlation(energies[:, 0], energies[:, 1]),
        "envelope_correlation": correlation(loudness[:, :1], loudness[:, 1:]),
        "overlap": (entropy.sum((1, 2)) / magnitudes.square().sum((1, 2))).mean().item(),
        "kurtosis": (fourth / second.square().clamp_min(1e-12)).mean().item(),
        "likeness": spectra.prod(1).sum(1).mean().item(),
        "smaller": (loudness.sum(2) / loudness.sum((1, 2))[:, None]).min(1).values.mean().item(),
    }


def consensus(shares: list[Tensor], magnitudes: Tensor) -> list[float]:
    """How much the masks of each setting agree with those of the others, in the better order of the two components."""
    weights = magnitudes.square() / magnitudes.square().sum((1, 2), keepdim=True)

    def agreement(a: Tensor, b: Tensor) -> float:
        same, swapped = (((a[:, 0] - b[:, i]).abs() * weights).sum((1, 2)) for i in (0, 1))
        return 1 - torch.minimum(same, swapped).mean().item()

    pairs = np.array([[agreement(a, b) for b in shares] for a in shares])
    return ((pairs.sum(1) - 1) / max(1, len(shares) - 1)).tolist()


def add_runs(settings: list[str], seeds: list[int]) -> pd.DataFrame:
    """Train what the table lacks, then measure everything whose model is there, and write the table."""
    params = load_params()
    _, validation = latents(params, SEGMENTS)
    mixtures = torch.from_numpy(np.stack([validation.mixture(i) for i in range(len(validation))]))
    magnitudes = mixtures ** (1 / params.codec.power)
    rows = read_table(TABLE, remedy=REMEDY).to_dict("records") if TABLE.is_file() else []
    for seed in seeds:
        for setting in settings:
            name = f"composition {setting.replace('/', ':')}"
            if f"{name}-{seed}" in {row["run"] for row in rows}:
                continue
            row = run(name, changes(setting), seed)
            shares = masks(RUNS / f"ablation-{row['run']}", mixtures)
            rows.append(row | {"setting": setting} | label_free(shares, magnitudes))
            write_csv(TABLE, pd.DataFrame(rows))
    table = pd.DataFrame(rows)
    for _, own in table.groupby("seed"):
        folders = {i: RUNS / f"ablation-{name}" for i, name in own["run"].items()}
        if all(folder.is_dir() for folder in folders.values()):
            found = consensus([masks(folder, mixtures) for folder in folders.values()], magnitudes)
            table.loc[list(folders), "consensus"] = found
    write_csv(TABLE, table.round(4))
    return table


def draw(table: pd.DataFrame) -> None:
    """Loss, correlation and SI-SDR over the slow latent's rate and width."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    settings = table["setting"].str.extract(r"^1/1\+(?P<width>\d+)/(?P<pool>\d+)$").astype(float)
    sweeps = {"pool": settings["width"] == 8, "width": settings["pool"] == 8}
    titles = {"pool": "8 values every so many frames", "width": "so many values every 8 frames"}
    curves = {
        "mean SI-SDR [dB]": table[["si_sdr_drums", "si_sdr_bass"]].mean(axis=1),
        "validation loss": table["validation_loss"],
        "correlation of time courses": table["correlation"],
    }
    figure, axes = pyplot.subplots(3, 2, figsize=(8, 7), sharex="col", sharey="row", constrained_layout=True)
    for column, (axis_name, chosen) in enumerate(sweeps.items()):
        for row, (label, values) in enumerate(curves.items()):
            x, y = settings.loc[chosen, axis_name], values[chosen]
            axes[row, column].plot(x, y, "o", color="#0b6a75", markersize=4)
            axes[row, column].plot(y.groupby(x).mean(), color="#0b6a75")
            axes[row, column].set_xscale("log", base=2)
            axes[row, 0].set_ylabel(label)
        axes[-1, column].set_xlabel(titles[axis_name])
    figure.suptitle("A latent of 1 value per frame beside one of ...")
    figure.savefig(FIGURE, metadata={"Date": None})


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.composition", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--settings", nargs="+", default=SETTINGS, metavar="WIDTH/POOL+WIDTH/POOL")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    arguments = parser.parse_args()
    table = add_runs(arguments.settings, arguments.seeds)
    means = table.groupby("setting").mean(numeric_only=True)
    score = means[["si_sdr_drums", "si_sdr_bass"]].mean(axis=1)
    print(means.assign(score=score).sort_values("score")[["score", *LABEL_FREE]].round(3).to_string())
    plain = [setting for setting in means.index if " " not in setting]
    print(means.loc[plain, LABEL_FREE].corrwith(score[plain], method="spearman").round(2).to_string())
    draw(table)


if __name__ == "__main__":
    main()

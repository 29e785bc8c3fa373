"""Where sources emerge from composition alone: rates and widths of the components' latents -> reports/composition.csv.

    python -m benchmarks.composition [--seeds 0] [--settings 1/1+8/8 "1/1+8/8 independence=0.1" ...]
    python -m benchmarks.composition --task bass+piano --settings ... [--methods grouping_adapted nmf ...]
    python -m benchmarks.composition --codec encodec_mini --settings ...

Each setting is a latent for each component, WIDTH/POOL+WIDTH/POOL: so many values, each the mean of so many frames.
After it may stand further differences of `decomposition`, KEY=VALUE or KEY.KEY=VALUE, the values in YAML. After
`> second` stand those of a second training, on what the first one's model makes of the mixtures: with the latents of
`params.yaml`, which don't differ. A run trains on the mixtures of `segments/` as `benchmarks.ablation` does, or on
those of another task, without any grouping, and is measured on the validation split: by what needs no labels, and by
SI-SDR and SI-SIR against the true sources, which choose nothing. Runs that the table has are not repeated. `--methods`
adds scores of blind methods on the same split. In a neural codec the paper's mean composes. At the end: the label-free
figures of all settings of the task and codec, which settings they choose, and only then the scores; of the default task
also Spearman's rank correlation of each figure with the mean SI-SDR over settings of latents alone, and the figure
docs/composition.svg.

Label-free figures, of the components' shares of the validation mixtures (the mel codec's masks, on band magnitudes; of
a neural codec's components once they are decoded), means over mixtures and over pairs of components; all but the first
two are new here:

- `validation_loss`, `remix_consistency_db`: the training's own.
- `correlation`: of two components' time courses, band by band: the mean magnitude of Pearson's coefficient over all
  pairs of a band of one and a band of the other, weighted by their energies.
- `envelope_correlation`: the same of their loudness over all bands.
- `overlap`: entropy of the masks in bits, weighted by the mixture's energy.
- `kurtosis`: of the first component's loudness over time.
- `likeness`: cosine of the components' mean spectra.
- `smaller`: the smallest component's share of the energy.
- `consensus`, of the default task: how much the masks agree with those of the other settings of the same seed, 1 being
  the same.
"""

from __future__ import annotations

import argparse
from itertools import combinations, permutations
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd
import torch
import yaml
from torch import Tensor

from benchmarks.ablation import METRICS, run, segments_folder
from benchmarks.projects import REMEDY
from eval.quick import mean_si_scores
from ucr.codecs.mel import MASK_EXPONENT, MelCodec
from ucr.data.segments import SegmentStore
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_table, write_csv
from ucr.foundation.params import PARAMS_FILE, check_params
from ucr.foundation.schema import merge, read_yaml
from ucr.methods.contract import Oracle
from ucr.methods.registry import load_method
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
    sizes = [[int(number) for number in each.split("/")] for each in latent_sizes.split("+")]
    widths, pools = (list(numbers) for numbers in zip(*sizes, strict=True))
    encoder = {"channels": [64, 64, max(8, *widths)], "width": widths, "pool": pools}
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
def masks(folder: Path, audio: Tensor, mel: MelCodec) -> Tensor:
    """Each component's share of the magnitudes of mixtures float32[b, n_samples]: float32[b, n, bands, frames]."""
    model, setting, _ = load_decomposition(folder)
    codec = setting.make_codec(folder, torch.device("cpu"))
    found = []
    for batch in audio.split(TOGETHER):
        parts = model.separate(codec.encode(batch), steps=1)
        if codec.name != mel.name:
            sounds = codec.decode(parts.flatten(0, 1), batch.shape[-1])
            parts = mel.encode(sounds).unflatten(0, parts.shape[:2])
        found.append(ratio_masks(parts, MASK_EXPONENT / mel.power, axis=1))
    return torch.cat(found)


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
    pairs = list(combinations(range(shares.shape[1]), 2))
    return {
        "correlation": fmean(correlation(energies[:, i], energies[:, j]) for i, j in pairs),
        "envelope_correlation": fmean(
            correlation(loudness[:, i, None], loudness[:, j, None]) for i, j in pairs
        ),
        "overlap": (entropy.sum((1, 2)) / magnitudes.square().sum((1, 2))).mean().item(),
        "kurtosis": (fourth / second.square().clamp_min(1e-12)).mean().item(),
        "likeness": fmean((spectra[:, i] * spectra[:, j]).sum(1).mean().item() for i, j in pairs),
        "smaller": (loudness.sum(2) / loudness.sum((1, 2))[:, None]).min(1).values.mean().item(),
    }


def consensus(shares: list[Tensor], magnitudes: Tensor) -> list[float]:
    """How much the masks of each setting agree with those of the others, in the best order of the components."""
    weights = magnitudes.square() / magnitudes.square().sum((1, 2), keepdim=True)
    orders = [list(order) for order in permutations(range(shares[0].shape[1]))]

    def agreement(a: Tensor, b: Tensor) -> float:
        errors = [((a - b[:, order]).abs().sum(1) * weights).sum((1, 2)) / 2 for order in orders]
        return 1 - torch.stack(errors).min(0).values.mean().item()

    pairs = np.array([[agreement(a, b) for b in shares] for a in shares])
    return ((pairs.sum(1) - 1) / (len(shares) - 1)).tolist()


def study(task: str | None, codec: str) -> dict:
    """Differences from params.yaml that all settings of a task (None: the run's own) and of a codec share."""
    shared: dict = {"sources": task.split("+")} if task else {}
    if codec == "mel":
        return shared
    return shared | {
        "codec": {"name": codec, "needs": f"ucr/weights/{codec}"},
        "decomposition": {"composition": "mean", "normalise": "dataset", "guided": 0.0},
        "unsupervised": {},  # whose pseudo-labels are magnitudes
    }


def add_runs(
    settings: list[str], seeds: list[int], methods: list[str], task: str | None, codec: str
) -> pd.DataFrame:
    """Train or measure what the table lacks, and write the table: its rows of this task and codec."""
    shared = study(task, codec)
    params = check_params(merge(read_yaml(PARAMS_FILE), shared))
    store = SegmentStore(segments_folder(shared), "validation")
    audio = torch.from_numpy(np.stack([segment.mixture for segment in store]))
    mel = MelCodec(store.sample_rate, params.codec.bands, params.codec.power)
    magnitudes = mel.encode(audio) ** (1 / mel.power)
    prefix = " ".join(["composition", *([task] if task else []), *([codec] if codec != "mel" else [])])

    def known() -> pd.DataFrame:
        return read_table(TABLE, remedy=REMEDY) if TABLE.is_file() else pd.DataFrame(columns=["run"])

    def add(row: dict) -> None:
        write(pd.concat([known(), pd.DataFrame([row])], ignore_index=True))

    for seed in seeds:
        for setting in settings:
            name = f"{prefix} {setting.replace('/', ':')}"
            if f"{name}-{seed}" not in set(known()["run"]):
                row = run(name, merge(shared, changes(setting)), seed)
                shares = masks(RUNS / f"ablation-{row['run']}", audio, mel)
                add(row | {"setting": setting, "codec": codec} | label_free(shares, magnitudes))
    for name in methods:
        if f"{prefix} {name}" not in set(known()["run"]):
            _, method = load_method(name, params)
            if isinstance(method, Oracle):
                raise UserError(f"--methods: {name} sees the true sources: name a blind method")
            means, _ = mean_si_scores(method.separate_batch, store)
            scores = {
                f"{metric}_{source}": means[metric][source] for metric in METRICS for source in means[metric]
            }
            add({"run": f"{prefix} {name}", "task": params.task, "setting": name, "codec": codec} | scores)
    table = known()
    own = (table["task"] == params.task) & (table["codec"] == codec)
    for _, rows in table[own].groupby("seed") if not shared else []:
        folders = {i: RUNS / f"ablation-{name}" for i, name in rows["run"].items()}
        if len(folders) > 1 and all(folder.is_dir() for folder in folders.values()):
            found = consensus([masks(folder, audio, mel) for folder in folders.values()], magnitudes)
            table.loc[list(folders), "consensus"] = found
    write(table)
    return table[own]


def write(table: pd.DataFrame) -> None:
    """Write the table, whole numbers as such where a blind method has none."""
    whole = [name for name in ("seed", "steps", "seconds") if name in table]
    write_csv(TABLE, table.round(4).astype(dict.fromkeys(whole, "Int64")))


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


def show(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Print what chooses a setting, then what it scores; the label-free figures and mean SI-SDR of each setting."""
    means = table.groupby("setting").mean(numeric_only=True)
    figures = means.reindex(columns=LABEL_FREE).dropna(how="all")
    if len(figures):
        print(figures.sort_values("smaller").round(3).to_string())
        largest, least = figures["smaller"].idxmax(), figures["correlation"].idxmin()
        print(f"chosen by smaller: {largest}; by correlation: {least}")
    scores = means.filter(regex="^si_s").dropna(axis="columns", how="all")
    mean = scores.filter(like="si_sdr").mean(axis=1)
    print(scores.assign(mean=mean).sort_values("mean").round(1).to_string())
    return figures, mean


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.composition", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--task", metavar="SOURCE+SOURCE", help="of other sources than params.yaml's")
    parser.add_argument("--codec", choices=["mel", "encodec_mini"], default="mel")
    parser.add_argument("--settings", nargs="*", default=SETTINGS, metavar="WIDTH/POOL+WIDTH/POOL")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument(
        "--methods", nargs="+", default=[], metavar="METHOD", help="blind ones to stand beside"
    )
    arguments = parser.parse_args()
    table = add_runs(arguments.settings, arguments.seeds, arguments.methods, arguments.task, arguments.codec)
    figures, mean = show(table)
    if arguments.task or arguments.codec != "mel":
        return
    plain = [setting for setting in figures.index if " " not in setting]
    print(figures.loc[plain].corrwith(mean[plain], method="spearman").round(2).to_string())
    draw(table)


if __name__ == "__main__":
    main()

"""Which label-free figure ranks schemes as their scores do -> reports/criterion.csv.

    python -m benchmarks.criterion FOLDER

Every training of `reports/ablation.csv` that has been measured on the clips of FOLDER and whose model is still under
`runs/` separates the mixtures of two sets: the validation split, and the clips. From the mixtures and the estimates
alone come the figures below, means over mixtures; the scores stand beside them, and choose nothing. Shares are those of
the estimates' magnitudes in the bands of the run's codec, whatever codec a model has.

- `remix_consistency_db`: as in the training, on mixtures cut to one length.
- `correlation`, `envelope_correlation`, `overlap`, `kurtosis`, `likeness`, `smaller`, `consensus`: as
  `benchmarks.composition` has them; `consensus` is with all the other trainings.
- `agreement`: the consensus with the blind grouping of the mixture.
- `simplicity`: how well a few spectra describe the estimates (`baselines.ucr_consensus.weights`, its logarithm).
- `contrast`: how much more percussive one component is than the other: the difference of their shares of energy where
  median filters find it percussive.

A scheme, the mean of its seeds, is one of two halves: the first if the SHA-256 of its name is even, else the second.
The first chooses the figure, or the two whose mean rank follows the scores best, and the sign of each; Spearman's rank
correlation is reported of the second.
"""

from __future__ import annotations

import argparse
import hashlib
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from baselines import ucr
from baselines._shared.decomposition import Decomposition
from baselines._shared.grouping import decoded_labels
from baselines.ucr_consensus import weights
from benchmarks.ablation import SEGMENTS
from benchmarks.ablation import TABLE as TRAININGS
from benchmarks.clips import read_clips
from benchmarks.composition import consensus, label_free
from benchmarks.projects import REMEDY
from ucr.codecs import Codec, make_codec
from ucr.data.segments import SegmentStore
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_table, write_csv
from ucr.foundation.params import load_params
from ucr.training.grouping import percussive_share
from ucr.training.remixes import remix_consistency
from ucr.training.trainer import RUNS

TABLE = Path("reports/criterion.csv")
FIGURES = [
    *("remix_consistency_db", "correlation", "envelope_correlation", "overlap", "kurtosis", "likeness"),
    *("smaller", "consensus", "agreement", "simplicity", "contrast"),
]
TOGETHER = 8  # mixtures that are remixed with one another


def half(scheme: str) -> str:
    """Whether a scheme chooses the figure (`first`) or is what its choice is measured on (`second`)."""
    return "second" if int(hashlib.sha256(scheme.encode()).hexdigest(), 16) % 2 else "first"


@torch.no_grad()
def shares_of(codec: Codec, estimates: np.ndarray) -> Tensor:
    """Each estimate's share of the magnitudes, float32[1, n, bands, frames], of float32[n, n_samples]."""
    magnitudes = codec.encode(torch.from_numpy(estimates)) ** (1 / codec.power)
    return (magnitudes / magnitudes.sum(0).clamp_min(1e-9))[None]


def contrast(shares: Tensor, magnitudes: Tensor) -> float:
    """The figure of that name, of shares [1, n, bands, frames] of magnitudes [1, bands, frames]."""
    energies = shares[0] * magnitudes.square()
    percussive = torch.from_numpy(percussive_share(magnitudes[0].numpy()))
    each = (energies * percussive).sum((1, 2)) / energies.sum((1, 2)).clamp_min(1e-9)
    return (each.max() - each.min()).item()


def of_mixture(mixture: np.ndarray, methods: list[Decomposition], codec: Codec, seed: int) -> pd.DataFrame:
    """The figures of one mixture, float32[n_samples]; a row per method, without remix consistency."""
    estimates = np.stack([method.separate(mixture, codec.sample_rate, 2) for method in methods])
    grouped = shares_of(codec, decoded_labels(codec, mixture, 2, True, seed))
    shares = [shares_of(codec, each) for each in estimates]
    with torch.no_grad():
        magnitudes = codec.encode(torch.from_numpy(mixture)[None]) ** (1 / codec.power)
    table = pd.DataFrame([label_free(each, magnitudes) for each in shares])
    table["consensus"] = consensus(shares, magnitudes)
    table["agreement"] = [consensus([each, grouped], magnitudes)[0] for each in shares]
    table["simplicity"] = np.log(weights(estimates))
    table["contrast"] = [contrast(each, magnitudes) for each in shares]
    return table


@torch.no_grad()
def consistency(method: Decomposition, mixtures: list[np.ndarray]) -> float:
    """Remix consistency of a method's model on mixtures cut to the shortest, in dB."""
    length = min(len(mixture) for mixture in mixtures)
    latents = method.codec.encode(torch.from_numpy(np.stack([mixture[:length] for mixture in mixtures])))
    parts = [part for part in latents.split(TOGETHER) if len(part) > 1]
    return float(np.mean([remix_consistency(method.model, part) for part in parts]))


def measure(trainings: pd.DataFrame, sets: dict[str, list[np.ndarray]]) -> pd.DataFrame:
    """The figures of every training on every set of mixtures."""
    params = load_params()
    codec = make_codec(params.codec, params.segments.sample_rate)
    methods = []
    for name in trainings["run"]:
        methods.append(ucr.Method(steps=1))
        methods[-1].load(RUNS / f"ablation-{name}", params.sources)
    scores = {"validation": trainings[["si_sdr_drums", "si_sdr_bass"]].mean(axis=1)}
    scores["clips"] = trainings["si_sdr_clips"]
    parts = []
    for name, mixtures in sets.items():
        figures = sum(of_mixture(each, methods, codec, params.seed) for each in mixtures) / len(mixtures)
        figures["remix_consistency_db"] = [consistency(method, mixtures) for method in methods]
        schemes = trainings[["run", "variant", "seed"]].reset_index(drop=True)
        halves = schemes["variant"].map(half).rename("half")
        parts.append(pd.concat([schemes, halves, figures[FIGURES]], axis=1))
        parts[-1].insert(4, "set", name)
        parts[-1]["si_sdr"] = scores[name].to_numpy()
    return pd.concat(parts, ignore_index=True).round(4)


def correlations(schemes: pd.DataFrame) -> pd.Series:
    """Spearman's rank correlation of each figure with the SI-SDR."""
    return schemes[FIGURES].corrwith(schemes["si_sdr"], method="spearman")


def chosen(schemes: pd.DataFrame) -> tuple[tuple[str, ...], pd.Series]:
    """The one or two figures whose mean rank follows the scores best, and every figure's sign."""
    signs = np.sign(correlations(schemes))
    candidates = [(name,) for name in FIGURES] + list(combinations(FIGURES, 2))
    return max(candidates, key=lambda names: rank_correlation(schemes, names, signs)), signs


def rank_correlation(schemes: pd.DataFrame, names: tuple[str, ...], signs: pd.Series) -> float:
    """Spearman's rank correlation of the mean rank by some figures with the SI-SDR."""
    ranks = (schemes[list(names)] * signs[list(names)]).rank().mean(axis=1)
    return float(ranks.corr(schemes["si_sdr"], method="spearman"))


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.criterion", description=__doc__.split("\n")[0]
    )
    parser.add_argument("folder", type=Path, help="one folder of stems per clip")
    arguments = parser.parse_args()
    params = load_params()
    store = SegmentStore(SEGMENTS, "validation")
    sets = {
        "validation": [segment.mixture for segment in store],
        "clips": [sources.mean(axis=0) for sources in read_clips(arguments.folder, params).values()],
    }
    trainings = read_table(TRAININGS, ["run", "variant", "seed", "si_sdr_clips"], remedy=REMEDY)
    trainings = trainings[trainings["si_sdr_clips"].notna()]
    trainings = trainings[[(RUNS / f"ablation-{name}").is_dir() for name in trainings["run"]]]
    if trainings["variant"].nunique() < 2:
        raise UserError(
            f"{RUNS} holds models of fewer than two schemes: run `python -m benchmarks.ablation --clips` first"
        )
    table = measure(trainings, sets)
    write_csv(TABLE, table)
    for name, own in table.groupby("set"):
        halves = {
            which: part.groupby("variant").mean(numeric_only=True) for which, part in own.groupby("half")
        }
        print(name, {which: len(part) for which, part in halves.items()})
        print(
            pd.DataFrame({which: correlations(part) for which, part in halves.items()}).round(2).to_string()
        )
        if len(halves) == 2:
            names, signs = chosen(halves["first"])
            found = [f"{which} {rank_correlation(part, names, signs):.2f}" for which, part in halves.items()]
            print(f"chosen: {' and '.join(names)}; rank correlation {', '.join(found)}")


if __name__ == "__main__":
    main()

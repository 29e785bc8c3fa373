"""Which label-free figure ranks schemes as their scores do -> reports/criterion.csv.

    python -m benchmarks.criterion FOLDER

The trainings of `reports/seeds.csv`, `ablation.csv` and `composition.csv` whose weights are still there separate two
sets of mixtures: some of the validation split, and those of the clips in FOLDER. From the mixtures and the estimates
alone come the figures below, means over mixtures; the SI-SDR, mean over mixtures and sources, stands beside them and
chooses none. Shares are those of the estimates' magnitudes in the bands of the run's codec, whatever a method works on.

- `remix_consistency_db`: as `ucr.training.remixes` has it, of sounds cut to one length in place of latents.
- `correlation`, `envelope_correlation`, `overlap`, `kurtosis`, `likeness`, `smaller`, `consensus`: as
  `benchmarks.composition` has them; `consensus` is with all the other trainings.
- `agreement`: the consensus with the blind grouping of the mixture.
- `simplicity`: how well a few spectra describe the estimates (`baselines.ucr_consensus.weights`, its logarithm).
- `contrast`: how much more percussive one component is than the other: the difference of their shares of energy where
  median filters find it percussive.

A scheme is a method, a part of its steps, or a variant; its seeds count as their mean. It is of the first half if the
SHA-256 of its name is even, else of the second. The first half chooses the figure, or the two whose mean rank follows
the scores best, and the sign of each; Spearman's rank correlation is reported of the second.
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

from baselines._shared.grouping import decoded_labels
from baselines.ucr_consensus import weights
from benchmarks.ablation import SEGMENTS
from benchmarks.ablation import TABLE as TRAININGS
from benchmarks.clips import read_clips
from benchmarks.composition import TABLE as COMPOSITIONS
from benchmarks.composition import consensus, label_free
from benchmarks.projects import REMEDY
from benchmarks.seeds import TABLE as SEEDS
from benchmarks.seeds import trained_methods, weights_folder
from eval.scores import si_scores
from ucr.codecs import Codec, make_codec
from ucr.data.segments import SegmentStore
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_table, write_csv
from ucr.foundation.params import Params, load_params
from ucr.methods.contract import Baseline
from ucr.methods.registry import make_method
from ucr.training.grouping import percussive_share
from ucr.training.trainer import RUNS

TABLE = Path("reports/criterion.csv")
FIGURES = [
    *("remix_consistency_db", "correlation", "envelope_correlation", "overlap", "kurtosis", "likeness"),
    *("smaller", "consensus", "agreement", "simplicity", "contrast"),
]
EVERY = 5  # of the validation split, a mixture
TINY = 1e-9


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


def of_piece(sources: np.ndarray, methods: list[Baseline], codec: Codec, seed: int) -> pd.DataFrame:
    """A row per method: the figures of the mixture of float32[n, n_samples], but remix consistency, and the score."""
    mixture = sources.mean(axis=0)
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
    scores = [si_scores(sources[None], each[None], mixture[None])["si_sdr"] for each in estimates]
    table["si_sdr"] = [float(each.mean()) for each in scores]
    return table


def consistency(method: Baseline, mixtures: list[np.ndarray], sample_rate: int) -> float:
    """Remix consistency of a method on mixtures cut to the shortest, in dB: of its worse component."""
    length = min(len(mixture) for mixture in mixtures)
    estimates = np.stack([method.separate(mixture[:length], sample_rate, 2) for mixture in mixtures])
    joined = np.stack([estimates[:, 0], np.roll(estimates[:, 1], 1, axis=0)], axis=1)
    again = np.stack([method.separate(mixture, sample_rate, 2) for mixture in joined.mean(axis=1)])
    difference = np.square(joined - again).sum(axis=2)
    ratios = 10 * np.log10((np.square(joined).sum(axis=2) + TINY) / (difference + TINY))
    return float(ratios.min(axis=1).mean())


def known_trainings(params: Params) -> pd.DataFrame:
    """Scheme, seed, method and folder of the weights of every training whose weights are there."""
    rows = []
    if SEEDS.is_file():
        weights_of = trained_methods(params)
        for row in read_table(SEEDS, ["method", "seed", "share"], remedy=REMEDY).itertuples():
            part = "" if row.share == 1 else f", {row.share:g} of the steps"
            if row.method in weights_of:
                folder = weights_folder(weights_of[row.method], row.seed, row.share, params)
                rows.append((f"{row.method}{part}", row.seed, row.method, folder))
    for path in filter(Path.is_file, (TRAININGS, COMPOSITIONS)):
        known = read_table(path, ["run", "variant", "seed", "task"], remedy=REMEDY)
        for row in known[(known["task"] == params.task) & known["seed"].notna()].itertuples():
            rows.append((row.variant, int(row.seed), "ucr", RUNS / f"ablation-{row.run}"))
    table = pd.DataFrame(rows, columns=["scheme", "seed", "method", "folder"])
    return table[[folder.is_dir() for folder in table["folder"]]].reset_index(drop=True)


def measure(trainings: pd.DataFrame, sets: dict[str, list[np.ndarray]], params: Params) -> pd.DataFrame:
    """The figures and the score of every training on every set of sources, float32[n, n_samples] of each mixture."""
    codec = make_codec(params.codec, params.segments.sample_rate)
    methods = []
    for row in trainings.itertuples():
        _, method = make_method(row.method, params.methods[row.method])
        method.load(row.folder, params.sources)
        methods.append(method)
    parts = []
    for name, pieces in sets.items():
        figures = sum(of_piece(each, methods, codec, params.seed) for each in pieces) / len(pieces)
        mixtures = [sources.mean(axis=0) for sources in pieces]
        figures["remix_consistency_db"] = [
            consistency(method, mixtures, codec.sample_rate) for method in methods
        ]
        table = trainings[["scheme", "seed"]].assign(half=trainings["scheme"].map(half), set=name)
        parts.append(pd.concat([table, figures[[*FIGURES, "si_sdr"]]], axis=1))
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
        "validation": [store[i].sources for i in range(0, len(store), EVERY)],
        "clips": list(read_clips(arguments.folder, params).values()),
    }
    trainings = known_trainings(params)
    if trainings["scheme"].nunique() < 2:
        raise UserError(
            "there are weights of fewer than two schemes here: run `python -m benchmarks.ablation` or `.seeds` first"
        )
    table = measure(trainings, sets, params)
    write_csv(TABLE, table)
    for name, own in table.groupby("set"):
        halves = {
            which: part.groupby("scheme").mean(numeric_only=True) for which, part in own.groupby("half")
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

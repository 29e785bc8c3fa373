"""What another seed, or less or more training, changes in the score of a method -> reports/seeds.csv.

    python -m benchmarks.seeds [METHOD...] [--seeds 0 1 2] [--shares 0.25 4]

Every method that `params.yaml` trains is trained anew with other seeds of its initialisation, order of data, noise and
remixes, on the segments and latents of the run in this folder; seed 0 is the run's own. With `--shares` it is also
trained for a part or a multiple of its steps, its schedule as much shorter or longer. A row is one training and the
mean SI-SDR over the test split, in dB. Blind methods with a random start are measured with each seed, without training.
What the table has is not measured again. At the end: docs/training.svg, score against time of training. A step
takes as long as in the run's own training, so that all is by one clock.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import pandas as pd

from benchmarks.projects import REMEDY, run_stage, write_params
from benchmarks.tune import seeds_of
from eval.quick import mean_si_scores
from ucr.data.segments import SegmentStore
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_json, read_table, write_csv
from ucr.foundation.params import Params, load_params
from ucr.methods.contract import Baseline
from ucr.methods.registry import find, make_method
from ucr.training.trainer import RUNS

TABLE = Path("reports/seeds.csv")
FIGURE = Path("docs/training.svg")
MODELS = Path("models")
SHARED = ("segments", "latents")  # what trainings read


def trained_methods(params: Params) -> dict[str, str]:
    """Methods of the run and the folder of the weights that each needs: the first of those that share one."""
    found: dict[str, str] = {}
    for name, options in params.methods.items():
        needs = Path(options["needs"])
        if needs.parent == MODELS and needs.name not in found.values():
            found[name] = needs.name
    return found


def seeded_methods(params: Params) -> dict[str, str]:
    """Blind methods of the run that start at random; they have no weights."""
    codes = {name: options.get("code", name) for name, options in params.methods.items()}
    return {
        name: ""
        for name, code in codes.items()
        if find(code).meta.kind == "blind" and len(seeds_of(code)) > 1
    }


def stage_of(weights: str, params: Params) -> tuple[str, ...]:
    """The stage that trains `models/WEIGHTS`, and its argument."""
    if weights == "decomposition":
        return ("train_decomposition",)
    for stage, section in (
        ("train_supervised", params.supervised),
        ("train_unsupervised", params.unsupervised),
        ("train_variant", params.variants),
    ):
        if weights in section:
            return stage, weights
    raise UserError(f"params.yaml: no training makes models/{weights}: name another method")


def scaled(weights: str, share: float, params: Params) -> dict:
    """Differences from `params.yaml` that train `models/WEIGHTS` for a part or a multiple of its steps."""
    values = params.model_dump()
    whole = values["decomposition"]["optim"]
    if weights == "decomposition":
        return {"decomposition": {"optim": {"steps": round(share * whole["steps"])}}}
    section = next(name for name in ("supervised", "unsupervised", "variants") if weights in values[name])
    optim = values[section][weights].setdefault("optim", {})
    optim["steps"] = round(share * optim.get("steps", whole["steps"]))
    return {section: values[section]}


def weights_folder(weights: str, seed: int, share: float, params: Params) -> Path:
    """Where the weights of a training lie, or will: those of the run, or in a project of its own."""
    if seed == params.seed and share == 1:
        return MODELS / weights
    return RUNS / f"seeds-{weights}-{seed}-{share:g}" / MODELS / weights


def train(weights: str, seed: int, share: float, params: Params) -> Path:
    """Train in a project of its own, or find that done; the folder of the weights."""
    folder = weights_folder(weights, seed, share, params)
    if folder.parent != MODELS and not folder.is_dir():
        project = folder.parents[1]
        write_params(project, {"seed": seed} | scaled(weights, share, params))
        for name in SHARED:
            (project / name).unlink(missing_ok=True)
            (project / name).symlink_to(Path(name).resolve())
        run_stage(*((stage := stage_of(weights, params))[0], project), *stage[1:])
    return folder


def measure(name: str, weights: str, seed: int, share: float, params: Params) -> dict:
    """A row of the table: one training of a method, or one start of a blind one."""
    options = params.methods[name]
    folder = train(weights, seed, share, params) if weights else Path(options["needs"])
    method = make_method(name, options if weights else options | {"seed": seed})[1]
    assert isinstance(method, Baseline)
    method.load(folder, params.sources)
    means, _ = mean_si_scores(method.separate_batch, SegmentStore("segments", "test"))
    card = read_json(folder / "card.json") if weights else {"last": {"step": 0}, "ended_by": ""}
    return {
        "method": name,
        "seed": seed,
        "share": share,
        "steps": card["last"]["step"],
        "ended_by": card["ended_by"],
        **{f"si_sdr_{source}": value for source, value in means["si_sdr"].items()},
    }


def add_rows(methods: dict[str, str], trainings: list[tuple[int, float]], params: Params) -> pd.DataFrame:
    """Train and measure what the table lacks; it is written after each row."""
    rows = read_table(TABLE, remedy=REMEDY).to_dict("records") if TABLE.is_file() else []
    for (seed, share), (name, weights) in itertools.product(trainings, methods.items()):
        if (weights or share == 1) and (name, seed, share) not in {
            (row["method"], row["seed"], row["share"]) for row in rows
        }:
            rows.append(measure(name, weights, seed, share, params))
            write_csv(TABLE, pd.DataFrame(rows))
    return pd.DataFrame(rows)


def score_columns(table: pd.DataFrame) -> list[str]:
    return [str(column) for column in table if str(column).startswith("si_sdr_")]


def spread(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over the seeds of the whole trainings, a row per method."""
    whole = table[table["share"] == 1].groupby("method", sort=False)
    scores = whole[score_columns(table)]
    return scores.mean().join(scores.std().add_suffix("_sd")).assign(seeds=whole.size())


def seconds_of(weights: str, steps: pd.Series) -> pd.Series:
    """How long so many steps of the run's own training took, with the pseudo-labels or whatever else it needed."""
    card = read_json(MODELS / weights / "card.json")
    return card.get("preparation_seconds", 0.0) + card["last"]["seconds"] / card["last"]["step"] * steps


def draw(table: pd.DataFrame, methods: dict[str, str]) -> None:
    """Mean SI-SDR of both sources against seconds of training, a line per method through the means over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    import seaborn
    from matplotlib import pyplot

    points = table.assign(score=table[score_columns(table)].mean(axis=1))
    for name, own in table.groupby("method"):
        points.loc[own.index, "seconds"] = seconds_of(methods[str(name)], own["steps"])
    means = points.groupby(["method", "share"], sort=False)[["seconds", "score"]].mean().reset_index()
    figure, axes = pyplot.subplots(figsize=(8, 4.5), constrained_layout=True)
    look = {"hue": "method", "style": "method", "ax": axes}
    seaborn.lineplot(means, x="seconds", y="score", markers=True, dashes=False, **look)
    seaborn.scatterplot(points, x="seconds", y="score", legend=False, s=16, alpha=0.5, **look)
    axes.set(xscale="log", xlabel="training, s (with what it needs)", ylabel="mean SI-SDR of the sources, dB")
    figure.savefig(FIGURE, metadata={"Date": None})


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seeds", description=__doc__.split("\n")[0])
    parser.add_argument("methods", nargs="*", help="methods of params.yaml with a seed; all by default")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--shares", nargs="*", type=float, default=[], help="of the steps, with the first seed"
    )
    arguments = parser.parse_args()
    params = load_params()
    trained = trained_methods(params)
    known = trained | seeded_methods(params)
    if unknown := [name for name in arguments.methods if name not in known]:
        raise UserError(f"params.yaml has no seed for a method {unknown[0]!r}: choose of {', '.join(known)}")
    if bad := [share for share in arguments.shares if share <= 0]:
        raise UserError(f"--shares: {bad[0]:g} leaves no steps: name parts or multiples, as 0.25 or 4")
    trainings = [(seed, 1.0) for seed in arguments.seeds] + [
        (params.seed, share) for share in arguments.shares
    ]
    table = add_rows({name: known[name] for name in arguments.methods or known}, trainings, params)
    print(spread(table).round(2).to_string())
    draw(table[table["method"].isin(trained)], trained)


if __name__ == "__main__":
    main()

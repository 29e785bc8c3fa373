"""One rule for the settings of every method -> benchmarks/tune.csv.

    python -m benchmarks.tune [METHOD...]

Each method gets the settings of its paper, then one search: eight settings, the paper's among them, all in
`benchmarks/tune.yaml`. Every one separates all segments of the validation split, with three seeds where a method has
one. The highest mean SI-SDR over segments, sources and seeds is chosen, with the estimates in their best order. A
setting that leaves an estimate silent has no score and is never chosen. A supervised network's settings are differences
from `supervised` in `params.yaml`, and say all that varies among them, the steps of the search too: so many that all
of a network's trainings take about as long.

So blind and supervised methods are tuned on the true sources of the validation split: an advantage given to the rivals
of unsupervised methods, whose settings true sources never choose. These have a row without a score, which says so.
Settings that the table has are not measured again; docs/tuning.md says more.
"""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory

import pandas as pd
import torch

from baselines._shared.supervised import Supervised
from benchmarks.projects import REMEDY
from eval.quick import mean_si_scores
from ucr.data.segments import SegmentStore
from ucr.foundation.checkpoints import save_model
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_table, write_csv
from ucr.foundation.params import Params, check_params, load_params
from ucr.foundation.schema import merge, read_yaml
from ucr.foundation.workers import in_workers
from ucr.methods.contract import Baseline
from ucr.methods.registry import NOT_OPTIONS, find, make_method
from ucr.training.supervised import make_job
from ucr.training.trainer import finish, train

GRIDS = Path("benchmarks/tune.yaml")
TABLE = Path("benchmarks/tune.csv")
SEGMENTS = Path("segments")
SEEDS = (0, 1, 2)
PAPER, TRUE_SOURCES, LABEL_FREE = "paper", "true sources of the validation split", "label-free criterion"


def seeds_of(name: str) -> list[dict]:
    """The options that seed a method or its training: one empty for those without a random start."""
    method = find(name).method
    seeded = issubclass(method, Supervised) or "seed" in inspect.signature(method).parameters
    return [{"seed": seed} for seed in SEEDS] if seeded else [{}]


def searched(name: str, settings: dict) -> Params:
    """The parameters of a supervised network's training in the search."""
    values = load_params().model_dump()
    own = {"seed": values["seed"]} | settings
    seed = own.pop("seed")
    section = merge(values["supervised"][name], own)
    return check_params(values | {"seed": seed, "supervised": {name: section}}, GRIDS)


def trained(name: str, method: type[Supervised], settings: dict) -> Baseline:
    """A supervised network, trained on the run's segments with differences from its section of `params.yaml`."""
    params = searched(name, settings)
    training, validation = (SegmentStore(SEGMENTS, split) for split in ("train", "validation"))
    job, config = make_job(name, method, params, training, validation)
    train(job, torch.device("cpu"))
    with TemporaryDirectory() as folder:
        save_model(Path(folder), job.module, config, {})
        instance = method(device="cpu")
        instance.load(Path(folder), list(training.sources))
    finish(job)
    return instance


def score(name: str, settings: dict) -> dict[str, float]:
    """Mean SI-SDR of every source over the validation split, in dB."""
    cls = find(name).method
    method = trained(name, cls, settings) if issubclass(cls, Supervised) else make_method(name, settings)[1]
    assert isinstance(method, Baseline)
    return mean_si_scores(method.separate_batch, SegmentStore(SEGMENTS, "validation"))[0]["si_sdr"]


def search(name: str, grid: list[dict]) -> Iterator[dict]:
    """Measure every setting of a grid on all cores: a row each, as soon as it is there."""
    seeds = seeds_of(name)
    scores = in_workers(score, [(name, settings | seed) for settings in grid for seed in seeds])
    for settings in grid:
        own = list(islice(scores, len(seeds)))
        means = [fmean(each.values()) for each in own]
        yield {
            "method": name,
            "settings": json.dumps(settings),
            "seeds": len(seeds),
            "si_sdr": round(fmean(means), 3),
            "si_sdr_sd_of_seeds": round(stdev(means), 3) if len(means) > 1 else None,
            **{f"si_sdr_{source}": round(fmean(each[source] for each in own), 3) for source in own[0]},
        }


def with_choice(rows: list[dict], unfinished: str | None = None) -> pd.DataFrame:
    """The table, with `chosen_by` filled where a method's score is highest; of equals, the first.

    The method called `unfinished` has no choice yet.
    """
    table = pd.DataFrame(rows)
    finished = table[table["method"] != unfinished].dropna(subset="si_sdr")
    table["chosen_by"] = ""
    table.loc[finished.groupby("method").si_sdr.idxmax(), "chosen_by"] = TRUE_SOURCES
    return table


def unsupervised_rows(params: Params) -> list[dict]:
    """A row without a score for every unsupervised method of the run."""
    return [
        {
            "method": name,
            "settings": json.dumps({key: options[key] for key in options if key not in NOT_OPTIONS}),
            "from": "run",
            "chosen_by": LABEL_FREE,
        }
        for name, options in params.methods.items()
        if find(options.get("code", name)).meta.kind == "unsupervised"
    ]


def tune(grids: dict[str, list[dict]], params: Params) -> pd.DataFrame:
    """Search what the table lacks, and write it after each setting."""
    rows = []
    if TABLE.is_file():
        known = read_table(TABLE, remedy=REMEDY).drop(columns="chosen_by")
        rows = known[known["from"] != "run"].to_dict("records")
    for name, grid in grids.items():
        seeds = len(seeds_of(name))
        own = {row["settings"]: row for row in rows if row["method"] == name and row["seeds"] == seeds}
        others = [row for row in rows if row["method"] != name]
        for new in search(name, [each for each in grid if json.dumps(each) not in own]):
            own[new["settings"]] = new
            there = [each for each in grid if json.dumps(each) in own]
            rows = others + [
                own[json.dumps(each)] | {"from": PAPER if each is grid[0] else "search"} for each in there
            ]
            table = with_choice(rows, None if len(there) == len(grid) else name)
            table = pd.concat([table, pd.DataFrame(unsupervised_rows(params))])
            write_csv(TABLE, table.astype({"seeds": "Int64"}))
    return read_table(TABLE, remedy=REMEDY)


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tune", description=__doc__.split("\n")[0])
    parser.add_argument("methods", nargs="*", help=f"keys of {GRIDS}; all by default")
    names = parser.parse_args().methods
    grids = read_yaml(GRIDS)
    if unknown := [name for name in names if name not in grids]:
        raise UserError(
            f"{GRIDS} has no method {unknown[0]!r}: add its settings, or choose of {', '.join(grids)}"
        )
    table = tune({name: grids[name] for name in names or grids}, load_params())
    print(table[table["chosen_by"] != ""].to_string(index=False))


if __name__ == "__main__":
    from benchmarks import tune as module  # worker processes find functions by a name other than __main__

    module.main()

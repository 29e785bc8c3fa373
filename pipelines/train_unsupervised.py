"""Stage `train_unsupervised@METHOD`: mixtures -> models/METHOD. True sources are never read but as their mean."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ucr.data.segments import SegmentStore
from ucr.foundation.checkpoints import default_device
from ucr.foundation.errors import UserError, command
from ucr.foundation.params import load_params
from ucr.methods.registry import find
from ucr.training import bootstrap, mixit
from ucr.training.latents import open_latents
from ucr.training.results import model_card, save_training
from ucr.training.trainer import train

OUT = Path("models")
SPLITS = ("train", "validation")


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.train_unsupervised", description=__doc__)
    parser.add_argument("method", help="a key of `unsupervised` in params.yaml")
    name = parser.parse_args().method
    params = load_params()
    if name not in params.unsupervised:
        raise UserError(
            f"params.yaml: unsupervised lacks {name!r}: add it, or choose {', '.join(params.unsupervised)}"
        )
    method: Any = find(name).method
    preparation = 0.0
    if name == mixit.NAME:
        job, config = mixit.make_job(method, params, *(SegmentStore("segments", split) for split in SPLITS))
    else:
        latents = (open_latents("latents", split, sources=params.sources) for split in SPLITS)
        job, config, preparation = bootstrap.make_job(method, params, *latents)
    device = default_device()
    history = train(job, device)
    what = f"{name}, unsupervised baseline, trained on mixtures"
    card = model_card(params, job, history, device, what) | {"preparation_seconds": preparation}
    save_training(OUT / name, job, config, card, history)


if __name__ == "__main__":
    main()

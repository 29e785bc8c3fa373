"""Stage `train_supervised@METHOD`: segments with their true sources -> models/METHOD."""

from __future__ import annotations

import argparse
from pathlib import Path

from baselines._shared.supervised import Supervised
from ucr.data.segments import SegmentStore
from ucr.foundation.checkpoints import default_device
from ucr.foundation.errors import UserError, command
from ucr.foundation.params import load_params
from ucr.methods.registry import find
from ucr.training.results import model_card, save_training
from ucr.training.supervised import make_job
from ucr.training.trainer import train

SEGMENTS = Path("segments")
OUT = Path("models")


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.train_supervised", description=__doc__)
    parser.add_argument("method", help="a key of `supervised` in params.yaml")
    name = parser.parse_args().method
    params = load_params()
    if name not in params.supervised:
        raise UserError(
            f"params.yaml: supervised lacks {name!r}: add it, or choose {', '.join(params.supervised)}"
        )
    method = find(name).method
    if not issubclass(method, Supervised):
        raise UserError(f"{name} is not trained on true sources: take it out of `supervised` in params.yaml")
    training, validation = (SegmentStore(SEGMENTS, split) for split in ("train", "validation"))
    job, config = make_job(name, method, params, training, validation)
    device = default_device()
    history = train(job, device)
    card = model_card(params, job, history, device, f"{name}, supervised baseline, trained on true sources")
    save_training(OUT / name, job, config, card, history)


if __name__ == "__main__":
    main()

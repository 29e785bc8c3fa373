"""Stage `train_decomposition`: latents of mixtures -> models/decomposition. True sources are never read."""

from __future__ import annotations

from pathlib import Path

from pipelines import run_stage
from ucr.foundation.errors import command
from ucr.foundation.params import load_params
from ucr.training.decomposition import train_model

OUT = Path("models/decomposition")


@command
def main() -> None:
    train_model(load_params(), OUT)


if __name__ == "__main__":
    run_stage(main, __doc__)

"""Stage `train_variant`: a further decomposition model, with differences from `decomposition` -> models/VARIANT."""

from __future__ import annotations

import argparse
from pathlib import Path

from ucr.foundation.errors import UserError, command
from ucr.foundation.params import PARAMS_FILE, check_params
from ucr.foundation.schema import merge, read_yaml
from ucr.training.decomposition import train_model

OUT = Path("models")


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.train_variant", description=__doc__)
    parser.add_argument("variant", help="a key of `variants` in params.yaml")
    name = parser.parse_args().variant
    values = read_yaml(PARAMS_FILE)
    variants = check_params(values).variants
    if name not in variants:
        raise UserError(
            f"{PARAMS_FILE}: variants lacks {name!r}: add it, or choose from {', '.join(variants) or 'none'}"
        )
    params = check_params(
        merge(values, {"decomposition": variants[name]}), f"{PARAMS_FILE}, with variants.{name} merged"
    )
    train_model(params, OUT / name)


if __name__ == "__main__":
    main()

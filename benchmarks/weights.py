"""The shipped weights: check them against their cards, or ship those that were just trained.

    python -m benchmarks.weights list
    python -m benchmarks.weights verify [TASK | VARIANT/TASK]
    python -m benchmarks.weights ship [VARIANT]

`verify` separates the test split of the task's segments again and compares with the card's scores; `ship`
measures `models/decomposition` in the same way and puts it and `models/prior` in place, or the model of a variant. Both
need the task's segments: `dvc repro segments` makes them, with the task's `sources` in params.yaml.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch

from baselines import ucr as baseline
from eval.quick import mean_si_scores
from ucr.data.segments import SegmentStore
from ucr.foundation.checkpoints import CARD, WEIGHTS
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_json, replacing, write_json
from ucr.foundation.hashes import bytes_hash
from ucr.foundation.params import load_params
from ucr.foundation.provenance import code_version
from ucr.model.decomposition import load_decomposition
from ucr.model.prior import load_prior
from ucr.training.grouping import name_components
from ucr.weights import FOLDER

SEGMENTS = Path("segments")
MODELS = Path("models")
TOLERANCE_DB = 0.02  # another processor's rounding; measured scores are rounded to 0.001 dB
METRICS = ("si_sdr", "si_sir", "si_sar")
SEGMENTS_FIRST = (
    "run `dvc repro segments` with `sources: [{}]` in params.yaml, and its data as they are, first"
)


def measure(weights: Path, folder: Path = SEGMENTS) -> dict:
    """Separate the test split and score it: mean over segments, in dB, best order of the components.

    `test_audio` in the result is the SHA-256 of the test split's sources.
    """
    if not folder.is_dir():
        task = load_decomposition(weights)[1].sources
        raise UserError(f"{folder} does not exist: " + SEGMENTS_FIRST.format(", ".join(task)))
    store = SegmentStore(folder, "test")
    _, setting, _ = load_decomposition(weights)
    if store.sources != setting.sources:
        raise UserError(
            f"{folder} holds {'+'.join(store.sources)}, {weights} separates {'+'.join(setting.sources)}: "
            + SEGMENTS_FIRST.format(", ".join(setting.sources))
        )
    method = baseline.Method(steps=1)
    method.load(weights, setting.sources)
    means, _ = mean_si_scores(method.separate_batch, store)
    return {
        "test_audio": bytes_hash(segment.sources.tobytes() for segment in store),
        "n_segments": len(store),
        "steps": 1,
        **{metric: means[metric] for metric in METRICS},
    }


def shipped() -> list[str]:
    """Folders of the shipped decomposition models, in `ucr/weights`: TASK, or VARIANT/TASK."""
    return sorted(str(path.parent.relative_to(FOLDER)) for path in FOLDER.rglob(f"*+*/{CARD}"))


def verify(name: str) -> None:
    """Compare shipped weights, one of `shipped()`, with their card.

    Raises
    ------
    UserError
        If the hash, the test audio or a score is not the card's.
    """
    card = read_json(FOLDER / name / CARD)
    _, setting, _ = load_decomposition(FOLDER / name)
    found, wanted = measure(FOLDER / name), card["scores"]
    if found["test_audio"] != wanted["test_audio"]:
        raise UserError(
            f"{SEGMENTS} is not the test audio of {FOLDER / name / CARD}: "
            + SEGMENTS_FIRST.format(", ".join(setting.sources))
        )
    for metric in METRICS:
        for source, value in wanted[metric].items():
            again = found[metric][source]
            print(f"{name} {metric} {source}: card {value:.3f} dB, measured {again:.3f} dB")
            if abs(again - value) > TOLERANCE_DB:
                raise UserError(
                    f"{name}: {metric} of {source} is {again:.3f} dB, its card says {value:.3f} dB"
                )


@torch.no_grad()
def named_by_sound(weights: Path, folder: Path = SEGMENTS) -> list[str] | None:
    """Names of the components by how they sound in the validation split's mixtures; None if they can't be told."""
    model, setting, _ = load_decomposition(weights)
    if not model.additive:
        return None
    codec = setting.make_codec(weights, torch.device("cpu"))
    mixtures = torch.from_numpy(np.stack([segment.mixture for segment in SegmentStore(folder, "validation")]))
    components = model.separate(codec.encode(mixtures), steps=1)
    return name_components(setting.sources, components.numpy() ** (1 / model.power))


def ship(variant: str | None = None) -> Path:
    """Put trained weights among the shipped ones, with a card that says how well they separate, and their prior.

    Of a variant's weights, which have no prior, the folder is one in the variant's own.
    """
    trained, prior = MODELS / (variant or "decomposition"), MODELS / "prior"
    _, setting, card = load_decomposition(trained)
    if not variant:
        load_prior(prior, card["sha256"])
    task = "+".join(setting.sources)
    card = card | {
        "components": named_by_sound(trained),
        "params_file": f"params/weights/{variant or task}.yaml",
        "code": code_version(),
        "hours": round(card["last"]["seconds"] / 3600, 3),
        "label_free": {name: card["last"][name] for name in ("validation_loss", "remix_consistency_db")},
        "scores": measure(trained),
    }
    target = FOLDER / (variant or "") / task
    with replacing(target) as temporary:
        temporary.mkdir()
        shutil.copy(trained / WEIGHTS, temporary / WEIGHTS)
        write_json(temporary / CARD, card)
        if not variant:
            (temporary / prior.name).mkdir()
            for name in (WEIGHTS, CARD):
                shutil.copy(prior / name, temporary / prior.name / name)
    return target


@command
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weights", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="tasks and their cards' scores")
    shipping = commands.add_parser(
        "ship", help="put models/decomposition and models/prior among the shipped weights"
    )
    shipping.add_argument("variant", nargs="?", help="put models/VARIANT there instead")
    checking = commands.add_parser("verify", help="measure again and compare with the card")
    checking.add_argument(
        "task", nargs="?", default=load_params().task if Path("params.yaml").is_file() else None
    )
    chosen = parser.parse_args(arguments)
    if chosen.command == "ship":
        print(ship(chosen.variant))
    elif chosen.command == "list":
        for name in shipped():
            print(name, read_json(FOLDER / name / CARD)["scores"]["si_sdr"])
    elif chosen.task not in shipped():
        raise UserError(
            f"no weights are shipped for {chosen.task}: there are some for {', '.join(shipped())}"
        )
    else:
        verify(chosen.task)


if __name__ == "__main__":
    main()

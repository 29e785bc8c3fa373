"""The shipped weights: check them against their cards, or ship those that were just trained.

    python -m benchmarks.weights list
    python -m benchmarks.weights verify [TASK | NAME/TASK]
    python -m benchmarks.weights ship [NAME]
    python -m benchmarks.weights pieces FOLDER [TASK | NAME/TASK]

`pieces` puts on the card how the weights separate real stems, a folder for each piece as `benchmarks.clips` reads it.
`verify` separates the test split of the task's segments again and compares with the card's scores; `ship`
measures `models/decomposition` in the same way and puts it and `models/prior` in place, or `models/NAME`, of a variant
or a supervised method. Both need the task's segments: `dvc repro segments` makes them, with the task's `sources` in
params.yaml.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.clips import measure as measure_clips
from benchmarks.clips import read_clips
from eval.quick import mean_si_scores
from ucr.data.segments import SegmentStore
from ucr.foundation.checkpoints import CARD, WEIGHTS, load_model, save_tensors
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_json, replacing, write_json
from ucr.foundation.hashes import bytes_hash, file_hash
from ucr.foundation.params import load_params
from ucr.foundation.provenance import code_version
from ucr.methods.contract import Baseline
from ucr.methods.registry import find, make_method
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


def opened(weights: Path) -> tuple[Baseline, list[str]]:
    """The method of trained weights, loaded, and the sources that it separates."""
    _, config, _ = load_model(weights)
    name = config.get("method", "ucr")
    _, method = make_method(name, {"steps": 1} if find(name).meta.steps else {})
    assert isinstance(method, Baseline)
    method.load(weights, config["sources"])
    return method, config["sources"]


def measure(weights: Path, folder: Path = SEGMENTS) -> dict:
    """Separate the test split and score it: mean over segments, in dB, best order of the components.

    `test_audio` in the result is the SHA-256 of the test split's sources.
    """
    method, sources = opened(weights)
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist: " + SEGMENTS_FIRST.format(", ".join(sources)))
    store = SegmentStore(folder, "test")
    if store.sources != sources:
        raise UserError(
            f"{folder} holds {'+'.join(store.sources)}, {weights} separates {'+'.join(sources)}: "
            + SEGMENTS_FIRST.format(", ".join(sources))
        )
    means, _ = mean_si_scores(method.separate_batch, store)
    return {
        "test_audio": bytes_hash(segment.sources.tobytes() for segment in store),
        "n_segments": len(store),
        "steps": 1,
        **{metric: means[metric] for metric in METRICS},
    }


def shipped() -> list[str]:
    """Folders of the shipped weights that separate, in `ucr/weights`: TASK, or NAME/TASK."""
    return sorted(str(path.parent.relative_to(FOLDER)) for path in FOLDER.rglob(f"*+*/{CARD}"))


def verify(name: str) -> None:
    """Compare shipped weights, one of `shipped()`, with their card.

    Raises
    ------
    UserError
        If the hash, the test audio or a score is not the card's.
    """
    found = measure(FOLDER / name)
    _, config, card = load_model(FOLDER / name)
    wanted = card["scores"]
    if found["test_audio"] != wanted["test_audio"]:
        raise UserError(
            f"{SEGMENTS} is not the test audio of {FOLDER / name / CARD}: "
            + SEGMENTS_FIRST.format(", ".join(config["sources"]))
        )
    for metric in METRICS:
        for source, value in wanted[metric].items():
            again = found[metric][source]
            print(f"{name} {metric} {source}: card {value:.3f} dB, measured {again:.3f} dB")
            if abs(again - value) > TOLERANCE_DB:
                raise UserError(
                    f"{name}: {metric} of {source} is {again:.3f} dB, its card says {value:.3f} dB"
                )


def add_pieces(name: str, folder: Path) -> dict:
    """Put the mean SI-SDR over the pieces of a folder on a card, by source, in dB; the mean mixture is separated."""
    method, sources = opened(FOLDER / name)
    params = load_params().model_copy(update={"sources": sources})
    clips = read_clips(folder, params)
    rows = pd.DataFrame(measure_clips(name, method, clips, params))
    means = rows.groupby("source")["si_sdr"].mean().round(3)
    found = {"pieces": list(clips), "si_sdr": {source: float(means[source]) for source in sources}}
    path = FOLDER / name / CARD
    write_json(path, read_json(path) | {"real_pieces": found})
    return found


@torch.no_grad()
def of_decomposition(weights: Path, card: dict, folder: Path = SEGMENTS) -> dict:
    """What only a decomposition model's card says: its label-free figures, and names of the components by their sound.

    The names come from the validation split's mixtures; there are none if the components can't be told.
    """
    model, setting, _ = load_decomposition(weights)
    names = None
    if model.additive:
        codec = setting.make_codec(weights, torch.device("cpu"))
        mixtures = np.stack([segment.mixture for segment in SegmentStore(folder, "validation")])
        components = model.separate(codec.encode(torch.from_numpy(mixtures)), steps=1)
        names = name_components(setting.sources, components.numpy() ** (1 / model.power))
    label_free = {name: card["last"][name] for name in ("validation_loss", "remix_consistency_db")}
    return {"components": names, "label_free": label_free}


def halve(trained: Path, folder: Path, card: dict, **config) -> dict:
    """Write weights in half precision, their configuration changed by `config`; the card with their hash."""
    folder.mkdir()
    tensors, known, _ = load_model(trained)
    save_tensors(folder / WEIGHTS, {name: tensor.half() for name, tensor in tensors.items()}, known | config)
    return card | {"sha256": file_hash(folder / WEIGHTS)}


def ship(name: str | None = None) -> Path:
    """Put trained weights among the shipped ones, at half their size, with a card that says how well they separate.

    With `models/decomposition` goes its prior; `models/NAME` has none, and gets a folder of its own.
    """
    trained, prior = MODELS / (name or "decomposition"), MODELS / "prior"
    _, config, card = load_model(trained)
    if not name:
        load_prior(prior, card["sha256"])
    task = "+".join(config["sources"])
    target = FOLDER / (name or "") / task
    with replacing(target) as temporary:
        card = halve(trained, temporary, card)
        write_json(temporary / CARD, card)
        if not name:
            own = halve(prior, temporary / prior.name, read_json(prior / CARD), decomposition=card["sha256"])
            write_json(temporary / prior.name / CARD, own)
        if "method" not in config:
            card |= of_decomposition(temporary, card)
        card |= {
            "params_file": f"params/weights/{name or task}.yaml",
            "code": code_version(),
            "hours": round(card["last"]["seconds"] / 3600, 3),
            "scores": measure(temporary),
        }
        write_json(temporary / CARD, card)
    return target


@command
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weights", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="tasks and their cards' scores")
    shipping = commands.add_parser(
        "ship", help="put models/decomposition and models/prior among the shipped weights"
    )
    shipping.add_argument("name", nargs="?", help="put models/NAME there instead")
    checking = commands.add_parser("verify", help="measure again and compare with the card")
    adding = commands.add_parser("pieces", help="put on the card how the weights separate real pieces")
    adding.add_argument("folder", type=Path, help="one folder per piece, with a file of each source in it")
    for command_of_task in (checking, adding):
        command_of_task.add_argument(
            "task", nargs="?", default=load_params().task if Path("params.yaml").is_file() else None
        )
    chosen = parser.parse_args(arguments)
    if chosen.command == "ship":
        print(ship(chosen.name))
    elif chosen.command == "list":
        for name in shipped():
            print(name, read_json(FOLDER / name / CARD)["scores"]["si_sdr"])
    elif chosen.task not in shipped():
        raise UserError(
            f"no weights are shipped for {chosen.task}: there are some for {', '.join(shipped())}"
        )
    elif chosen.command == "pieces":
        print(add_pieces(chosen.task, chosen.folder))
    else:
        verify(chosen.task)


if __name__ == "__main__":
    main()

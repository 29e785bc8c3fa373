"""Weights on disk: one safetensors file that says how to build its model, and a card beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ucr.foundation.data_params import NAME, SourceName
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_json, replacing, write_json
from ucr.foundation.hashes import file_hash
from ucr.foundation.schema import Description

WEIGHTS = "model.safetensors"
CARD = "card.json"
FIRST_TRAINING = "first"  # in a folder of weights that a second training trained: those of the first
TIMEOUT = (5, 30)  # seconds until a connection is made, and without a byte on it


class Separation(Description):
    """What every separation method's weights say of themselves: the sources that they know, and the rate in Hz."""

    sources: list[SourceName] = Field(min_length=2)
    sample_rate: int = Field(gt=0)


def save_tensors(path: str | Path, tensors: dict[str, Tensor], config: dict) -> None:
    """Write tensors and a JSON-able `config` to one safetensors file, whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={"config": json.dumps(config)}))


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Read what `save_tensors` wrote; data only, never code.

    Raises
    ------
    UserError
        If the file is missing, cut short, or not safetensors (a pickled checkpoint, say).
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist: run the stage that trains it, or fix the path")
    try:
        with safe_open(str(path), framework="pt") as file:
            config = json.loads((file.metadata() or {})["config"])
            return {name: file.get_tensor(name) for name in file.keys()}, config  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} is not a whole safetensors file of this project ({type(error).__name__}: {error}): "
            "delete it and train again, or convert it to safetensors; pickled checkpoints are never loaded"
        ) from None


def save_model(folder: str | Path, module: nn.Module, config: dict, card: dict) -> None:
    """Write `model.safetensors` and `card.json`, which holds its checksum, into `folder`."""
    folder = Path(folder)
    save_tensors(folder / WEIGHTS, module.state_dict(), config)
    write_json(folder / CARD, {**card, "sha256": file_hash(folder / WEIGHTS)})


def load_model(folder: str | Path) -> tuple[dict[str, Tensor], dict, dict]:
    """Read a model folder.

    Returns
    -------
    tensors, config, card

    Raises
    ------
    UserError
        If a file is missing or damaged, or the weights are not those of the card.
    """
    folder = Path(folder)
    tensors, config = load_tensors(folder / WEIGHTS)
    card = read_json(folder / CARD) if (folder / CARD).is_file() else {}
    if card.get("sha256") not in (None, file_hash(folder / WEIGHTS)):
        raise UserError(
            f"{folder / WEIGHTS} is not the file that {folder / CARD} describes: restore one of the two"
        )
    return tensors, config, card


def fill(module: nn.Module, tensors: dict[str, Tensor], path: str | Path) -> None:
    """Load `tensors` into `module`, in evaluation mode; a `UserError` names the first tensor that doesn't fit."""
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise UserError(
                f"{path}: tensor {name} has shape {found.get(name, 'none')}, the model needs "
                f"{expected.get(name, 'none')}: use weights trained with these parameters"
            )
    module.load_state_dict(tensors)
    module.eval()


def read_weights(path: Path, key: str) -> dict[str, Tensor]:
    """Read the state dictionary that the user names as the parameter `key`, from safetensors or PyTorch's own format.

    Tensors alone are read; code is never run.
    """
    if not path.is_file():
        raise UserError(f"{key}: {path} does not exist: fix the path")
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except SafetensorError as error:
        raise UserError(f"{key}: {path} is not a whole safetensors file ({error}): replace it") from None
    except Exception:  # a damaged file makes the loader fail in many ways
        raise UserError(
            f"{key}: {path} is damaged or holds something else than tensors: replace it"
        ) from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{key}: {path} holds no state dictionary of tensors: replace it")
    return state


def download_weights(url: str, sha256: str, remedy: str) -> Path:
    """Fetch a file of weights once, whole or not at all, into PyTorch's cache of checkpoints (`TORCH_HOME`).

    Parameters
    ----------
    url
        Of the file.
    sha256
        What its checksum begins with; empty if the publisher gives none.
    remedy
        What to do where it can't be had, for the sentence of the error.

    Raises
    ------
    UserError
        If it does not arrive, or is another file.
    """
    import requests

    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if path.is_file():
        if not file_hash(path).startswith(sha256):
            raise UserError(f"{path} is not the file that was published: delete it to download it again")
        return path
    try:
        with replacing(path) as temporary:
            with requests.get(url, stream=True, timeout=TIMEOUT) as answer, temporary.open("wb") as file:
                answer.raise_for_status()
                for chunk in answer.iter_content(1 << 20):
                    file.write(chunk)
            if not file_hash(temporary).startswith(sha256):
                raise UserError(f"{url} is not the file that was published: {remedy}")
    except requests.RequestException as error:
        raise UserError(f"{url} can't be downloaded ({type(error).__name__}): {remedy}") from None
    return path


def component_names(card: dict, n_components: int) -> list[str]:
    """The sources that the components of weights are, where their card says so, else `component_0` and so on.

    Raises
    ------
    UserError
        If the card says something else than as many different names.
    """
    names = card.get("components") or [f"component_{i}" for i in range(n_components)]
    good = isinstance(names, list) and all(isinstance(name, str) and NAME.fullmatch(name) for name in names)
    if not good or len(set(names)) != n_components or len(names) != n_components:
        raise UserError(f"a card of weights names its components {names}: {n_components} names are needed")
    return names


def default_device() -> torch.device:
    """The first GPU, under `torchrun` the process's own, or the CPU where there is none.

    Raises
    ------
    UserError
        If `torchrun` started more processes than there are GPUs.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    index, count = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if index >= count:
        raise UserError(f"there are fewer GPUs than processes: give torchrun --nproc-per-node {count}")
    return torch.device("cuda", index)


def device_named(name: str | None) -> torch.device:
    """The device called `name`, such as `cpu` or `cuda:1`; None is the default one.

    Raises
    ------
    UserError
        If there is no such device here.
    """
    if name is None:
        return default_device()
    try:
        return torch.zeros(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UserError(f"there is no device {name!r} here: choose cpu, or leave it out") from None

"""What the contract tests need to build a method: its options and, for trained ones, tiny random weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from baselines._shared.pretrained import SOURCES
from ucr.codecs import make_codec
from ucr.foundation.checkpoints import save_model
from ucr.foundation.files import write_json
from ucr.foundation.params import Params
from ucr.foundation.without_torchaudio import torchaudio_or_an_empty_module
from ucr.methods.registry import find
from ucr.model.decomposition import Setting


def random_network(name: str, **sizes) -> Callable[[Path, Params], None]:
    """What writes weights of a supervised method's network of these sizes, as they are before training."""

    def write(folder: Path, params: Params) -> None:
        torch.manual_seed(0)
        network = find(name).method.make_network(2, params.segments.sample_rate, **sizes)
        config = {"method": name, "sources": params.sources, "sample_rate": params.segments.sample_rate}
        save_model(folder, network, config | {"network": sizes}, {})

    return write


# THE HOOK for methods that need trained weights: name -> function(folder, params) that writes tiny,
# randomly initialised weights into `folder`, for two sources. Without an entry, a trained method's
# contract tests are skipped.
TINY_WEIGHTS: dict[str, Callable[[Path, Params], None]] = {
    "ucr": lambda folder, params: tiny_decomposition(folder, params),
    "ucr_masked": lambda folder, params: tiny_decomposition(folder, params),
    "ucr_composed": lambda folder, params: tiny_decomposition(folder, params),
    "ucr_composed_pretrained": lambda folder, params: tiny_decomposition(folder / params.task, params),
    "ucr_pretrained": lambda folder, params: tiny_decomposition(folder / params.task, params),
    "ucr_adapted": lambda folder, params: tiny_decomposition(folder / params.task, params),
    "ucr_consensus": lambda folder, params: tiny_decomposition(folder / params.task, params),
    "demucs": random_network("demucs", channels=4, depth=2, lstm_layers=1, resample=False),
    "htdemucs": random_network("htdemucs", channels=8, nfft=2048, t_layers=1, t_heads=2, bottom_channels=8),
    "conv_tasnet": random_network("conv_tasnet", N=16, L=32, B=8, H=16, Sc=8, P=3, X=2, R=1),
    "conv_tasnet_pretrained": lambda folder, params: TINY_WEIGHTS["conv_tasnet"](
        folder / params.task, params
    ),
    "mixit": random_network("mixit", N=16, L=32, B=8, H=16, Sc=8, P=3, X=2, R=1),
    "bootstrap": lambda folder, params: tiny_bootstrap(folder, params),
}


def published_htdemucs(folder: Path, **sizes) -> str:
    """Random weights of HTDemucs in a file as demucs publishes them; the file's path."""
    from demucs.htdemucs import HTDemucs

    torch.manual_seed(0)
    network = HTDemucs(list(SOURCES), segment=Fraction(39, 5), **sizes)
    segment = {"_type": "fraction", "numerator": 39, "denominator": 5}
    described = {
        "klass": "demucs.htdemucs.HTDemucs",
        "args": "[]",
        "kwargs": json.dumps({"sources": list(SOURCES), "segment": segment, **sizes}),
    }
    state = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, folder / "955717e8.safetensors", metadata=described)
    return str(folder / "955717e8.safetensors")


def published_openunmix(folder: Path) -> str:
    """Random weights of Open-Unmix in files as its authors publish them; the folder's path."""
    with torchaudio_or_an_empty_module():
        from openunmix.model import OpenUnmix

    torch.manual_seed(0)
    for source in SOURCES:
        state = OpenUnmix(2049, 2, 512, max_bin=1487).state_dict()
        torch.save({**state, "stft.window": torch.hann_window(4096)}, folder / f"{source}-00000000.pth")
    return str(folder)


# The same for methods with weights that others published: name -> function(folder) -> their option `weights`.
PUBLISHED: dict[str, Callable[[Path], str]] = {
    "htdemucs_pretrained": partial(published_htdemucs, channels=8, t_layers=1, t_heads=2, bottom_channels=16),
    "openunmix_pretrained": published_openunmix,
}

# Options that make a method quick enough to test; `{}` elsewhere.
QUICK_OPTIONS: dict[str, dict] = {
    "ucr": {"steps": 2},
    "ucr_masked": {"steps": 2},
    "ucr_composed": {"steps": 2},
    "ucr_composed_pretrained": {"steps": 2},
    "ucr_pretrained": {"steps": 2},
    "ucr_adapted": {"steps": 2},
    "ucr_consensus": {"steps": 2},
}


def pretend_music(n_sources: int, n_samples: int, sample_rate: int = 24000) -> np.ndarray:
    """Sources that differ as instruments do: decaying noise, and plucked tones."""
    rng = np.random.default_rng(0)
    time = np.arange(n_samples) / sample_rate
    drums = rng.standard_normal(n_samples) * np.exp(-20 * (time % 0.5))
    sources = [0.2 * drums]
    for voice in range(1, n_sources):
        pitch = 55.0 * voice * 2 ** (rng.integers(0, 12, size=len(time) // 12000 + 1) / 12)
        phase = 2 * np.pi * np.cumsum(pitch[np.arange(n_samples) // 12000]) / sample_rate
        tone = sum(np.sin(k * phase) / k for k in range(1, 6))
        sources.append(0.3 * tone * np.exp(-2 * (time % 0.5)))
    return np.stack(sources).astype(np.float32)


def tiny_decomposition(folder: Path, params: Params) -> None:
    """Write a small random decomposition model of the run's codec and sources."""
    decomposition = params.decomposition.model_dump()
    decomposition["encoder"]["channels"] = [8, 1]
    decomposition["denoiser"] |= {
        "channels": [16, 16],
        "kernels": [3, 3],
        "strides": [2, 2],
        "attention": [False, True],
    }
    random_decomposition(folder, params, decomposition)


def random_decomposition(folder: Path, params: Params, decomposition: dict) -> None:
    """Write a random decomposition model of these parameters, of the run's codec and sources."""
    codec = make_codec(params.codec, params.segments.sample_rate)
    setting = Setting(
        sources=params.sources,
        sample_rate=codec.sample_rate,
        codec=params.codec.model_dump(),
        codec_fingerprint=codec.fingerprint,
        channels=codec.channels,
        frame_rate=codec.frame_rate,
        mean=0.0,
        std=1.0,
        params=decomposition,
    )
    torch.manual_seed(0)
    save_model(folder, setting.build(), setting.to_config(), {"what": "random weights"})


def tiny_bootstrap(folder: Path, params: Params) -> None:
    """Write a small random mask network of the run's codec and sources."""
    codec = make_codec(params.codec, params.segments.sample_rate)
    sizes = {"channels": [16], "kernels": [3], "strides": [2], "attention": [True], "dropout": 0.0}
    torch.manual_seed(0)
    network = find("bootstrap").method.make_network(2, codec.channels, params.codec.power, **sizes)
    config = {"method": "bootstrap", "sources": params.sources, "sample_rate": codec.sample_rate}
    config |= {"codec": params.codec.model_dump(), "codec_fingerprint": codec.fingerprint, "network": sizes}
    save_model(folder, network, config, {})


def describe_codec(folder: Path, params: Params) -> None:
    """Write what the stage `latents` says of the run's codec."""
    codec = make_codec(params.codec, params.segments.sample_rate)
    described = {"codec": params.codec.model_dump(), "fingerprint": codec.fingerprint}
    write_json(folder / "latents.json", described | {"sample_rate": codec.sample_rate})

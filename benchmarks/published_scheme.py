"""The published scheme, minimal: float32, one component, one segment, one track and one signal after the other.

Written from the paper's description; it has none of the waste that a full program adds.
"""

from __future__ import annotations

import functools
import statistics
import time
from pathlib import Path

import librosa
import lmdb
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from ucr.codecs import Codec
from ucr.codecs.encodec import untrained
from ucr.data.slakh.read import find_tracks, stem_paths
from ucr.foundation.params import Params
from ucr.model import iadb
from ucr.model.decomposition import DecompositionModel
from ucr.training.trainer import Job


def loss_of(model: DecompositionModel, mixtures: Tensor) -> Tensor:
    """The paper's loss, one component after the other: mixtures' latents [b, channels, frames] -> scalar."""
    noise = torch.randn_like(mixtures)
    alpha = iadb.draw_alpha(len(mixtures), model.params.iadb, mixtures.device)
    noisy = iadb.blend(mixtures, noise, alpha)
    components = [model.denoiser(noisy, alpha, encoder(mixtures)) for encoder in model.encoders]
    return functional.mse_loss(torch.stack(components).mean(dim=0), mixtures)


def train(job: Job, model: DecompositionModel, steps: int) -> tuple[float, float]:
    """Seconds and mean loss of training steps in float32, on the batches and the noise of `job`."""
    optim = job.optim
    optimiser = torch.optim.AdamW(model.parameters(), lr=optim.lr, weight_decay=optim.weight_decay)
    model.train()
    losses = []
    began = time.perf_counter()
    for step in range(steps):
        (mixtures,) = job.draw(np.random.default_rng([job.seed, step]), step)
        torch.manual_seed(job.seed * 1_000_003 + step)
        loss = loss_of(model, mixtures)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return time.perf_counter() - began, statistics.mean(losses)


@torch.no_grad()
def separate(model: DecompositionModel, codec: Codec | None, mixtures: Tensor, steps: int) -> Tensor:
    """Segment after segment, component after component.

    Sound float32[b, n_samples] -> [b, n, n_samples]; without a codec, latents [b, channels, frames] -> [b, n, ...].
    """
    estimates = []
    for mixture in mixtures.split(1):
        latent = mixture if codec is None else codec.encode(mixture)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(1, 1, *latent.shape[1:], generator=generator)
        level, clean = model.level(latent), model.normalise(latent)
        components = []
        for encoder in model.encoders:
            predict = functools.partial(_denoised, model, encoder(clean)[:, None])
            components.append(iadb.sample(predict, noise, steps, model.params.iadb))
        found = model.denormalise(torch.cat(components, dim=1)) * level[:, None]
        estimates.append(found if codec is None else codec.decode_components(found, mixture))
    return torch.cat(estimates)


def _denoised(model: DecompositionModel, code: Tensor, noisy: Tensor, alpha: Tensor) -> Tensor:
    return model.denoise(noisy, alpha, code)


@torch.no_grad()
def preprocess(params: Params, root: Path, codec: Codec, out: Path) -> int:
    """One track at a time with librosa, each signal through the codec by itself; returns the segments written."""
    n_samples, rate = params.segment_samples, params.segments.sample_rate
    count = 0
    with lmdb.open(str(out), subdir=False, lock=False, map_size=1 << 36) as store:
        for track in find_tracks(root):
            means = [
                np.mean(
                    [librosa.load(path, sr=rate, mono=True)[0] for path in stem_paths(track.folder, source)],
                    axis=0,
                )
                for source in params.sources
            ]
            sources = np.stack(means)
            with store.begin(write=True) as transaction:
                for i in range(sources.shape[1] // n_samples):
                    piece = sources[:, i * n_samples : (i + 1) * n_samples]
                    if np.sqrt((piece**2).mean(axis=1)).min() < params.segments.min_rms:
                        continue
                    count += 1
                    signals = dict(zip(params.sources, piece, strict=True)) | {"mixture": piece.mean(axis=0)}
                    for name, signal in signals.items():
                        latent = codec.encode(torch.from_numpy(np.float32(signal))[None])[0].numpy()
                        transaction.put(f"{track.split}/{track.name}_{i}/{name}".encode(), latent.tobytes())
    return count


def write_encodec(path: Path) -> Path:
    """EnCodec with random weights and filled codebooks: as fast as the trained one."""
    torch.manual_seed(0)
    model = untrained("encodec_24khz")
    for layer in model.quantizer.vq.layers:
        layer._codebook.embed.normal_(std=0.3)
    save_file({name: value.clone() for name, value in model.state_dict().items()}, path)
    return path

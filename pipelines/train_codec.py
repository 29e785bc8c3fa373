"""Stage `train_codec@encodec_mini`: sources and mixtures of the training segments -> models/codec.

True sources train the codec only, as the published EnCodec that the paper takes was trained on isolated sounds too. It
learns how music sounds, and is never shown which sources are in which mixture.
"""

from __future__ import annotations

import argparse
import os
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from eval import cost
from eval.distances import multiscale_stft_distance
from eval.scores import si_scores
from ucr.codecs import Codec
from ucr.codecs.encodec import EncodecCodec, EncodecModel, check_rate
from ucr.codecs.encodec_mini import build, error, fit, reconstruct
from ucr.data.segments import Segment, SegmentStore
from ucr.foundation.checkpoints import default_device
from ucr.foundation.errors import UserError, command
from ucr.foundation.params import TRAINED_CODEC, Params, load_params
from ucr.training.results import fit_threads, model_card, save_training
from ucr.training.trainer import TORCHRUN, Job, train

SEGMENTS = Path("segments")
OUT = Path(TRAINED_CODEC)
VALIDATION_CROPS = 32
FITTED_CROPS = 1200  # from which transform and codebooks are found, before the decoder is trained


def signals(segment: Segment) -> np.ndarray:
    """A segment's sources, if it has any, and its mixture: float32[n_sources + 1, n_samples]."""
    if len(segment.sources) == 1:
        return segment.sources
    return np.concatenate([segment.sources, segment.mixture[None]])


def draw_crops(store: SegmentStore, rng: np.random.Generator, count: int, length: int) -> Tensor:
    """Crops of sources and mixtures, all alike: float32[count, length]."""
    crops = []
    for item in rng.integers(len(store), size=count):
        segment = signals(store[int(item)])
        start = rng.integers(segment.shape[1] - length + 1)
        crops.append(segment[rng.integers(len(segment)), start : start + length])
    return torch.from_numpy(np.stack(crops))


@torch.no_grad()
def reconstruction(codec: Codec, store: SegmentStore, device: torch.device) -> dict:
    """How well a codec gives back every segment's sources and mixture, and how long that takes.

    Returns
    -------
    dict
        `si_sdr_db` (higher is better) and `spectral_distance` (`eval.distances`; lower is better) by signal, means over
        segments, NaN where one is silent; `real_time_factor`, seconds of work for a second of audio.
    """
    names = ["mixture"] if store.mixtures_alone else [*store.sources, "mixture"]
    si_sdr, distance = [], []
    for segment in tqdm(store, desc="reconstructing", total=len(store), unit="segment"):
        true = signals(segment)
        audio = torch.from_numpy(true).to(device)
        found = codec.decode(codec.encode(audio), true.shape[1]).cpu().numpy()
        si_sdr.append(si_scores(true[None], found[None], segment.mixture[None], ordered=True)["si_sdr"][0])
        distance.append(multiscale_stft_distance(true, found))

    def through() -> None:
        codec.decode(codec.encode(audio), audio.shape[1])

    def synchronise() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    seconds = audio.numel() / store.sample_rate
    means = {"si_sdr_db": np.mean(si_sdr, axis=0), "spectral_distance": np.mean(distance, axis=0)}
    return {
        "split": store.split,
        "segments": len(store),
        **{key: dict(zip(names, values.round(3).tolist(), strict=True)) for key, values in means.items()},
        "real_time_factor": cost.real_time_factor(cost.repeated(through, synchronise), seconds),
    }


def make_job(name: str, params: Params) -> tuple[Job, EncodecModel, dict]:
    """The training of the codec called `name`, its module, and the configuration that its weights are saved with.

    Raises
    ------
    UserError
        If `codec_training` has no such codec, or the segments have another rate than it.
    """
    if name not in params.codec_training:
        raise UserError(
            f"params.yaml: codec_training lacks {name!r}: add it, as params/encodec_mini.yaml does"
        )
    setting = params.codec_training["encodec_mini"]
    optim = setting.optim
    training, validation = SegmentStore(SEGMENTS, "train"), SegmentStore(SEGMENTS, "validation")
    config = setting.model_dump(exclude={"optim"})
    torch.manual_seed(params.seed)
    model = build(**config)
    check_rate(model, training.sample_rate)
    length = min(optim.crop, training[0].mixture.shape[0])
    held_out = draw_crops(validation, np.random.default_rng(params.seed), VALIDATION_CROPS, length)

    fit(model, draw_crops(training, np.random.default_rng(params.seed), FITTED_CROPS, length), params.seed)

    def draw(rng: np.random.Generator, step: int) -> tuple[Tensor]:
        return (draw_crops(training, rng, optim.batch, length),)

    def loss(batch: tuple[Tensor, ...]) -> Tensor:
        (audio,) = batch
        return error(reconstruct(model, audio), audio)

    def validate() -> dict[str, float]:
        audio = held_out.to(next(model.parameters()).device)
        sound = torch.cat([reconstruct(model, crops) for crops in audio.split(optim.batch)])
        true, found = audio.cpu().numpy(), sound.cpu().numpy()
        si_sdr = si_scores(true[:, None], found[:, None], true, ordered=True)["si_sdr"]
        return {"validation_loss": error(sound, audio).item(), "si_sdr_db": float(np.nanmean(si_sdr))}

    job = Job(
        name="codec",
        module=model,
        draw=draw,
        loss=loss,
        validate=validate,
        optim=optim,
        steps=optim.total_steps(len(training)),
        seed=params.seed,
        identity={**config, "segments": training.fingerprint},
    )
    return job, model, config


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.train_codec", description=__doc__)
    parser.add_argument("codec", help="a key of `codec_training` in params.yaml")
    if TORCHRUN in os.environ:
        raise UserError("train_codec works in one process: start it without torchrun")
    params = load_params()
    job, model, config = make_job(parser.parse_args().codec, params)
    fit_threads(model)
    device = default_device()
    history = train(job, device)
    card = model_card(
        params, job, history, device, "encodec_mini, a small neural codec: encoder, quantiser and decoder"
    )
    model.half()  # as the weights are kept, and as they are measured
    codec = EncodecCodec(deepcopy(model).float(), device)
    card["reconstruction"] = reconstruction(codec, SegmentStore(SEGMENTS, "validation"), device)
    card["fingerprint"] = codec.fingerprint
    save_training(OUT, job, config, card, history)


if __name__ == "__main__":
    main()

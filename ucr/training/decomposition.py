"""The training of the decomposition model on mixtures. True sources are never read."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor
from tqdm import trange

from ucr.codecs import Codec, make_codec
from ucr.data.segments import SegmentStore, track_of
from ucr.foundation.checkpoints import default_device
from ucr.foundation.params import Params
from ucr.model.decomposition import DecompositionModel, Setting
from ucr.signal.adaptation import adapted
from ucr.training.grouping import group
from ucr.training.labels import Labels
from ucr.training.latents import LatentStore, open_latents
from ucr.training.remixes import crops, draw_places, labelled_crops, remix_consistency
from ucr.training.results import fit_threads, model_card, save_training
from ucr.training.trainer import Job, train

VALIDATION_CROPS = 64
REMIXED_TOGETHER = 8  # of these, whatever the batch, so that trainings compare
LABELLED_TOGETHER = 16  # segments


def make_setting(params: Params, meta: dict) -> Setting:
    """The model's setting from the run's parameters and the latents' description."""
    return Setting(
        sources=params.sources,
        sample_rate=params.segments.sample_rate,
        codec=params.codec.model_dump(),
        codec_fingerprint=meta["fingerprint"],
        channels=meta["channels"],
        frame_rate=meta["frame_rate"],
        mean=meta["mean"],
        std=meta["std"],
        params=params.decomposition.model_dump(),
    )


def pseudo_labels(params: Params, store: LatentStore, power: float) -> np.ndarray:
    """A blind grouping of every mixture of a split: float16[segments, n, channels, frames]."""
    mixtures = np.stack([store.mixture(i) for i in range(len(store))])
    songs = [track_of(name) for name in store.names]
    how, percussive = params.decomposition.grouping, "drums" in map(str.lower, params.sources)
    return group(mixtures, songs, power, len(params.sources), percussive, how, params.seed)


def own_estimates(model: DecompositionModel, codec: Codec, segments: SegmentStore) -> np.ndarray:
    """What a trained model makes of every mixture, refined song by song: float16[segments, n, channels, frames]."""
    labels = []
    for start in trange(
        0, len(segments), LABELLED_TOGETHER, desc="pseudo-labels by the last training", unit="batch"
    ):
        mixtures = np.stack(
            [segments[i].mixture for i in range(start, min(start + LABELLED_TOGETHER, len(segments)))]
        )
        audio = torch.from_numpy(mixtures)
        with torch.no_grad():
            estimates = codec.decode_components(model.separate(codec.encode(audio), steps=1), audio).numpy()
        refined = adapted(mixtures, estimates)
        n = refined.shape[1]
        with torch.no_grad():
            latents = codec.encode(torch.from_numpy(refined / n).flatten(0, 1)).unflatten(0, (-1, n))
        labels.append(latents.numpy().astype(np.float16))
    return np.concatenate(labels)


def make_job(
    model: DecompositionModel,
    setting: Setting,
    training: LatentStore,
    validation: LatentStore,
    labels: np.ndarray | Labels | None,
    seed: int,
    iteration: int = 0,
    guidance: str = "blind",
) -> Job:
    """The training of `model`, guided by `labels` where it says so; `iteration` counts those of self-training.

    `guidance` says what the labels are, so that no training goes on where one with others was killed.
    """
    params, optim = model.params, model.params.optim
    length = min(optim.crop, training.frames)
    held_out = crops(
        validation, draw_places(validation, np.random.default_rng(seed), VALIDATION_CROPS, length)
    )
    steps = optim.total_steps(len(training))
    guided = round(params.guided * steps)

    def draw(rng: np.random.Generator, step: int) -> tuple[Tensor, ...]:
        places = draw_places(training, rng, optim.batch, length)
        if labels is None or step >= guided:
            return (crops(training, places),)
        return labelled_crops(training, labels, places, model.power, params.remix, params.equalise, rng)

    def noise(batch: tuple[Tensor, ...], progress: float) -> tuple[Tensor, ...]:
        mixtures, *labelled = batch
        independence = mixtures.new_full((len(mixtures),), progress * params.independence)
        return (mixtures, *model.draw_noise(mixtures, progress), independence, *labelled)

    def loss(batch: tuple[Tensor, ...]) -> Tensor:
        mixtures, drawn, alpha, independence, *labelled = batch
        return model.loss(
            mixtures, drawn, alpha, *labelled, independence=independence if params.independence else None
        )

    def validate() -> dict[str, float]:
        mixtures = held_out.to(next(model.parameters()).device)
        losses = [model.loss(batch, *model.draw_noise(batch)).item() for batch in mixtures.split(optim.batch)]
        remixed = [remix_consistency(model, batch) for batch in mixtures.split(REMIXED_TOGETHER)]
        return {"validation_loss": fmean(losses), "remix_consistency_db": fmean(remixed)}

    return Job(
        name="decomposition",
        module=model,
        draw=draw,
        loss=loss,
        validate=validate,
        optim=optim,
        steps=steps,
        seed=seed,
        identity={
            "setting": setting.to_config(),
            "latents": training.meta,
            "iteration": iteration,
            "guidance": guidance,
        },
        cpu_bfloat16=True,
        noise=noise,
    )


def later(rows: list[dict], history: list[dict]) -> list[dict]:
    """Rows of a training's history that count on from those of the trainings before it."""
    before = history[-1] if history else {"step": 0, "seconds": 0.0}
    return [row | {key: row[key] + before[key] for key in ("step", "seconds")} for row in rows]


def self_train(
    params: Params,
    setting: Setting,
    training: LatentStore,
    validation: LatentStore,
    codec: Codec,
    segments: SegmentStore,
    true_labels: np.ndarray | None = None,
) -> tuple[list[Job], list[dict], float]:
    """Train a model or, with `first`, two: the second on what the first one made of the mixtures.

    Parameters
    ----------
    params, setting, training, validation, codec
        Of the run.
    segments
        Those that `training` holds latents of.
    true_labels : float16[segments, n, channels, frames], optional
        For a study of what better guidance could reach, which is no unsupervised training: what guides the first
        training in the place of what `pseudo_labels` finds.

    Returns
    -------
    jobs
        The trainings; the module of the last one counts.
    history
        Of all of them.
    preparation
        Seconds that finding pseudo-labels took.
    """
    device = default_device()
    model: DecompositionModel | None = None
    labels, guidance = (None, "blind") if true_labels is None else (true_labels, "true sources")
    jobs: list[Job] = []
    history: list[dict] = []
    preparation = 0.0
    for iteration, values in enumerate(params.decomposition.trainings):
        torch.manual_seed(params.seed)
        own = params.model_copy(update={"decomposition": values})
        own_setting = setting.model_copy(update={"params": own.decomposition.model_dump()})
        last, model = model, own_setting.build()
        began = time.monotonic()
        if last is not None:
            labels = own_estimates(last.cpu(), codec, segments)
            last.to(device)
        elif own.decomposition.guided and labels is None:
            labels = pseudo_labels(own, training, model.power)
        preparation += time.monotonic() - began
        jobs.append(
            make_job(model, own_setting, training, validation, labels, params.seed, iteration, guidance)
        )
        fit_threads(model)
        history += later(train(jobs[-1], device), history)
    return jobs, history, round(preparation, 1)


def train_model(params: Params, out: Path) -> None:
    """Train the model of `params.decomposition` on the folders `latents` and `segments`, and write it to `out`."""
    codec = make_codec(params.codec, params.segments.sample_rate)
    training, validation = (
        open_latents("latents", split, codec, params.sources) for split in ("train", "validation")
    )
    setting = make_setting(params, training.meta)
    segments = SegmentStore("segments", "train")
    jobs, history, preparation = self_train(params, setting, training, validation, codec, segments)
    job, first = jobs[-1], jobs[0] if len(jobs) > 1 else None
    what = "decomposition model: encoders and shared denoiser"
    card = model_card(params, job, history, default_device(), what) | {"preparation_seconds": preparation}
    save_training(out, job, setting.to_config(), card, history, first)

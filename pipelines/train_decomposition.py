"""Stage `train_decomposition`: latents of mixtures -> models/decomposition. True sources are never read."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import trange

from baselines.ucr_adapted import adapted
from pipelines import run_stage
from pipelines._training import fit_threads, model_card, save_training
from ucr.codecs import Codec, make_codec
from ucr.data.segments import SegmentStore, track_of
from ucr.foundation.checkpoints import default_device
from ucr.foundation.errors import command
from ucr.foundation.params import Params, load_params
from ucr.foundation.workers import in_workers
from ucr.model.decomposition import DecompositionModel, Setting
from ucr.training.grouping import group
from ucr.training.latents import LatentStore, open_latents
from ucr.training.trainer import Job, finish, is_first, train

OUT = Path("models/decomposition")
VALIDATION_CROPS = 64
REMIXED_TOGETHER = 8  # of these, whatever the batch, so that trainings compare
REMIX_DB = 4.0
TONE_POINTS = 7
GUESSED_TOGETHER = 16  # segments


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


def draw_places(
    store: LatentStore, rng: np.random.Generator, batch: int, length: int
) -> list[tuple[int, slice]]:
    """Random mixtures and random places in them: (index, frames) of each crop."""
    items = rng.integers(len(store), size=batch)
    starts = rng.integers(store.frames - length + 1, size=batch)
    return [
        (int(item), slice(int(start), int(start) + length)) for item, start in zip(items, starts, strict=True)
    ]


def crops(store: LatentStore, places: list[tuple[int, slice]]) -> Tensor:
    """float32[batch, channels, length] of mixtures."""
    return torch.from_numpy(np.stack([store.crop(i, at.start, at.stop - at.start) for i, at in places]))


def remix(guesses: Tensor, power: float, equalise: float, rng: np.random.Generator) -> Tensor:
    """Put components of different mixtures together, each at a level and with a tone of its own.

    Parameters
    ----------
    guesses : float32[b, n, channels, frames]
        Components as power-compressed magnitudes.
    power
        The compression exponent.
    equalise
        Standard deviation in dB of the tone's curve at each of `TONE_POINTS` places along the bands.
    rng
        Draws the levels, even in dB within `REMIX_DB` of the components' own, and the tones.

    Returns
    -------
    float32[b, n, channels, frames]
        Component i of an item is that of the item i places before.
    """
    batch, n, channels, _ = guesses.shape
    levels = rng.uniform(-REMIX_DB, REMIX_DB, (batch, n, 1))
    points = rng.normal(0, equalise, (batch, n, TONE_POINTS))
    tones = functional.interpolate(
        torch.from_numpy(points), channels, mode="linear", align_corners=True
    ).numpy()
    gains = 10 ** (power / 20 * (levels + tones - tones.mean(axis=2, keepdims=True)))
    shifted = torch.stack([guesses[:, i].roll(i, 0) for i in range(n)], dim=1)
    return shifted * torch.from_numpy(gains).float()[..., None]


@torch.no_grad()
def remix_consistency(model: DecompositionModel, mixtures: Tensor) -> float:
    """How well a model finds its own components again when they are put together anew, in dB.

    Mixtures are separated, component i of each is joined with the others of the mixtures before it, and
    the result is separated again. No true source is needed. A model that gives everything to one
    component, or the same to all, scores low.

    Parameters
    ----------
    model
        On the mixtures' device.
    mixtures : float32[b, channels, frames]
        Latents, of several songs.

    Returns
    -------
    float
        Ratio of a component's energy to that of the difference, for magnitudes (latents to the power
        1/p); the mean over items of the worst component's.
    """
    parts = model.separate(mixtures, steps=1)
    joined = torch.stack([parts[:, i].roll(i, 0) for i in range(parts.shape[1])], dim=1)
    again = model.separate(model.reconstruct(joined), steps=1)
    wanted, found = (x.clamp_min(0) ** (1 / model.power) if model.additive else x for x in (joined, again))
    energy = wanted.square().sum(dim=(2, 3))
    difference = (wanted - found).square().sum(dim=(2, 3))
    ratios = 10 * torch.log10((energy + 1e-9) / (difference + 1e-9))
    return ratios.min(dim=1).values.mean().item()


def guess(params: Params, store: LatentStore, power: float) -> np.ndarray:
    """A blind grouping of every mixture of a split: float16[segments, n, channels, frames]."""
    mixtures = np.stack([store.mixture(i) for i in range(len(store))])
    songs = [track_of(name) for name in store.names]
    how, struck = params.decomposition.grouping, "drums" in params.sources
    return group(mixtures, songs, power, len(params.sources), struck, how, params.seed)


def guess_again(model: DecompositionModel, codec: Codec, segments: SegmentStore) -> np.ndarray:
    """What a trained model makes of every mixture, refined song by song: float16[segments, n, channels, frames]."""
    guesses = []
    for start in trange(0, len(segments), GUESSED_TOGETHER, desc="guesses of the last round", unit="batch"):
        mixtures = np.stack(
            [segments[i].mixture for i in range(start, min(start + GUESSED_TOGETHER, len(segments)))]
        )
        audio = torch.from_numpy(mixtures)
        with torch.no_grad():
            estimates = codec.decode_components(model.separate(codec.encode(audio), steps=1), audio).numpy()
        refined = np.stack(list(in_workers(adapted, list(zip(mixtures, estimates, strict=True)))))
        n = refined.shape[1]
        with torch.no_grad():
            latents = codec.encode(torch.from_numpy(refined / n).flatten(0, 1)).unflatten(0, (-1, n))
        guesses.append(latents.numpy().astype(np.float16))
    return np.concatenate(guesses)


def make_job(
    params: Params,
    model: DecompositionModel,
    setting: Setting,
    training: LatentStore,
    validation: LatentStore,
    groups: np.ndarray | None,
    turn: int = 0,
    guidance: str = "blind",
) -> Job:
    """The training of `model`, guided by `groups` where `params` say so, in one of the `rounds`: `turn` counts them.

    `guidance` says what the groups are, so that no training goes on where one with others was killed.
    """
    optim = params.decomposition.optim
    length = min(optim.crop, training.frames)
    held_out = crops(
        validation, draw_places(validation, np.random.default_rng(params.seed), VALIDATION_CROPS, length)
    )
    steps = optim.total_steps(len(training))
    guided = round(params.decomposition.guided * steps)

    def draw(rng: np.random.Generator, step: int) -> tuple[Tensor, ...]:
        places = draw_places(training, rng, optim.batch, length)
        mixtures = crops(training, places)
        if groups is None or step >= guided:
            return (mixtures,)
        guesses = torch.from_numpy(np.stack([groups[i, ..., at] for i, at in places])).float()
        n_remixed = round(params.decomposition.remix * optim.batch)
        if n_remixed:
            equalise = params.decomposition.equalise
            guesses[:n_remixed] = remix(guesses[:n_remixed], model.power, equalise, rng)
            mixtures[:n_remixed] = model.compose(guesses[:n_remixed])
        return mixtures, guesses

    def validate() -> dict[str, float]:
        mixtures = held_out.to(next(model.parameters()).device)
        losses = [model.loss(batch, *model.draw_noise(batch)).item() for batch in mixtures.split(optim.batch)]
        remixed = [remix_consistency(model, batch) for batch in mixtures.split(REMIXED_TOGETHER)]
        return {"validation_loss": fmean(losses), "remix_consistency_db": fmean(remixed)}

    return Job(
        name="decomposition",
        module=model,
        draw=draw,
        loss=lambda batch: model.loss(*batch),
        validate=validate,
        optim=optim,
        steps=steps,
        seed=params.seed,
        identity={
            "setting": setting.to_config(),
            "latents": training.meta,
            "round": turn,
            "guidance": guidance,
        },
        cpu_bfloat16=True,
        noise=lambda batch, progress: (batch[0], *model.draw_noise(batch[0], progress), *batch[1:]),
    )


def later(rows: list[dict], history: list[dict]) -> list[dict]:
    """Rows of a training's history that count on from those of the trainings before it."""
    before = history[-1] if history else {"step": 0, "seconds": 0.0}
    return [row | {key: row[key] + before[key] for key in ("step", "seconds")} for row in rows]


def train_rounds(
    params: Params,
    setting: Setting,
    training: LatentStore,
    validation: LatentStore,
    codec: Codec,
    segments: SegmentStore,
    true_groups: np.ndarray | None = None,
) -> tuple[list[Job], list[dict]]:
    """All `rounds`, one after the other: their trainings, of which the last one's module counts, and the history.

    Parameters
    ----------
    params, setting, training, validation, codec
        Of the run.
    segments
        Those that `training` holds latents of.
    true_groups : float16[segments, n, channels, frames], optional
        For a study of what better guidance could reach, which is no unsupervised training: what guides the first
        round in the place of what `guess` finds.
    """
    device = default_device()
    model: DecompositionModel | None = None
    groups, guidance = (None, "blind") if true_groups is None else (true_groups, "true sources")
    jobs: list[Job] = []
    history: list[dict] = []
    for turn in range(params.decomposition.rounds):
        torch.manual_seed(params.seed)
        last, model = model, setting.build()
        if last is not None:
            groups = guess_again(last.cpu(), codec, segments)
            last.to(device)
        elif params.decomposition.guided and groups is None:
            groups = guess(params, training, model.power)
        jobs.append(make_job(params, model, setting, training, validation, groups, turn, guidance))
        fit_threads(model)
        history += later(train(jobs[-1], device), history)
    return jobs, history


@command
def main() -> None:
    params = load_params()
    codec = make_codec(params.codec, params.segments.sample_rate)
    training, validation = (
        open_latents("latents", split, codec, params.sources) for split in ("train", "validation")
    )
    setting = make_setting(params, training.meta)
    segments = SegmentStore("segments", "train")
    jobs, history = train_rounds(params, setting, training, validation, codec, segments)
    *earlier, job = jobs
    what = "decomposition model: encoders and shared denoiser"
    save_training(
        OUT, job, setting.to_config(), model_card(params, job, history, default_device(), what), history
    )
    for each in earlier if is_first() else []:
        finish(each)


if __name__ == "__main__":
    run_stage(main, __doc__)

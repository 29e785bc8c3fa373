"""What each component makes of one mixture, after the training by composition alone and after the last."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from eval.report.listening import (
    Choice,
    Group,
    Row,
    Studio,
    audible_segments,
    choose_segments,
    leading_method,
    read_mono,
)
from eval.report.results import Results
from eval.scores import best_order, si_scores
from ucr.foundation.checkpoints import FIRST_TRAINING
from ucr.foundation.params import Params
from ucr.model.decomposition import load_decomposition

SECONDS = 5.0  # of the segment, from its start


@dataclass(frozen=True)
class Trained:
    """What a model makes of a mixture of n sources.

    Attributes
    ----------
    title
        Which training.
    sizes
        Each component's latent in words.
    latents : list of float32[values, frames]
        Of each component, without the channels that are always zero.
    drawn, separated : float32[n, n_samples]
        The sound of what the denoiser draws, with phases by Griffin-Lim, and of the masks that it makes.
    """

    title: str
    sizes: list[str]
    latents: list[np.ndarray]
    drawn: np.ndarray
    separated: np.ndarray


@dataclass(frozen=True)
class Heard:
    """The start of a segment, and the trainings of `variant`.

    Attributes
    ----------
    signals : float32[1 + n, n_samples]
        The mixture and its sources.
    """

    variant: str
    choice: Choice
    sources: list[str]
    rate: int
    signals: np.ndarray
    trainings: list[Trained]

    @property
    def seconds(self) -> float:
        """Of sound, all together."""
        return self.signals.shape[1] / self.rate * (1 + 2 * len(self.trainings) * len(self.sources))


def hear(results: Results, params: Params) -> Heard | None:
    """Let both trainings of the first variant that kept its first one, if any did, separate the median segment.

    Raises
    ------
    UserError
        If its weights are damaged.
    """
    models = results.root / "models"
    name = next((name for name in params.variants if (models / name / FIRST_TRAINING).is_dir()), None)
    if name is None or not params.report.segments:
        return None
    rows = results.of_set(results.sets[0]).rows
    choices = choose_segments(rows, leading_method(results.kinds), 1, audible_segments(results))
    if not choices:
        return None
    (choice,) = choices
    folder = results.root / "references" / "waveform" / choice.segment
    mixture, rate = read_mono(folder / "mixture.wav")
    mixture = mixture[: round(SECONDS * rate)]
    references = [read_mono(folder / f"{source}.wav", len(mixture))[0] for source in params.sources]
    trainings = [
        apply_training("First training, composition alone", models / name / FIRST_TRAINING, mixture),
        apply_training("Second training, self-training", models / name, mixture),
    ]
    return Heard(name, choice, params.sources, rate, np.stack([mixture, *references]), trainings)


@torch.no_grad()
def apply_training(title: str, folder: Path, mixture: np.ndarray) -> Trained:
    """Separate a mixture float32[n_samples] with the weights in `folder`."""
    model, setting, _ = load_decomposition(folder)
    codec = setting.make_codec(folder, torch.device("cpu"))
    audio = torch.from_numpy(mixture)[None]
    mixtures = codec.encode(audio)
    latents = model.encode(model.normalise(mixtures))[0].numpy()
    components = model.separate(mixtures, steps=1)
    n = len(latents)
    return Trained(
        title,
        [_size(*size) for size in model.latent_sizes],
        [latent[:width] for latent, (width, _) in zip(latents, model.latent_sizes, strict=True)],
        n * codec.decode(components[0], len(mixture)).numpy(),
        codec.decode_components(components, audio)[0].numpy(),
    )


def _size(width: int, pool: int) -> str:
    values = f"{width} value{'s' if width > 1 else ''}"
    return f"{values} per frame" if pool == 1 else f"{values} every {pool} frames"


def make_composition(heard: Heard, bitrate: int, pool: ThreadPoolExecutor) -> Group:
    """The mixture and each training's components, in the model's order; what is separated has its SI-SDR."""
    mixture, references = heard.signals[0], heard.signals[1:]
    studio = Studio(heard.signals, heard.rate, bitrate, pool)
    rows = [("mixture", [studio.clip("mixture", mixture)])]
    for each in heard.trainings:
        rows.append(
            (
                f"{each.title}: drawn",
                [studio.clip(*clip) for clip in zip(each.sizes, each.drawn, strict=True)],
            )
        )
        (order,) = best_order(references[None], each.separated[None])
        scores = si_scores(references[None], each.separated[order][None], mixture[None], ordered=True)
        found = sorted(zip(order, heard.sources, scores["si_sdr"][0], strict=True))
        clips = [
            studio.clip(size, sound, float(score), f"matched with {source}")
            for size, sound, (_, source, score) in zip(each.sizes, each.separated, found, strict=True)
        ]
        rows.append((f"{each.title}: separated", clips))
    made = [Row(name, "", [clip.result() for clip in clips]) for name, clips in rows]
    seconds = len(mixture) / heard.rate
    return Group(heard.choice.segment, heard.choice.rank, heard.choice.score, seconds, made)

"""What lies between the prior's clips and real ones, step by step: `python -m benchmarks.generation` in a run's folder.

Training mixtures are rebuilt from their own component latents, so that the prior has no part in it: at their own
levels, at one level or at drawn ones, and as the decomposition model makes them or calibrated. The last sets are of
clips from noise. All are compared with the training mixtures as in the table of generation, but by the codec's latents
alone, without phases: as they are (`latents`) and in dB (`log`). No true source is used.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eval.embeddings import Projection, statistics
from eval.generation import neighbourhoods
from eval.pairing import halves
from ucr.codecs import make_codec
from ucr.foundation.errors import command
from ucr.foundation.params import load_params
from ucr.model.recomposition import Recomposer
from ucr.training.components import component_latents
from ucr.training.latents import open_latents

FLOOR = 1e-5  # of powers of latents at a level of about 1


def embed(mixtures: Tensor) -> dict[str, np.ndarray]:
    """Statistics of mixtures' latents, [b, channels, frames], as they are and in dB."""
    values = mixtures.numpy()
    return {"latents": statistics(values), "log": statistics(10 * np.log10(values**4 + FLOOR))}


@torch.no_grad()
def ladder(
    recomposer: Recomposer, mixtures: Tensor, latents: Tensor, levels: Tensor, steps: int, seed: int
) -> dict:
    """Each set's mixtures, the real ones first."""
    prior, frames = recomposer.prior, mixtures.shape[-1]

    def rebuild(latents: Tensor) -> Tensor:
        parts = [recomposer.model.decode(x, frames, recomposer.decode_steps) for x in latents.split(16)]
        return torch.cat([recomposer.model.reconstruct(x) for x in parts])

    count = len(mixtures)
    nothing = torch.zeros_like(latents)
    everything = torch.ones(latents.shape[:2], dtype=torch.bool)
    drawn = prior.draw_level(count, seed)
    rebuilt, new = rebuild(latents), rebuild(prior.generate(nothing, everything, steps, seed))
    return {
        "real": mixtures,
        "rebuilt": rebuilt * levels,
        "rebuilt, one level": rebuilt * levels.mean(),
        "rebuilt, levels drawn": rebuilt * drawn,
        "rebuilt, calibrated": prior.calibrate(rebuilt) * levels,
        "rebuilt, levels drawn, calibrated": prior.calibrate(rebuilt) * drawn,
        "from noise, one level": new * levels.mean(),
        "from noise": prior.calibrate(new) * drawn,
    }


@command
def main() -> None:
    params = load_params()
    recomposer = Recomposer.load(
        Path("models/decomposition"), Path("models/prior"), "cpu", params.generation.steps
    )
    codec = make_codec(params.codec, recomposer.sample_rate)
    store = open_latents("latents", "train", codec, params.sources)
    latents, levels = component_latents(recomposer.model, store, torch.device("cpu"))
    chosen = np.linspace(0, len(store) - 1, min(params.generation.count, len(store))).round().astype(int)
    mixtures = torch.from_numpy(np.stack([store.mixture(i) for i in chosen]))
    tracks = [store.names[i].rsplit("_", 1)[0] for i in chosen]
    of_song = halves(tracks)
    songs, turn = np.array([of_song[track] for track in tracks]), np.arange(len(chosen)) % 2
    sets = ladder(
        recomposer,
        mixtures,
        latents[chosen],
        levels[chosen][:, None, None],
        params.generation.prior_steps,
        params.seed,
    )
    rows, real = [], embed(mixtures)
    for name, made in sets.items():
        half = turn if name.startswith("from noise") else songs
        for space, values in embed(made).items():
            project = Projection.fit(real[space])
            folds = [
                neighbourhoods(project(real[space])[songs == i], project(values)[half == 1 - i])
                for i in (0, 1)
            ]
            scores = {key: np.concatenate([fold[key] for fold in folds]).mean() for key in folds[0]}
            rows.append({"set": name, "space": space, **scores})
    print(pd.DataFrame(rows).round(2).to_string(index=False))


if __name__ == "__main__":
    main()

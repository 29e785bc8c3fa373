"""Stage `generate`: reconstructions, unconditional and partial generation, as audio with a manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from ucr.codecs import make_codec
from ucr.decomposition import load_decomposition
from ucr.errors import command
from ucr.files import replacing, write_audio, write_csv
from ucr.models import default_device
from ucr.params import CodecParams, load_params
from ucr.prior import load_prior, masks
from ucr.segments import SegmentStore

OUT = Path("generated")
BATCH = 16


def component_names(marked: list[bool]) -> str:
    """Names of the components that are marked, such as `component_0+component_2`; empty for none."""
    return "+".join(f"component_{i}" for i, mark in enumerate(marked) if mark)


@command
def main() -> None:
    params = load_params()
    generation = params.generation
    device = default_device()
    model, setting, card = load_decomposition("models/decomposition")
    prior = load_prior("models/prior", card["sha256"])
    model.to(device)
    prior.to(device)
    codec = make_codec(CodecParams.model_validate(setting.codec), setting.sample_rate, str(device))

    segments = SegmentStore(Path("segments"), "test")
    chosen = np.linspace(0, len(segments) - 1, min(generation.count, len(segments))).round().astype(int)
    songs = [segments[int(i)] for i in chosen]
    audio = torch.from_numpy(np.stack([song.mixture for song in songs])).to(device)
    with torch.no_grad():
        mixtures = codec.encode(audio)
        latents = model.encode(model.normalise(mixtures))

    jobs: list[dict] = [{"kind": "reconstruction", "segment": song.name, "generated": ""} for song in songs]
    wanted: list[Tensor] = [latents]
    subsets = masks(model.n_components)
    for subset in subsets.tolist():
        marked = torch.tensor(subset, device=device).expand(len(songs), -1)
        wanted.append(prior.generate(latents, marked, generation.prior_steps, params.seed))
        kind = "unconditional" if all(subset) else "partial"
        jobs += [
            {"kind": kind, "segment": "" if all(subset) else song.name, "generated": component_names(subset)}
            for song in songs
        ]
    everything = torch.cat(wanted)

    with replacing(OUT) as temporary:
        temporary.mkdir()
        for start in tqdm(range(0, len(jobs), BATCH), desc="decoding", unit="batch"):
            batch = everything[start : start + BATCH]
            components = model.decode(batch, mixtures.shape[-1], generation.steps, params.seed)
            sounds = codec.decode(model.reconstruct(components), params.segment_samples).cpu().numpy()
            for job, sound in zip(jobs[start : start + BATCH], sounds, strict=True):
                group = job["kind"] if job["kind"] != "partial" else f"partial_{job['generated']}"
                number = sum(other.get("file", "").startswith(f"{group}/") for other in jobs)
                job["file"] = f"{group}/{job['segment'] or f'{number:04d}'}.wav"
                write_audio(temporary / job["file"], sound, setting.sample_rate)
        write_csv(temporary / "manifest.csv", pd.DataFrame(jobs).assign(seed=params.seed))


if __name__ == "__main__":
    main()

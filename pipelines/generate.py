"""Stage `generate`: songs rebuilt, varied, put together and partly replaced, and new ones, as audio with a manifest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from eval.pairing import partners
from pipelines import run_stage
from ucr.data.held_out import held_out_stores
from ucr.data.segments import Segment
from ucr.foundation.errors import command
from ucr.foundation.files import replacing, write_audio, write_csv
from ucr.foundation.params import Params, load_params
from ucr.model.prior import masks
from ucr.model.recomposition import Recomposer

OUT = Path("generated")
DECOMPOSITION = Path("models/decomposition")
PRIOR = Path("models/prior")


def marked_components(marked: list[bool]) -> str:
    """Names of the components that are marked, such as `component_0+component_2`; empty for none."""
    return "+".join(f"component_{i}" for i, mark in enumerate(marked) if mark)


def jobs(
    recomposer: Recomposer, songs: list[Segment], params: Params
) -> Iterator[tuple[str, list[dict], np.ndarray]]:
    """Make each kind in turn, of test segments or of nothing.

    Yields
    ------
    kind
    lines
        Of the manifest.
    sounds
        float32[len(lines), n_samples], or [len(lines), n_components, n_samples] where a line's sound is the mean of
        its parts.
    """
    generation, seed = params.generation, params.seed
    names = [song.name for song in songs]
    audio = np.stack([song.mixture for song in songs])
    n, steps = recomposer.n_components, generation.prior_steps
    *subsets, everything = masks(n).tolist()

    yield "reconstruction", [{"segment": name} for name in names], recomposer.reconstruct(audio)

    new = recomposer.generate(generation.count, audio.shape[1] / recomposer.sample_rate, steps, seed)
    yield "unconditional", [{"generated": marked_components(everything)}] * len(new), new

    parts = recomposer.fill_parts(
        np.tile(audio, (len(subsets), 1)), np.repeat(subsets, len(songs), axis=0), steps, seed
    )
    lines: list[dict] = [
        {"segment": name, "generated": marked_components(subset)} for subset in subsets for name in names
    ]
    yield "partial", lines, parts

    for strength in generation.strengths:
        lines = [{"segment": name, "strength": strength} for name in names]
        yield "variation", lines, recomposer.vary(audio, strength, steps, seed)

    others = partners([song.track for song in songs])
    take = np.arange(n) == n - 1
    lines = [
        {"segment": f"{name}+{names[other]}", "taken": marked_components(take.tolist())}
        for name, other in zip(names, others, strict=True)
    ]
    yield "recombination", lines, recomposer.recombine(audio, audio[others], take)


@command
def main() -> None:
    params = load_params()
    recomposer = Recomposer.load(
        DECOMPOSITION, PRIOR, decode_steps=params.generation.steps, guidance=params.generation.guidance
    )
    segments = next(iter(held_out_stores().values()))  # of the first set
    chosen = np.linspace(0, len(segments) - 1, min(params.generation.songs, len(segments))).round()
    songs = [segments[int(i)] for i in chosen]

    manifest = []
    total = 4 + len(params.generation.strengths)
    with replacing(OUT) as temporary:
        temporary.mkdir()
        kinds = tqdm(jobs(recomposer, songs, params), desc="generating", total=total, unit="kind")
        for kind, lines, sounds in kinds:
            for number, (line, sound) in enumerate(zip(lines, sounds, strict=True)):
                details = [kind, *(str(line[key]) for key in ("generated", "strength") if key in line)]
                group = kind if kind == "unconditional" else "_".join(details)
                file = f"{group}/{line.get('segment', f'{number:04d}')}.wav"
                row = {"kind": kind, **line, "file": file}
                if sound.ndim == 2:
                    row["parts"] = f"parts/{file}"
                    write_audio(temporary / row["parts"], sound, recomposer.sample_rate)
                    sound = sound.mean(axis=0)
                write_audio(temporary / file, sound, recomposer.sample_rate)
                manifest.append(row)
        columns = ["kind", "segment", "generated", "taken", "strength", "seed", "file", "parts"]
        table = pd.DataFrame(manifest).assign(seed=params.seed).reindex(columns=columns)
        write_csv(temporary / "manifest.csv", table)


if __name__ == "__main__":
    run_stage(main, __doc__)

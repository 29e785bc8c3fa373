"""What the generative models made, to be heard: songs rebuilt, songs with a part replaced, and new ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from eval.report.listening import Group, Row, Studio, leading_method, read_estimates, read_mono
from eval.report.results import Results
from ucr.errors import UserError

SONGS = 2  # each with its reconstruction and partial generations
FREE = 4  # unconditional generations


def chosen_lines(manifest: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The first songs of the manifest with all their lines, then the first lines that belong to no song."""
    songs = [name for name in manifest["segment"].unique() if name][:SONGS]
    chosen = [(song, manifest[manifest["segment"] == song]) for song in songs]
    free = manifest[manifest["segment"] == ""].head(FREE)
    return chosen + ([("", free)] if len(free) else [])


def make_generated(
    results: Results, sources: list[str], bitrate: int, pool: ThreadPoolExecutor
) -> list[Group]:
    """Clips of the manifest's chosen lines; those of one song are of one length and heard against it."""
    groups = []
    for song, lines in chosen_lines(results.tables["generated"]):
        sounds = [
            (name, *_read(results.root / "generated", file))
            for name, file in _titles(results, song, lines, sources)
        ]
        original = results.root / "references" / "waveform" / song / "mixture.wav"
        if song and original.is_file():
            sounds.insert(0, ("mixture", *read_mono(original)))
        rate = sounds[0][2]
        studio = Studio(sounds[0][1][None], rate, bitrate, pool)
        clips = [(name, studio.clip(name, audio)) for name, audio, _ in sounds]
        seconds = max(len(audio) for _, audio, _ in sounds) / rate
        rows = [Row(name, "", [clip.result()]) for name, clip in clips]
        groups.append(Group(song or "From noise alone", "", np.nan, seconds, rows))
    return groups


def _titles(results: Results, song: str, lines: pd.DataFrame, sources: list[str]) -> list[tuple[str, str]]:
    names = _component_names(results, song, sources)
    titles = []
    for i, line in enumerate(lines.itertuples(), start=1):
        made = set(str(line.generated).split("+")) - {""}
        if line.kind == "partial":
            new = " and ".join(name for component, name in names.items() if component in made)
            kept = " and ".join(name for component, name in names.items() if component not in made)
            titles.append((f"{new} generated, {kept} kept", str(line.file)))
        else:
            titles.append((str(line.kind) if song else f"{line.kind} {i}", str(line.file)))
    return titles


def _component_names(results: Results, song: str, sources: list[str]) -> dict[str, str]:
    """What each component is called: the source that it matches in this song, where that can be told."""
    names = {f"component_{i}": f"component {i}" for i in range(len(sources))}
    folder = results.root / "references" / "waveform" / song
    try:
        references = np.stack([read_mono(folder / f"{source}.wav")[0] for source in sources])
        estimates = results.root / "estimates" / leading_method(results.kinds) / song
        _, components = read_estimates(estimates, sources, references)
    except UserError:
        return names
    for source, component in zip(sources, components, strict=True):
        if component:
            names[component.replace(" ", "_")] = source
    return names


def _read(folder: Path, file: str) -> tuple[np.ndarray, int]:
    path = folder / file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"{folder}/manifest.csv names {file}, which lies outside {folder}: run `dvc repro generate`"
        )
    return read_mono(path)

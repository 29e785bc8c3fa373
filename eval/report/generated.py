"""What the generative models made, to be heard: songs rebuilt, songs with a part replaced, and new ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from eval.report.listening import Group, Row, Studio, read_estimates, read_mono
from eval.report.results import Results
from ucr.foundation.errors import UserError

SONGS = 2  # each with its reconstruction and partial generations
FREE = 4  # unconditional generations


def chosen_lines(manifest: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The first songs of the manifest with all their lines, then the first lines that belong to no song.

    A recombination belongs to the first of its two songs; its `segment` is both names, joined by `+`.
    """
    if manifest.empty:
        return []
    of_one = manifest[manifest["kind"] != "recombination"]
    songs = [name for name in of_one["segment"].unique() if name][:SONGS]
    chosen = []
    for song in songs:
        both = (manifest["kind"] == "recombination") & manifest["segment"].str.startswith(f"{song}+")
        chosen.append((song, manifest[(manifest["segment"] == song) | both]))
    free = manifest[manifest["segment"] == ""].head(FREE)
    return chosen + ([("", free)] if len(free) else [])


def count_sounds(manifest: pd.DataFrame) -> int:
    """How many sounds `make_generated` makes, or a few more: each line's, and the songs that they are heard against."""
    return sum(
        len(lines) + bool(song) + int((lines["kind"] == "recombination").sum())
        for song, lines in chosen_lines(manifest)
    )


def make_generated(
    results: Results, sources: list[str], bitrate: int, pool: ThreadPoolExecutor
) -> list[Group]:
    """Clips of the manifest's chosen lines; those of one song are of one length and heard against it."""
    groups = []
    for song, lines in chosen_lines(results.tables["generated"]):
        names = _matched_sources(results, song, sources)
        sounds = _original(results, song, "mixture") if song else []
        for number, line in enumerate(lines.to_dict("records"), start=1):
            title = _title(line, song, number, names)
            if line["kind"] == "recombination":
                other = str(line["segment"]).removeprefix(f"{song}+")
                sounds += _original(results, other, f"mixture of {other}")
            sounds.append((title, *_read(results.root / "generated", str(line["file"]))))
        rate = sounds[0][2]
        studio = Studio(sounds[0][1][None], rate, bitrate, pool)
        clips = [(name, studio.clip(name, audio)) for name, audio, _ in sounds]
        seconds = max(len(audio) for _, audio, _ in sounds) / rate
        rows = [Row(name, "", [clip.result()]) for name, clip in clips]
        groups.append(Group(song or "From noise alone", "", np.nan, seconds, rows))
    return groups


def _original(results: Results, song: str, name: str) -> list[tuple[str, np.ndarray, int]]:
    """A test segment's mixture under a name; nothing where its audio is not at hand."""
    file = results.root / "references" / "waveform" / song / "mixture.wav"
    return [(name, *read_mono(file))] if file.is_file() else []


def _title(line: dict, song: str, number: int, names: dict[str, str]) -> str:
    """What was done, in words; components under the sources' names."""
    kind = str(line["kind"])

    def parts(column: str) -> tuple[str, str]:
        """The components that a column names, and the others."""
        marked = set(str(line.get(column, "")).split("+"))
        chosen = [name for component, name in names.items() if component in marked]
        return " and ".join(chosen), " and ".join(name for name in names.values() if name not in chosen)

    if kind == "partial":
        new, kept = parts("generated")
        return f"{new} generated, {kept} kept"
    if kind == "recombination":
        taken, kept = parts("taken")
        other = str(line["segment"]).removeprefix(f"{song}+")
        return f"recombination: {taken} of {other}, {kept} kept"
    if kind == "variation":
        return f"variation, strength {line.get('strength', np.nan):g}"
    return kind if song else f"{kind} {number}"


def _matched_sources(results: Results, song: str, sources: list[str]) -> dict[str, str]:
    """What each component is called: the source that it matches in `ucr`'s estimates of this song, if there are any."""
    names = {f"component_{i}": f"component {i}" for i in range(len(sources))}
    if "ucr" not in results.kinds:
        return names
    folder = results.root / "references" / "waveform" / song
    try:
        references = np.stack([read_mono(folder / f"{source}.wav")[0] for source in sources])
        estimates = results.root / "estimates" / "ucr" / song  # the same weights
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

"""Scoring folders of stems, from any system: which files belong together, and the rows they give."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from eval.scores import failed_scores, n_windows, score_segments
from ucr.foundation.errors import UserError
from ucr.foundation.workers import in_workers

COLUMNS = [
    "task", "method", "track", "segment", "source", "reference", "metric", "window", "value", "status", "reason"
]  # fmt: skip
SUFFIXES = {".wav", ".flac"}
MIXTURES = ("mixture", "mix")
BATCH_SAMPLES = 2**20  # of one source that a thread takes at a time: bounds memory, spreads the work


@dataclass(frozen=True)
class Song:
    """Files of one song or segment: found, their sources in one order, their lengths and rates equal.

    `references` maps a reference's name (`waveform`, `codec`) to its sources' files. Without a `mixture`
    the mean of the first reference's sources is one. `failure` says why there are no estimates, or is empty.
    """

    name: str
    references: Mapping[str, list[Path]]
    mixture: Path | None
    estimates: list[Path]
    n_samples: int
    sample_rate: int
    failure: str

    @property
    def track(self) -> str:
        """The song: `Track00001` of its segment `Track00001_3`."""
        return re.sub(r"_\d+$", "", self.name)


def find_songs(
    references: Mapping[str, Path],
    estimates: Path,
    *,
    sources: list[str] | None = None,
    ordered: bool = True,
    failures: Mapping[str, str] | None = None,
) -> tuple[list[Song], list[str]]:
    """Match folders of true sources with a folder of estimates.

    A folder holds one song's stems (`drums.wav`, `bass.flac`, perhaps `mixture.wav`), or one such folder
    a song or segment; segment i of a song is called `SONG_i`.

    Parameters
    ----------
    references
        For each reference its folder of true sources. The first says which songs there are and has the mixtures.
    estimates
        Folder of estimates.
    sources
        Stems to score, in order; other stems are then left alone. None takes every stem.
    ordered
        Whether an estimate bears its source's name; otherwise names mean nothing.
    failures
        Songs that the method failed on, with the reason; their estimates are not looked for.

    Returns
    -------
    songs
        In order of track and segment number.
    sources

    Raises
    ------
    UserError
        If a song or stem is missing, there is one too many, or files of a song differ in length or rate.
    """
    failures = failures or {}
    folders = {reference: _song_folders(folder) for reference, folder in references.items()}
    home, truth = next(iter(references.values())), next(iter(folders.values()))
    if not truth:
        raise UserError(f"{home} holds no WAV or FLAC stems and no folders of them: mend the path")
    if sources is None:
        sources = [stem for stem in _stems(next(iter(truth.values()))) if stem not in MIXTURES]
    if len(sources) < 2:
        raise UserError(f"{home} has {len(sources)} source: a separation needs two or more, each a file")
    found = _song_folders(estimates) if truth.keys() - failures.keys() else {}
    if ("" in found) != ("" in truth):
        raise UserError(
            f"{home} and {estimates}: one holds stems, the other folders of stems; give two alike"
        )
    for name in found.keys() - truth.keys():
        raise UserError(f"{found[name]} is no song of {home}: remove it")

    songs = []
    for name in sorted(truth, key=_track_and_number):
        true = {
            reference: _references(subs.get(name), sources, references[reference] / name)
            for reference, subs in folders.items()
        }
        stems = _stems(truth[name])
        mixture = next((stems[stem] for stem in MIXTURES if stem in stems), None)
        estimated = []
        if name not in failures:
            estimated = _estimates(found.get(name), stems, sources, ordered, estimates / name)
        files = [*itertools.chain(*true.values()), *estimated, *([mixture] if mixture else [])]
        song = name or truth[name].resolve().name
        songs.append(Song(song, true, mixture, estimated, *_length_and_rate(files), failures.get(name, "")))
    return songs, sources


def score_songs(
    songs: list[Song], sources: list[str], *, method: str, ordered: bool, window: float, hop: float
) -> pd.DataFrame:
    """Score songs on all cores.

    Parameters
    ----------
    songs, sources
        From `find_songs`.
    method
        Name for the rows.
    ordered, window, hop
        As for `eval.scores.score_segments`.

    Returns
    -------
    DataFrame
        One value a row, columns `COLUMNS`, in the order of the songs; `value` is NaN unless `ok`.
    """
    from threadpoolctl import threadpool_limits
    from tqdm import tqdm

    batches = list(_batches(songs))
    calls = [(batch, sources, ordered, window, hop) for batch in batches]
    rows = []
    with (
        threadpool_limits(1),  # of each of the threads, which are one a core
        tqdm(total=len(songs), desc=f"scoring {method}", unit="segment") as progress,
    ):
        for batch, result in zip(batches, in_workers(_score_batch, calls, "threading"), strict=True):
            rows += result
            progress.update(len(batch))
    table = pd.DataFrame(rows, columns=[name for name in COLUMNS if name not in ("task", "method")])
    table.insert(0, "task", "+".join(sources))
    table.insert(1, "method", method)
    return table.astype({"window": "Int64"}).round({"value": 6})


def read_rows(path: Path) -> pd.DataFrame:
    """Read a `rows.csv`.

    Raises
    ------
    UserError
        If it is missing or lacks a column.
    """
    try:
        names = dict.fromkeys(COLUMNS, "str") | {"window": "Int64", "value": "float64"}
        table = pd.read_csv(
            path, dtype=names, keep_default_na=False, na_values={"window": [""], "value": [""]}
        )
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run the stage that makes it (`dvc repro`)") from None
    except (ValueError, pd.errors.ParserError) as error:
        raise UserError(f"{path} is no table of scores ({error}): delete it and score again") from None
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise UserError(f"{path} lacks the column {missing[0]}: delete it and score again")
    return table


def _batches(songs: list[Song]) -> Iterator[list[Song]]:
    """Runs of songs that make one array: equally long, all with estimates or all without."""
    alike = itertools.groupby(songs, key=lambda song: (song.n_samples, song.sample_rate, not song.failure))
    for (n_samples, _, _), run in alike:
        size = max(1, BATCH_SAMPLES // n_samples)
        while batch := list(itertools.islice(run, size)):
            yield batch


def _score_batch(
    songs: list[Song], sources: list[str], ordered: bool, window: float, hop: float
) -> list[tuple]:
    """Rows of a batch, without task and method."""
    rate, n_samples = songs[0].sample_rate, songs[0].n_samples
    windows = n_windows(n_samples, round(window * rate), round(hop * rate))
    truth = {
        name: np.stack([_read(song.references[name], n_samples) for song in songs])
        for name in songs[0].references
    }
    if not songs[0].failure:
        estimates = np.stack([_read(song.estimates, n_samples) for song in songs])
        means = next(iter(truth.values())).mean(1)
        mixtures = [
            _read_one(song.mixture, n_samples) if song.mixture else mean
            for song, mean in zip(songs, means, strict=True)
        ]
    rows = []
    for reference, true in truth.items():
        if not songs[0].failure:
            scores = score_segments(
                true, estimates, np.stack(mixtures), rate, window=window, hop=hop, ordered=ordered
            )
        else:
            scores = [failed_scores(len(sources), windows, song.failure) for song in songs]
        rows += [
            (song.track, song.name, sources[score.source], reference, *score[1:])
            for song, of_song in zip(songs, scores, strict=True)
            for score in of_song
        ]
    return rows


def _read(paths: list[Path], n_samples: int) -> np.ndarray:
    """Audio, channels averaged: float32[n, n_samples]; samples may be not finite."""
    return np.stack([_read_one(path, n_samples) for path in paths])


def _read_one(path: Path, n_samples: int) -> np.ndarray:
    try:
        audio = soundfile.read(str(path), dtype="float32", always_2d=True)[0].mean(1)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise UserError(f"{path} can't be read to its end ({error}): it is damaged, replace it") from None
    if len(audio) != n_samples:
        raise UserError(f"{path} ends after {len(audio)} of {n_samples} samples: it is damaged, replace it")
    return audio


def _song_folders(folder: Path) -> dict[str, Path]:
    """The folders that hold stems, by song; a folder that holds them itself is the song without a name."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: mend the path")
    if _stems(folder):
        return {"": folder}
    return {sub.name: sub for sub in sorted(folder.iterdir()) if sub.is_dir() and _stems(sub)}


def _stems(folder: Path) -> dict[str, Path]:
    """Audio files of a folder by their names without suffix."""
    stems: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            if path.stem in stems:
                raise UserError(f"{path} and {stems[path.stem].name} are one stem twice: remove one")
            stems[path.stem] = path
    return stems


def _references(folder: Path | None, sources: list[str], place: Path) -> list[Path]:
    if folder is None:
        raise UserError(f"{place} is missing: each song needs its true sources")
    stems = _stems(folder)
    for source in sources:
        if source not in stems:
            raise UserError(
                f"{folder} lacks {source}.wav or {source}.flac: add it, or name the stems with --sources"
            )
    return [stems[source] for source in sources]


def _estimates(
    folder: Path | None, true: dict[str, Path], sources: list[str], ordered: bool, place: Path
) -> list[Path]:
    if folder is None:
        raise UserError(f"{place} is missing: each song needs its estimates")
    stems = {stem: path for stem, path in _stems(folder).items() if stem not in MIXTURES}
    if not ordered:
        if len(stems) != len(sources):
            raise UserError(
                f"{folder} holds {len(stems)} estimates, but there are {len(sources)} sources: make them as many"
            )
        return list(stems.values())
    for source in sources:
        if source not in stems:
            raise UserError(f"{folder} lacks {source}.wav or {source}.flac: every source needs its estimate")
    for stem in stems.keys() - true.keys():
        raise UserError(
            f"{stems[stem]} is the estimate of no source ({', '.join(sources)}): remove or rename it"
        )
    return [stems[source] for source in sources]


def _length_and_rate(paths: list[Path]) -> tuple[int, int]:
    """Length in samples and rate in Hz that all the files share."""
    first = _info(paths[0])
    for path in paths[1:]:
        info = _info(path)
        if info.samplerate != first.samplerate:
            raise UserError(
                f"{path} has a rate of {info.samplerate} Hz, but {paths[0]} of {first.samplerate} Hz: resample one"
            )
        if info.frames != first.frames:
            raise UserError(
                f"{path} has {info.frames} samples, but {paths[0]} {first.frames}: cut or pad one"
            )
    if not first.frames:
        raise UserError(f"{paths[0]} holds no audio: replace it")
    return first.frames, first.samplerate


def _info(path: Path):
    try:
        return soundfile.info(str(path))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise UserError(
            f"{path} can't be read as audio ({error}): it is damaged or not an audio file"
        ) from None


def _track_and_number(name: str) -> tuple[str, int]:
    track, _, number = name.rpartition("_")
    return (track, int(number)) if track and number.isdigit() else (name, -1)

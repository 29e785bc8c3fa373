"""Scoring folders of stems, from any system: which files belong together, and the rows they give."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from eval.bss_eval import Windows
from eval.scores import Score, failed_scores
from eval.songs import look_over, score_song
from eval.stems import Info, SongReader, read_info
from eval.stretches import measure_stretch, stretches, survey_stretch, total
from ucr.data.segments import place_of, track_of
from ucr.foundation.audio import ENDINGS, PADDING, STEM_FILES
from ucr.foundation.errors import UserError
from ucr.foundation.workers import in_workers

COLUMNS = [
    "task", "set", "method", "track", "segment", "source", "reference", "metric", "window", "value", "status", "reason"
]  # fmt: skip
MIXTURES = ("mixture", "mix")
SUMS = {"accompaniment", "instrumental", "linear_mixture", "no_vocals"}  # as musdb and separators call them
ROW_COLUMNS = [*COLUMNS, "delay"]
TOGETHER = 2**24  # samples of the songs whose stretches are spread over the cores at once: bounds memory


@dataclass(frozen=True)
class SongFiles:
    """Files of one song or segment: found, their sources in one order, their lengths and rates equal.

    `references` maps a reference's name (`waveform`, `codec`) to its sources' files. Without a `mixture`
    the mean of a reference's sources is one. `failure` says why there are no estimates, or is empty.
    `steps` holds the references' steps of amplitude (`eval.stems.Info`).
    """

    name: str
    references: Mapping[str, list[Path]]
    mixture: Path | None
    estimates: list[Path]
    n_samples: int
    sample_rate: int
    steps: Mapping[str, list[float]]
    failure: str

    @property
    def track(self) -> str:
        """The song: `Track00001` of its segment `Track00001_3`."""
        return track_of(self.name)


def find_songs(
    references: Mapping[str, Path],
    estimates: Path,
    *,
    sources: list[str] | None = None,
    ordered: bool = True,
    failures: Mapping[str, str] | None = None,
    align: bool = False,
) -> tuple[list[SongFiles], list[str]]:
    """Match folders of true sources with a folder of estimates.

    A folder holds one song's stems (`drums.wav`, `bass.flac`, perhaps `mixture.wav`), or one such folder
    per song or segment; segment i of a song is called `SONG_i`.

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
    align
        Whether estimates may be longer or shorter by what encoders pad them by; what all files have is then scored.

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
        raise _without_stems(home)
    if sources is None:
        stems = _stems(next(iter(truth.values())))
        sources = [path.stem for name, path in stems.items() if name not in MIXTURES]
        if len(sources) > 2 and (sums := SUMS.intersection(stems)):
            raise UserError(
                f"{home}: {min(sums)} is a sum of other stems, which would then count twice: choose with --sources"
            )
    if len(sources) < 2:
        raise UserError(f"{home} has {len(sources)} source: a separation needs two or more, each in a file")
    if len({source.lower() for source in sources}) < len(sources):
        raise UserError(f"{', '.join(sources)} names a source twice: name each once")
    found = _song_folders(estimates) if truth.keys() - failures.keys() else {}
    if not found and not failures:
        raise _without_stems(estimates)
    if ("" in found) != ("" in truth):
        raise UserError(
            f"{home} and {estimates}: one holds stems, the other folders of stems; give two alike"
        )
    for name in found.keys() - truth.keys():
        raise UserError(f"{found[name]} is no song of {home}: remove it")

    songs = []
    for name in sorted(truth, key=place_of):
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
        infos = {path: read_info(path) for path in files}
        spare = set(estimated) if align else set()
        n_samples, rate = _length_and_rate(infos, spare)
        steps = {reference: [infos[path].step for path in paths] for reference, paths in true.items()}
        song = name or truth[name].resolve().name
        songs.append(
            SongFiles(song, true, mixture, estimated, n_samples, rate, steps, failures.get(name, ""))
        )
    return songs, sources


def score_songs(
    songs: list[SongFiles],
    sources: list[str],
    *,
    method: str,
    ordered: bool,
    window: float,
    hop: float,
    align: bool = False,
    set_of: Callable[[str], str] = lambda _: "",
) -> pd.DataFrame:
    """Score songs on all cores, in memory that does not grow with their length but for the windows' correlations.

    `python -m eval score` of four stereo sources at 44.1 kHz takes 360 MB for 3 minutes, 433 for 12 and 508 for 24.

    Parameters
    ----------
    songs, sources
        From `find_songs`.
    method
        Name for the rows.
    ordered, window, hop
        As for `eval.songs.score_segments`.
    align
        Whether to take out the estimates' delays, and score what is then left of the song.
    set_of
        Of a song's name the test set that it is of, for the rows.

    Returns
    -------
    DataFrame
        One value per row, columns `ROW_COLUMNS`, in the order of the songs. `value` is NaN where there is none
        (`eval.scores`). `delay` is that of the source's estimate in samples, as it was found, positive if late.

    Raises
    ------
    UserError
        If a file is damaged, or a reference or mixture holds samples that are not finite.
    """
    from threadpoolctl import threadpool_limits
    from tqdm import tqdm

    rows: list[tuple] = []
    with (
        threadpool_limits(1),  # of each of the threads, which are one per core
        tqdm(total=len(songs), desc=f"scoring {method}", unit="segment") as progress,
    ):
        for group in _groups(songs):
            found = _score_group(group, ordered=ordered, seconds=(window, hop), align=align)
            for song in group:
                for reference in song.references:
                    delays, scores = found.get((song.name, reference)) or _failed(song, sources, window, hop)
                    rows += [
                        (
                            set_of(song.name),
                            song.track,
                            song.name,
                            sources[score.source],
                            reference,
                            *score[1:],
                            delays[score.source],
                        )
                        for score in scores
                    ]
            progress.update(len(group))
    table = pd.DataFrame(rows, columns=[name for name in ROW_COLUMNS if name not in ("task", "method")])
    table.insert(0, "task", "+".join(sources))
    table.insert(2, "method", method)
    return table.astype({"window": "Int64", "delay": "Int64"}).round({"value": 6})


def _groups(songs: list[SongFiles]) -> Iterator[list[SongFiles]]:
    """Runs of songs whose sums are held at once."""
    group: list[SongFiles] = []
    for song in songs:
        if group and sum(each.n_samples for each in [*group, song]) > TOGETHER:
            yield group
            group = []
        group.append(song)
    yield group


def _score_group(
    songs: list[SongFiles], *, ordered: bool, seconds: tuple[float, float], align: bool
) -> dict[tuple[str, str], tuple[list[int], list[Score]]]:
    """Delays and scores by song and reference, of songs that have estimates."""
    waiting = {
        (song.name, reference): song for song in songs if not song.failure for reference in song.references
    }
    readers = {
        key: SongReader(tuple(song.references[key[1]]), tuple(song.estimates), song.mixture, song.n_samples)
        for key, song in waiting.items()
    }
    outlooks = _look_over(waiting, readers, ordered)
    delays = {key: outlook.delays for key, outlook in outlooks.items()}
    if align:
        moved = {}
        for key, outlook in outlooks.items():
            of_estimates = np.zeros_like(outlook.delays)
            of_estimates[outlook.order] = outlook.delays
            aligned = readers[key].aligned(of_estimates)
            if of_estimates.any() and aligned.n_samples > 0:
                moved[key], delays[key] = aligned, of_estimates
        readers |= moved
        for key, outlook in _look_over(waiting, moved, ordered).items():
            outlooks[key], delays[key] = outlook, delays[key][outlook.order]
    windows = {
        key: Windows(readers[key].n_samples, *(round(each * song.sample_rate) for each in seconds))
        for key, song in waiting.items()
    }
    calls = {
        key: (reader, outlooks[key].order, outlooks[key].failed, windows[key])
        for key, reader in readers.items()
    }
    measured = {key: total(parts, windows[key]) for key, parts in _by_stretch(measure_stretch, calls)}
    results = in_workers(score_song, [(outlooks[key], *sums) for key, sums in measured.items()], "threading")
    return {key: (delays[key].tolist(), scores) for key, scores in zip(measured, results, strict=True)}


def _look_over(songs: Mapping[tuple, SongFiles], readers: Mapping[tuple, SongReader], ordered: bool) -> dict:
    """The outlook of each song and reference."""
    calls = {key: (reader, songs[key].sample_rate) for key, reader in readers.items()}
    return {
        key: look_over(
            functools.reduce(operator.add, parts),
            songs[key].sample_rate,
            ordered=ordered,
            steps=songs[key].steps[key[1]],
        )
        for key, parts in _by_stretch(survey_stretch, calls)
    }


def _by_stretch(function: Callable, calls: Mapping[tuple, tuple]) -> Iterator[tuple[tuple, Iterator]]:
    """For each call's key the results for its stretches, as they come from all cores."""
    parts = [
        (key, (read, *part, *rest))
        for key, (read, *rest) in calls.items()
        for part in stretches(read.n_samples)
    ]
    results = in_workers(function, [arguments for _, arguments in parts], "threading")
    pairs = zip(parts, results, strict=True)
    for key, group in itertools.groupby(pairs, key=lambda pair: pair[0][0]):
        yield key, (result for _, result in group)


def _failed(song: SongFiles, sources: list[str], window: float, hop: float) -> tuple[list[None], list[Score]]:
    """The scores of a song without estimates."""
    windows = Windows(song.n_samples, round(window * song.sample_rate), round(hop * song.sample_rate))
    return [None] * len(sources), failed_scores(len(sources), len(windows.starts), song.failure)


def _song_folders(folder: Path) -> dict[str, Path]:
    """The folders that hold stems, by song; a folder that holds them itself is the song without a name."""
    if not folder.is_dir():
        remedy = "write what it holds by `ucr unpack`" if folder.name.endswith(STEM_FILES) else "fix the path"
        raise UserError(f"{folder} is no folder: {remedy}")
    if _stems(folder):
        return {"": folder}
    return {sub.name: sub for sub in sorted(folder.iterdir()) if sub.is_dir() and _stems(sub)}


def _without_stems(folder: Path) -> UserError:
    packed = any(path.name.endswith(STEM_FILES) for path in folder.iterdir())
    remedy = "write what its stem files hold by `ucr unpack`" if packed else "fix the path"
    return UserError(f"{folder} holds no stems, audio files, and no folders of them: {remedy}")


def _stems(folder: Path) -> dict[str, Path]:
    """Audio files of a folder by their names in lower case, without endings."""
    stems: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if (
            path.suffix.lower() in ENDINGS
            and not path.name.startswith(".")
            and not path.name.endswith(STEM_FILES)
        ):
            name = path.stem.lower()
            if name in stems:
                raise UserError(f"{path} and {stems[name].name} are one stem twice: remove one")
            stems[name] = path
    return stems


def _references(folder: Path | None, sources: list[str], place: Path) -> list[Path]:
    if folder is None:
        raise UserError(f"{place} is missing: each song needs its true sources")
    stems = _stems(folder)
    for source in sources:
        if source.lower() not in stems:
            raise UserError(
                f"{folder} lacks {source}.wav or {source}.flac: add it, or name the stems with --sources"
            )
    return [stems[source.lower()] for source in sources]


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
        if source.lower() not in stems:
            raise UserError(f"{folder} lacks {source}.wav or {source}.flac: every source needs its estimate")
    for stem in stems.keys() - true.keys():
        raise UserError(
            f"{stems[stem]} is the estimate of no source ({', '.join(sources)}): remove or rename it"
        )
    return [stems[source.lower()] for source in sources]


def _length_and_rate(infos: Mapping[Path, Info], spare: set[Path]) -> tuple[int, int]:
    """Length in samples and rate in Hz that all the files share; those in `spare` may differ by padding."""
    (home, first), *others = infos.items()
    for path, info in others:
        if (info.n_samples, info.sample_rate) != (first.n_samples, first.sample_rate):
            padded = abs(info.n_samples - first.n_samples) <= PADDING * first.sample_rate
            if path in spare and padded and info.sample_rate == first.sample_rate:
                continue
            remedy = "cut or pad one" if info.sample_rate == first.sample_rate else "resample one"
            raise UserError(
                f"{path} has {info.n_samples} samples at {info.sample_rate} Hz, but {home} has {first.n_samples} at "
                f"{first.sample_rate} Hz: {remedy}"
            )
    if not first.n_samples:
        raise UserError(f"{home} holds no audio: replace it")
    return min(info.n_samples for info in infos.values()), first.sample_rate

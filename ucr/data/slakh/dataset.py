"""Making data sets: composing and rendering `slakh_mini`, and rendering the user's MIDI."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm import tqdm

from ucr.data.sets import folder_of
from ucr.data.slakh.compose import compose
from ucr.data.slakh.midi import find_midi, read_midi, split_of
from ucr.data.slakh.patches import reserved_patches
from ucr.data.slakh.render import SAMPLE_RATE, default_soundfont, render_song
from ucr.data.slakh.song import SPLITS
from ucr.data.slakh.soundfont import fix_soundfont
from ucr.foundation.errors import UserError
from ucr.foundation.hashes import bytes_hash
from ucr.foundation.params import DataParams
from ucr.foundation.workers import in_workers


def make_slakh_mini(data: DataParams, seed: int, folder: Path) -> dict:
    """Compose and render the whole set into `folder`; returns what `dataset.json` says of it."""
    songs = [(split, number) for split in SPLITS for number in range(getattr(data.tracks, split))]
    with _soundfonts(data, folder) as soundfonts:
        turns = {split: soundfonts if split == "train" else soundfonts[:1] for split in SPLITS}
        jobs = [
            (
                *(seed, split, number, getattr(data.seconds, split), _track(folder, split, place)),
                turns[split][number % len(turns[split])],
            )
            for place, (split, number) in enumerate(songs, start=1)
        ]
        digests = list(_work(_compose, jobs))
    return {**_described(data, digests), "test_only_patches": reserved_patches()}


def make_midi(data: DataParams, folder: Path) -> dict:
    """Render the user's MIDI files into `folder`; a file that can't be read is named in a warning and left out."""
    home = folder_of(data.name, data.path)
    names = [path.relative_to(home).as_posix() for path in find_midi(home)]
    order = sorted((SPLITS.index(split_of(name)), name) for name in names)
    digests, files = [], {}
    with _soundfonts(data, folder) as (soundfont, *_):
        places = [_track(folder, SPLITS[i], place) for place, (i, _) in enumerate(order, start=1)]
        jobs = [(home / name, place, soundfont) for (_, name), place in zip(order, places, strict=True)]
        for (_, name), place, (digest, trouble) in zip(order, places, _work(_play, jobs), strict=True):
            if trouble:
                tqdm.write(f"warning: {trouble}", file=sys.stderr)
            else:
                digests.append(digest)
                files[f"{place.parent.name}/{place.name}"] = name
    if not files:
        raise UserError(f"no MIDI file in {data.path} can be read: replace them or fix data.path")
    return {**_described(data, digests), "files": files}


@contextmanager
def _soundfonts(data: DataParams, folder: Path) -> Iterator[list[Path]]:
    """The SoundFonts as symusic needs them, for as long as songs are rendered; the first renders every split.

    They lie in `folder`, where all workers can read; what one that was killed had begun there is removed after.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".soundfonts.", dir=folder) as temporary:
        fixed = []
        for place, source in enumerate(_sources(data)):
            fixed.append(Path(temporary).resolve() / str(place) / source.name)
            fix_soundfont(source, fixed[-1])
        yield fixed
    for begun in folder.glob("*/.Track*"):
        shutil.rmtree(begun)


def _sources(data: DataParams) -> list[Path]:
    return [
        Path(data.soundfont) if data.soundfont else default_soundfont(),
        *map(Path, data.train_soundfonts),
    ]


def _track(folder: Path, split: str, place: int) -> Path:
    return folder.resolve() / split / f"Track{place:05d}"


def _work(function: Callable, jobs: list[tuple]) -> Iterator:
    """Render songs on every core; yields what `function` returns of each job, in order."""
    return iter(tqdm(in_workers(function, jobs), "rendering", len(jobs), unit="song"))


def _described(data: DataParams, digests: list[str]) -> dict:
    return {
        "fingerprint": bytes_hash(digest.encode() for digest in digests),
        "sample_rate": SAMPLE_RATE,
        "soundfonts": [source.name for source in _sources(data)],
    }


def _compose(seed: int, split: str, number: int, seconds: float, folder: Path, soundfont: Path) -> str:
    return render_song(compose(seed, split, number, seconds), folder, soundfont, seconds)


def _play(path: Path, folder: Path, soundfont: Path) -> tuple[str, str]:
    """Render a MIDI file: its digest, or what is wrong with it."""
    try:
        return render_song(read_midi(path), folder, soundfont), ""
    except (OSError, MemoryError):
        raise
    except UserError as error:
        sentence = str(error)
    except Exception as error:  # whatever is odd about one song costs that song alone
        sentence = f"{type(error).__name__}: {error}"
    return "", sentence if path.name in sentence else f"{path} can't be rendered ({sentence})"

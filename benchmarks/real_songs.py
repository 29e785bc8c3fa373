"""Recorded songs of Debian's packages as a folder to train on, without stems -> FOLDER.

    python -m benchmarks.real_songs FOLDER [--packages warzone2100-music ...] [--beside segments]

Needs `apt-get` and `dpkg-deb` (Debian, Ubuntu) and their package index. Every song keeps its package's licences beside
it (`copyright`). With `--beside` the mixtures of a run's training split lie there too, as `songs/embedded`, for
trainings on both. `data: {name: songs, path: FOLDER/songs}` reads the folder; `benchmarks/ablation.yaml` has variants
that do, of `runs/real` and of `runs/real_and_embedded`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from tqdm import tqdm

from ucr.data.segments import SegmentStore
from ucr.data.tracks import files_below
from ucr.foundation.audio import ENDINGS
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import replacing, write_audio

# Music of bands and of synthesisers; of Frets on Fire the songs without their lead guitar.
PACKAGES = [
    *("warzone2100-music", "singularity-music", "asc-music"),
    *("fretsonfire-songs-muldjord", "fretsonfire-songs-sectoid"),
]
LEFT_OUT = {"guitar.ogg"}  # a stem
SHORTEST = 500_000  # bytes: shorter files are sounds of the game


def unpack(package: str, folder: Path) -> int:
    """Fetch a package and put its songs, with its licences, into `folder`; how many songs there are.

    Raises
    ------
    UserError
        If it can't be fetched, or holds no song.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise UserError("apt-get and dpkg-deb are needed: run this on Debian or Ubuntu")
    with tempfile.TemporaryDirectory() as name:
        fetched = subprocess.run(["apt-get", "download", package], cwd=name, capture_output=True, text=True)
        files = list(Path(name).glob("*.deb"))
        if fetched.returncode or not files:
            raise UserError(f"{package} could not be fetched: run `apt-get update`, or name other packages")
        contents = Path(name) / "contents"
        if subprocess.run(["dpkg-deb", "--extract", files[0], contents]).returncode:
            raise UserError(f"{package} could not be unpacked: fetch it again, or name other packages")
        songs = [
            path
            for path in files_below(contents, ENDINGS)
            if path.name not in LEFT_OUT and path.stat().st_size >= SHORTEST
        ]
        if not songs:
            raise UserError(f"{package} holds no song of {SHORTEST} bytes or more: name another package")
        folder.mkdir(parents=True, exist_ok=True)
        for path in songs:
            shutil.move(path, folder / "-".join(path.relative_to(contents).parts[-2:]))
        shutil.copy(contents / "usr/share/doc" / package / "copyright", folder)
    return len(songs)


def add_mixtures(segments: Path, folder: Path) -> int:
    """Write the training mixtures of a run's segments into `folder`; how many there are."""
    store = SegmentStore(segments, "train")
    folder.mkdir(parents=True, exist_ok=True)
    for segment in tqdm(store, "mixtures", unit="mixture"):
        write_audio(folder / f"{segment.name}.wav", segment.mixture, store.sample_rate)
    return len(store)


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.real_songs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--packages", nargs="+", default=PACKAGES)
    parser.add_argument("--beside", type=Path, metavar="SEGMENTS")
    arguments = parser.parse_args()
    if arguments.folder.exists():
        raise UserError(f"{arguments.folder} is there already: name a new folder, or delete it")
    with replacing(arguments.folder) as made:
        for package in tqdm(arguments.packages, "packages", unit="package"):
            print(package, unpack(package, made / "songs" / package), "songs")
        if arguments.beside:
            print(add_mixtures(arguments.beside, made / "songs" / "embedded"), "mixtures")


if __name__ == "__main__":
    main()

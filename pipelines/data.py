"""Stage `data`: compose and render songs, or point at the user's own.

Writes `data/dataset.json`, and the songs that it renders beside it in Slakh2100's layout.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

from pipelines import run_stage
from ucr.data.sets import find, folder_of
from ucr.data.slakh.dataset import make_midi, make_slakh_mini
from ucr.data.slakh.song import SPLITS
from ucr.foundation.errors import command
from ucr.foundation.files import write_json
from ucr.foundation.hashes import scan_hash
from ucr.foundation.params import load_params

FOLDER = Path("data")


@command
def main() -> None:
    params = load_params()
    data = params.data
    (FOLDER / "dataset.json").unlink(missing_ok=True)
    if data.name not in ("slakh_mini", "midi"):
        root = folder_of(data.name, data.path)
        tracks = find(data.name, root)
        described = {
            "fingerprint": scan_hash(root, times=False),
            "scan": scan_hash(root),
            "files": {f"{track.split}/{track.name}": str(track.folder.relative_to(root)) for track in tracks},
            "stems": data.stems,
        }
    else:
        root = FOLDER / data.name
        shutil.rmtree(root, ignore_errors=True)
        described = make_midi(data, root) if data.name == "midi" else make_slakh_mini(data, params.seed, root)
        tracks = find(data.name, root)
    counts = Counter(track.split for track in tracks)
    described |= {"name": data.name, "root": str(root), "tracks": {split: counts[split] for split in SPLITS}}
    write_json(FOLDER / "dataset.json", described)
    print(f"{FOLDER / 'dataset.json'}: {data.name}, tracks: {described['tracks']}")


if __name__ == "__main__":
    run_stage(main, __doc__)

"""Stage `data`: compose and render songs, or point at the user's own.

Writes `data/dataset.json`, and the songs that it renders beside it in Slakh2100's layout.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

from pipelines import run_stage
from ucr.data.slakh.dataset import fingerprint_folder, make_midi, make_slakh_mini, users_folder
from ucr.data.slakh.read import find_tracks
from ucr.data.slakh.song import SPLITS
from ucr.foundation.errors import command
from ucr.foundation.files import write_json
from ucr.foundation.params import load_params

FOLDER = Path("data")


@command
def main() -> None:
    params = load_params()
    data = params.data
    (FOLDER / "dataset.json").unlink(missing_ok=True)
    if data.name == "slakh2100":
        root = users_folder(data)
        described = {"fingerprint": fingerprint_folder(root)}
    else:
        root = FOLDER / data.name
        shutil.rmtree(root, ignore_errors=True)
        described = make_midi(data, root) if data.name == "midi" else make_slakh_mini(data, params.seed, root)
    counts = Counter(track.split for track in find_tracks(root))
    tracks = {split: counts[split] for split in SPLITS}
    write_json(FOLDER / "dataset.json", {"name": data.name, "root": str(root), "tracks": tracks, **described})
    print(f"{FOLDER / 'dataset.json'}: {data.name}, tracks: {tracks}")


if __name__ == "__main__":
    run_stage(main, __doc__)

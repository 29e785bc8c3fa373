"""Stage `inputs`: what lies at the user's paths in params.yaml, by names, sizes and times -> inputs.

It runs each time and opens no file, which takes a moment on any data set. What depends on a path runs if its scan
differs.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipelines import run_stage
from ucr.foundation.errors import command
from ucr.foundation.files import replacing, write_json
from ucr.foundation.hashes import scan_hash
from ucr.foundation.schema import PARAMS_FILE, read_yaml

OUT = Path("inputs")


def paths_of(params: dict) -> dict[str, list[str | None]]:
    """The user's paths by the file of `inputs` that tells of them; None where nothing is named."""
    data = params["data"]
    return {
        "data": [data["path"], data["soundfont"], *data["train_soundfonts"]],
        "tests": [options.get("path") for options in params.get("tests", {}).values()],
        "codec": [params["codec"]["weights"]],
        "generation": list(params["generation"]["weights"].values()),
        **{f"methods/{name}": [options.get("weights")] for name, options in params["methods"].items()},
    }


def scans(paths: Iterable[str | None]) -> dict[str, str]:
    """The scan of each path."""
    return {path: scan_hash(Path(path).expanduser()) for path in paths if isinstance(path, str)}


@command
def main() -> None:
    with replacing(OUT) as temporary:
        for name, paths in paths_of(read_yaml(PARAMS_FILE)).items():
            write_json(temporary / f"{name}.json", scans(paths))


if __name__ == "__main__":
    run_stage(main, __doc__)

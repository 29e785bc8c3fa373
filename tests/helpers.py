"""Where the project is, and the parameters of tests, which no change of the user's `params.yaml` touches."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARAMS = ROOT / "tests/params.yaml"
TEN_SECONDS = {"train": 10.0, "validation": 10.0, "test": 10.0}  # the least that songs of `slakh_mini` last

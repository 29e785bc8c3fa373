"""Where the project is, and the parameters of tests, which no change of the user's `params.yaml` touches."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARAMS = ROOT / "tests/params.yaml"

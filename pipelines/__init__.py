"""The stages of `dvc.yaml`, a module each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


def run_stage(main: Callable[[], None], description: str | None) -> None:
    """Run the `main` of a stage that takes no arguments: `--help` describes it, any other is refused."""
    name = Path(sys.argv[0]).stem
    argparse.ArgumentParser(prog=f"python -m pipelines.{name}", description=description).parse_args()
    main()

"""Benchmarks take the parameters of tests for those of the project."""

import pytest

from benchmarks import projects
from tests.helpers import PARAMS, ROOT


@pytest.fixture(scope="session", autouse=True)
def parameters(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    (root / "params.yaml").symlink_to(PARAMS)
    (root / "params").symlink_to(ROOT / "params")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projects, "ROOT", root)
        yield

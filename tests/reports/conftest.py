"""Results folders to make reports of."""

import shutil

import pytest

from tests.reports.helpers import make_tree, with_segments


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A results folder and its parameters; tests leave it as it is."""
    root = tmp_path_factory.mktemp("results")
    return root, make_tree(root)


@pytest.fixture
def tree(whole, tmp_path):
    """A results folder to change, and its parameters, which ask for one segment to hear."""
    root, params = whole
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    return tmp_path, with_segments(params, 1)

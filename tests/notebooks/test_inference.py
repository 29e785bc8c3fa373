import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers import ROOT
from tests.ucr.program.conftest import with_prior  # noqa: F401

PATH = ROOT / "notebooks" / "inference.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(PATH, as_version=4)


def test_the_notebook_is_kept_without_outputs(notebook):
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.slow
def test_the_notebook_runs(notebook, with_prior, monkeypatch):  # noqa: F811
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(ROOT)}}).execute()
    shown = [output.data for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    assert sum("image/png" in data for data in shown) == 5
    assert sum("audio" in data.get("text/html", "") for data in shown) == 3 + 2 + 2 + 3 + 3
    printed = "".join(
        o.text for c in notebook.cells for o in c.get("outputs", []) if o.output_type == "stream"
    )
    assert "the stems add up to the song, to -1" in printed

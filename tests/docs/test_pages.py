"""The README and the pages of docs/: their length, their links, their tables, and the versions that they name."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from packaging.requirements import Requirement

from benchmarks import pages
from ucr.foundation.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= 1200


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, as GitHub and MyST do."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith("https://"):
            continue
        place, _, anchor = link.partition("#")
        target = page.parent / place if place else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_of_docs_is_reached_from_the_readme():
    readme = (ROOT / "README.md").read_text()
    contents = (ROOT / "docs" / "index.md").read_text().splitlines()
    of_the_site = {"index.md", "api.md", "changes.md", "contributing.md"}
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name in of_the_site or f"](docs/{page.name}" in readme, page.name
        assert page.name == "index.md" or page.stem in contents, f"{page.name} is in no list of docs/index.md"


def test_tables_are_those_of_the_run(tmp_path):
    """Of the committed run, where `reports/` holds another one."""
    folder = ROOT
    if subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "reports"], cwd=ROOT).returncode == 1:
        folder = tmp_path
        committed = ["git", "archive", "HEAD", "README.md", "docs", "reports"]
        archive = subprocess.run(committed, cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x"], cwd=folder, check=True, input=archive)
    for path, text in pages.pages(folder, folder / "reports" / "tables").items():
        assert path.read_text() == text, f"{path.name}: run python -m benchmarks.pages"
        assert "nan" not in text.split()


@pytest.fixture
def elsewhere(tmp_path):
    """A copy of the pages and the run's tables."""
    shutil.copytree(pages.TABLES, tmp_path / "tables")
    (tmp_path / "docs").mkdir()
    for page in pages.PAGES:
        shutil.copy(ROOT / page, tmp_path / page)
    return tmp_path


def test_another_score_is_another_row(elsewhere):
    table = elsewhere / "tables" / "separation.csv"
    rows = pd.read_csv(table)
    cell = {"method": "grouping_adapted", "reference": "waveform", "source": "drums", "metric": "si_sdr"}
    rows.loc[(rows[list(cell)] == pd.Series(cell)).all(axis=1), "mean"] = 3.21
    rows.to_csv(table, index=False)
    readme = pages.pages(elsewhere, elsewhere / "tables")[elsewhere / "README.md"]
    (row,) = [line for line in readme.splitlines() if line.startswith("| `grouping_adapted` |")]
    assert row.split(" | ")[4] == "3.2"
    assert "## Licence" in readme


def test_a_score_without_a_mean_is_left_empty(elsewhere):
    table = elsewhere / "tables" / "separation.csv"
    rows = pd.read_csv(table)
    rows.loc[(rows["method"] == "mixture") & (rows["metric"] == "si_sar"), ["mean", "n"]] = np.nan, 0
    rows.to_csv(table, index=False)
    n = rows.loc[(rows["method"] == "mixture") & (rows["metric"] == "si_sdr"), "n"].iloc[0]
    results = pages.pages(elsewhere, elsewhere / "tables")[elsewhere / "docs" / "results.md"]
    (row,) = [line for line in results.splitlines() if line.startswith("| `mixture` | bound | -")]
    assert row.endswith(f"|  |  | {n} |")


def test_the_spread_over_seeds_stands_beside_a_score(elsewhere):
    lines = ["method,seed,share,si_sdr_drums,si_sdr_bass", "ucr,0,1.0,9.0,10.0", "ucr,1,1.0,10.0,10.0"]
    (elsewhere / "seeds.csv").write_text("\n".join([*lines, "nmf,0,1.0,8.0,9.0", ""]))
    results = pages.pages(elsewhere, elsewhere / "tables")[elsewhere / "docs" / "results.md"]
    assert next(line for line in results.splitlines() if line.startswith("| `ucr` ")).count(
        "| 9.5 ± 0.7 / 10.0 ± 0.0 (2) |"
    )
    assert next(line for line in results.splitlines() if line.startswith("| `nmf` ")).count("|  |")


def test_training_counts_what_it_learns_from_and_what_is_absent_says_so(elsewhere):
    table = elsewhere / "tables" / "cost.csv"
    rows = pd.read_csv(table).set_index("method")
    times = ["preparation_seconds", "train_seconds", "train_seconds_elsewhere"]
    rows.loc[["ucr", "ucr_pretrained", "demucs"], times] = [
        [30, 120, np.nan],
        [200, np.nan, 5000],
        [np.nan, 99, np.nan],
    ]
    rows["failed"] = rows["failed"].astype(object)
    rows.loc["openunmix_pretrained", "failed"] = "not available: no network"
    rows.to_csv(table)
    results = pages.pages(elsewhere, elsewhere / "tables")[elsewhere / "docs" / "results.md"]
    scores, costs = (
        {line.split("`")[1]: line for line in part.splitlines() if line.startswith("| `")}
        for part in results.split("## Cost")
    )
    assert "| 150 |" in costs["ucr"]
    assert "| 5,200, elsewhere |" in costs["ucr_pretrained"]
    assert "| 99 |" in costs["demucs"]
    assert "| not available | not available |" in scores["openunmix_pretrained"]


def test_a_page_without_its_place_is_named(elsewhere):
    page = elsewhere / "docs" / "results.md"
    page.write_text(page.read_text().replace("<!-- /cost -->", ""))
    with pytest.raises(UserError, match=r"results\.md needs <!-- cost -->"):
        pages.pages(elsewhere, elsewhere / "tables")


def test_where_only_mixtures_are_said_to_teach_stands_what_labels_touch():
    template = ROOT / "eval" / "report" / "template" / "page.html.j2"
    pages = {ROOT / "notebooks" / "inference.ipynb", *PAGES} - {ROOT / "CHANGELOG.md"}
    said = [path for path in pages if "mixtures only" in path.read_text().lower()]
    assert {path.name for path in said} >= {"README.md", "scores.md", "limits.md"}
    for path in [*said, template]:  # whose kinds are texts of eval/report/page.py
        assert "RMS" in path.read_text(), path.name
        assert "percussive" in path.read_text(), path.name


def test_the_same_version_stands_everywhere():
    version = PROJECT["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"version = {{{version}}}" in (ROOT / "README.md").read_text()
    released = re.findall(r"^## \[(\d.*)\] - ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert released[0] == version


def test_what_is_needed_is_pinned_within_its_bounds():
    lines = (ROOT / "constraints.txt").read_text().split()
    pins = {name.lower().replace("_", "-"): pin for name, pin in (line.split("==") for line in lines)}
    for needed in chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        requirement = Requirement(needed)
        if requirement.name != PROJECT["name"]:
            pin = pins[requirement.name.lower().replace("_", "-")]
            assert requirement.specifier.contains(pin, prereleases=True), needed


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    sphinx = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "docs", str(tmp_path)]
    subprocess.run(sphinx, check=True, cwd=ROOT)
    for page in ("index.html", "results.html", "api/ucr/ucr.html"):
        assert (tmp_path / page).is_file()

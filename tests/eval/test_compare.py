"""`python -m eval compare`: what it finds, prints and refuses."""

from __future__ import annotations

import shutil
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eval.comparable import provenance_table
from eval.compare import compare, read_side
from eval.folders import COLUMNS
from eval.tables import MethodInfo, tables_of_sets
from ucr.foundation.errors import UserError

PROVENANCE = {
    "kind": "blind",
    "data": {"slakh_mini": "a" * 64},
    "sources": ["drums", "bass"],
    "sample_rate": 24000,
    "protocol": {"version": 1, "window": 3.5, "hop": 1.5},
}


def write_results(
    folder: Path, gain: float = 0, methods=("hpss", "ucr"), sets=("slakh_mini",), **changed
) -> Path:
    """Tables of two methods on ten tracks per set; in the first one drums of `ucr` are `gain` dB better in each."""
    rng = np.random.default_rng(0)
    rows = []
    for name, method, track, source in product(sets, ("hpss", "ucr"), range(10), ("drums", "bass")):
        value = rng.normal() + (gain if (name, method, source) == (sets[0], "ucr", "drums") else 0)
        where = ("drums+bass", name, method, f"{track:03}", f"{track:03}_0", source)
        rows.append((*where, "waveform", "si_sdr", None, value))
    table = (
        pd.DataFrame(rows, columns=COLUMNS[:10]).assign(status="ok", reason="").astype({"window": "Int64"})
    )
    tables = tables_of_sets(
        table[table["method"].isin(methods)], {name: MethodInfo("blind", "") for name in methods}
    )
    folder = folder / "reports" / "tables"
    folder.mkdir(parents=True)
    tables.tracks.to_csv(folder / "tracks.csv", index=False)
    about = PROVENANCE | {"data": dict.fromkeys(sets, "a" * 64)} | changed
    provenance_table(dict.fromkeys(methods, about)).to_csv(folder / "provenance.csv", index=False)
    return folder.parents[1]


def test_compare_finds_the_difference_and_only_that(tmp_path):
    first, second = write_results(tmp_path / "a"), write_results(tmp_path / "b", gain=0.5)
    table = compare(read_side(str(first)), read_side(str(second)), ["si_sdr"], "waveform")
    assert len(table) == 4
    assert table["tracks"].eq(10).all()
    changed = table[table["difference"].abs() > 1e-3]
    assert changed[["method", "source"]].to_numpy().tolist() == [["ucr", "drums"]]
    row = changed.iloc[0]
    assert row["difference"] == pytest.approx(0.5, abs=1e-3)
    assert row["ci_low"] <= row["difference"] <= row["ci_high"]
    assert row["p_holm"] == pytest.approx(4 * 2 / 2**10, abs=1e-6)
    assert table["significant"].sum() == 1


def test_compare_prints_two_folders(tmp_path, run):
    first, second = write_results(tmp_path / "a"), write_results(tmp_path / "b", gain=0.5, methods=("ucr",))
    result = run("compare", first, second, "--metrics", "si_sdr")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "difference is B less A" in lines[0]
    assert (
        " ".join(lines[1].split()) == "set method source metric tracks A B difference ci_low ci_high p_holm"
    )
    assert [line.split()[:4] for line in lines[2:4]] == [
        ["slakh_mini", "ucr", "drums", "si_sdr"],
        ["slakh_mini", "ucr", "bass", "si_sdr"],
    ]
    assert lines[2].endswith("*")
    assert lines[4] == f"only in {first}: hpss"
    assert run("compare", first, first, "--metrics", "si_sdr").returncode == 0


def test_compare_tells_test_sets_apart(tmp_path, run):
    first = write_results(tmp_path / "a", sets=("slakh_mini", "real", "more"))
    hashes = {"slakh_mini": "a" * 64, "real": "a" * 64}
    second = write_results(tmp_path / "b", gain=0.5, sets=("slakh_mini", "real"), data=hashes)
    table = compare(read_side(str(first)), read_side(str(second)), ["si_sdr"], "waveform")
    assert table["set"].value_counts().to_dict() == {"slakh_mini": 4, "real": 4}
    changed = table[table["difference"].abs() > 1e-3]
    assert changed[["set", "method", "source"]].to_numpy().tolist() == [["slakh_mini", "ucr", "drums"]]
    assert f"test sets only in {first}: more" in run("compare", first, second).stdout
    other = write_results(tmp_path / "c", sets=("slakh_mini", "real"), data=hashes | {"real": "b" * 64})
    assert "their data hashes of real differ" in run("compare", first, other).stderr


def test_compare_reads_git_revisions_also_below_the_top_folder(tmp_path, run, monkeypatch):
    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True
        )

    git("init", "-q")
    project = write_results(tmp_path / "project")
    git("add", ".")
    git("commit", "-qm", "one")
    shutil.rmtree(project)
    write_results(tmp_path / "project", gain=0.5)
    git("commit", "-qam", "two")
    monkeypatch.chdir(project)
    result = run("compare", "HEAD~1", "HEAD", "--metrics", "si_sdr")
    assert result.returncode == 0, result.stderr
    changed = next(line for line in result.stdout.splitlines() if line.endswith("*"))
    assert changed.split()[7] == "0.50"
    git("rm", "-rqf", "--cached", ".")
    git("commit", "-qm", "three")
    result = run("compare", "HEAD~1", "HEAD")
    assert result.returncode == 1
    assert result.stderr == (
        "error: revision HEAD keeps no reports/tables/tracks.csv: choose one whose tables were committed\n"
    )
    assert "'v9' is no folder and no git revision" in run("compare", "v9", "HEAD~1").stderr


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"data": {"slakh_mini": "b" * 64}},
            r"hashes of slakh_mini differ \(A \(\S+a\): a{12}; B \(\S+b\): b{12}\)",
        ),
        ({"sources": ["drums", "piano"]}, "sources differ"),
        ({"protocol": {"version": 2, "window": 3.5, "hop": 1.5}}, "scoring protocols differ"),
    ],
)
def test_compare_refuses_what_was_measured_otherwise(tmp_path, changed, sentence):
    sides = [
        read_side(str(write_results(tmp_path / "a"))),
        read_side(str(write_results(tmp_path / "b", **changed))),
    ]
    with pytest.raises(UserError, match=sentence):
        compare(*sides, ["si_sdr"], "waveform")


def test_compare_refuses_what_is_not_there(tmp_path):
    results = read_side(str(write_results(tmp_path / "a")))
    with pytest.raises(UserError, match="has no metric 'sdr': choose from si_sdr, "):
        compare(results, results, ["sdr"], "waveform")
    with pytest.raises(UserError, match="share no method scored on one set against codec"):
        compare(results, results, ["si_sdr"], "codec")
    with pytest.raises(UserError, match=r"has neither reports/tables/tracks\.csv nor"):
        read_side(str(tmp_path))
    (tmp_path / "a" / "reports" / "tables" / "provenance.csv").write_text("method\nhpss\n")
    with pytest.raises(UserError, match=r"provenance\.csv lacks the column sources"):
        read_side(str(tmp_path / "a"))

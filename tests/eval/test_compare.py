"""`python -m eval compare`: what it finds, prints and refuses."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eval.compare import compare, read_side
from eval.folders import COLUMNS
from eval.provenance import provenance_table
from eval.tables import MethodInfo, make_tables
from ucr.foundation.errors import UserError

PROVENANCE = {
    "kind": "blind",
    "data": "a" * 64,
    "sources": ["drums", "bass"],
    "sample_rate": 24000,
    "protocol": {"version": 1, "window": 3.5, "hop": 1.5},
}


def write_results(folder: Path, gain: float = 0, methods=("hpss", "ucr"), metric="si_sdr", **changed) -> Path:
    """Tables of two methods on ten tracks; drums of `ucr` are `gain` dB better in each."""
    rng = np.random.default_rng(0)
    rows = []
    for method in ("hpss", "ucr"):
        for track in range(10):
            for source in ("drums", "bass"):
                value = rng.normal() + (gain if (method, source) == ("ucr", "drums") else 0)
                rows.append(
                    (
                        "drums+bass",
                        method,
                        f"{track:03}",
                        f"{track:03}_0",
                        source,
                        "waveform",
                        metric,
                        None,
                        value,
                    )
                )
    table = pd.DataFrame(rows, columns=COLUMNS[:9]).assign(status="ok", reason="").astype({"window": "Int64"})
    tables = make_tables(
        table[table["method"].isin(methods)], {name: MethodInfo("blind", "") for name in methods}
    )
    folder = folder / "reports" / "tables"
    folder.mkdir(parents=True)
    tables.tracks.to_csv(folder / "tracks.csv", index=False)
    provenance_table({name: PROVENANCE | changed for name in methods}).to_csv(
        folder / "provenance.csv", index=False
    )
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
    assert " ".join(lines[1].split()) == "method source metric tracks A B difference ci_low ci_high p_holm"
    assert [line.split()[:3] for line in lines[2:4]] == [
        ["ucr", "drums", "si_sdr"],
        ["ucr", "bass", "si_sdr"],
    ]
    assert lines[2].endswith("*")
    assert lines[4] == f"only in {first}: hpss"
    assert run("compare", first, first, "--metrics", "si_sdr").returncode == 0


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
    assert changed.split()[6] == "0.50"
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
        ({"data": "b" * 64}, r"data hashes differ \(A \(\S+a\): a{12}; B \(\S+b\): b{12}\)"),
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
    with pytest.raises(UserError, match="share no method scored against codec"):
        compare(results, results, ["si_sdr"], "codec")
    with pytest.raises(UserError, match=r"has neither reports/tables/tracks\.csv nor"):
        read_side(str(tmp_path))
    (tmp_path / "a" / "reports" / "tables" / "provenance.csv").write_text("method\nhpss\n")
    with pytest.raises(UserError, match=r"provenance\.csv lacks the column data"):
        read_side(str(tmp_path / "a"))

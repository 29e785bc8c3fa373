"""The revision of the code, wherever a run is."""

import subprocess

from ucr.foundation import provenance


def git(folder, *arguments):
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(
        ["git", *author, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_revision_is_that_of_the_code_also_in_the_folder_of_a_preset(tmp_path, monkeypatch):
    run = tmp_path / "runs/smoke"
    run.mkdir(parents=True)
    for name in provenance.CODE:
        (tmp_path / name).write_text("one")
    (tmp_path / ".gitignore").write_text("runs\n")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.chdir(run)
    assert provenance.code_version() == {"commit": "unknown", "uncommitted_changes": False}
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (run / "params.yaml").write_text("the run's own")
    assert provenance.code_version() == {"commit": commit, "uncommitted_changes": False}
    (tmp_path / "ucr").write_text("two")
    assert provenance.code_version() == {"commit": commit, "uncommitted_changes": True}

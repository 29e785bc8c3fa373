import numpy as np
import pandas as pd
import pytest

from benchmarks import clips
from ucr.foundation.files import read_audio, write_audio

RATE = 24000


@pytest.fixture
def folder(project, monkeypatch):
    """Two clips of noise with estimates that leak, in a project of its own."""
    root = project()
    (root / "segments").mkdir()
    for clip in "12":
        drums, bass = np.random.default_rng(int(clip)).normal(0, 0.1, (2, 3 * RATE)).astype(np.float32)
        given = {"drums": drums, "bass": bass, "drums_estimate": drums + 0.1 * bass, "bass_estimate": bass}
        for name, audio in given.items():
            write_audio(root / "clips" / clip / f"{name}.wav", audio, RATE)
    monkeypatch.setattr("sys.argv", ["clips", str(root / "clips"), "hpss", "--csv", "clips.csv"])
    return root


def test_methods_and_the_estimates_that_are_there_are_scored(folder, capsys):
    clips.main()
    table = pd.read_csv(folder / "clips.csv", dtype={"clip": str}).set_index(["method", "clip", "source"])
    assert set(table.index.get_level_values("method")) == {
        "hpss",
        "estimates there",
        "estimates there, as masks",
    }
    assert table.loc[("estimates there", "1", "drums"), "si_sir"] == pytest.approx(20, abs=0.5)
    assert table.loc[("estimates there, as masks", "2", "bass"), "si_sdr"] > 3
    assert "hpss" in capsys.readouterr().out


def test_without_estimates_the_methods_alone_are_scored(folder):
    (folder / "clips" / "2" / "bass_estimate.wav").unlink()
    clips.main()
    assert set(pd.read_csv(folder / "clips.csv")["method"]) == {"hpss"}


def test_hidden_folders_are_no_clips_and_opposite_channels_are_named(folder, capsys):
    (folder / "clips" / ".ipynb_checkpoints").mkdir()
    drums = read_audio(folder / "clips" / "1" / "drums.wav")[0]
    write_audio(folder / "clips" / "1" / "drums.wav", np.concatenate([drums, -drums]), RATE)
    clips.main()
    table = pd.read_csv(folder / "clips.csv", dtype={"clip": str}).set_index(["method", "clip", "source"])
    assert table.loc[("estimates there", "1", "drums"), "si_sir"] == pytest.approx(20, abs=0.5)
    assert "1/drums.wav: the channels cancel in their mean" in capsys.readouterr().err


def test_a_folder_without_clips_is_an_error_that_writes_nothing(folder, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["clips", str(folder / "clips" / "1"), "hpss", "--csv", "clips.csv"])
    with pytest.raises(SystemExit):
        clips.main()
    assert "holds no folder: name one that holds a folder per clip" in capsys.readouterr().err
    assert not (folder / "clips.csv").exists()


def test_a_mean_over_fewer_scores_comes_after_those_over_more():
    rows = [
        ("whole", "1", 5.0),
        ("whole", "2", 7.0),
        ("poor", "1", 1.0),
        ("poor", "2", 2.0),
        ("lucky", "1", 9.0),
    ]
    rows.append(("lucky", "2", np.nan))
    table = pd.DataFrame(rows, columns=["method", "clip", "si_sdr"]).assign(source="drums")
    ranked = clips.ranked(table, "si_sdr")
    assert list(ranked.index) == ["whole", "poor", "lucky"]
    assert ranked["n"].tolist() == [2, 2, 1]
    assert ranked["mean"].tolist() == [6.0, 1.5, 9.0]

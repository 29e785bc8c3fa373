"""`benchmarks/coverage.py`: coverage that is known, and tracks that find what they are said to find."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon

from benchmarks import coverage
from eval.statistics import mean_interval
from ucr.foundation.errors import UserError

KINDS = {"ucr": "unsupervised", "nmf": "blind", "demucs": "supervised", "irm": "oracle", "mixture": "bound"}


@pytest.fixture
def tracks():
    rng = np.random.default_rng(0)
    levels = {"ucr": 9.0, "nmf": 8.5, "demucs": 12.0, "irm": 15.0, "mixture": 0.0}
    rows = [
        ("drums+bass", method, "waveform", source, f"{track:03}", *rng.normal(level, 1, size=4))
        for method, level in levels.items()
        for source in ("drums", "bass")
        for track in range(14)
    ]
    names = ["task", "method", "reference", "source", "track", *coverage.METRICS, coverage.MEDIAN_METRIC]
    table = pd.DataFrame(rows, columns=names)
    table.loc[table["method"] == "mixture", "si_sar"] = 100.0
    return table


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(coverage, "SAMPLES", 200)
    monkeypatch.setattr(coverage, "NORMAL_SAMPLES", 4000)
    monkeypatch.setattr(coverage, "RESAMPLES", 200)
    monkeypatch.setattr(coverage, "TRACKS", (14, 28))


def test_an_interval_that_is_always_right_and_one_that_never_is(few):
    table = coverage.coverage_table(
        {
            "normal": (
                [coverage.normal],
                {"all": lambda s, c: (-np.inf, np.inf), "none": lambda s, c: (1.0, -1.0)},
            )
        }
    )
    found = table.set_index(["interval", "tracks"])["coverage"].to_dict()
    assert found == {("all", 14): 1, ("none", 14): 0, ("all", 28): 1}  # beyond 14 only what is in use


def test_students_t_covers_normal_data_and_the_percentile_bootstrap_too_seldom(few):
    found = coverage.coverage_table({"normal": ([coverage.normal], coverage.OF_MEAN)})
    by_interval = found[found["tracks"] == 14].set_index("interval")["coverage"]
    assert 0.94 < by_interval["Student's t"] < 0.96
    assert 0.94 < by_interval["studentised bootstrap"] < 0.965
    assert by_interval["percentile bootstrap"] < 0.935


def test_the_truth_of_a_resampled_population_is_its_centre(few):
    population = np.arange(14.0) ** 2
    sums, counts = coverage.resampled(population, population.mean())(np.random.default_rng(0), 5000)
    low, high = mean_interval(sums, counts)
    assert ((low < 0) & (high > 0)).mean() > 0.9


def test_every_method_and_every_pair_that_competes_is_a_population(tracks, few):
    found = {name: len(samplers) for name, (samplers, _) in coverage.read_populations(tracks, KINDS).items()}
    assert found == {
        "normal": 1,
        "normal, 1 to 4 segments per track": 1,
        "si_sdr of a method": 10,
        "si_sir of a method": 10,
        "si_sar of a method": 8,  # without the mixture's, which have no spread
        "si_sdr, difference of two methods": 6,
        "normal, median": 1,
        "v4_sdr_median_windows of a method": 10,
    }


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
def test_as_many_tracks_as_needed_find_half_a_decibel_four_times_in_five(spread):
    n_tracks = coverage.tracks_needed(spread)
    differences = np.random.default_rng(0).normal(0.5, spread, size=(4000, n_tracks))
    assert 0.78 < (wilcoxon(differences, axis=1).pvalue < 0.05).mean() < 0.84
    assert coverage.tracks_needed(spread, 0.005) > n_tracks


def test_the_power_table_has_the_pairs_that_compete(tracks):
    absent = tracks[tracks["method"] == "demucs"].assign(method="htdemucs_pretrained", si_sdr=np.nan)
    table = coverage.power_table(pd.concat([tracks, absent]), KINDS | {"htdemucs_pretrained": "supervised"})
    pairs = {(row.method_a, row.method_b) for row in table.itertuples()}
    assert pairs == {("ucr", "nmf"), ("ucr", "demucs"), ("nmf", "demucs")}
    row = table[(table["source"] == "bass") & (table["method_b"] == "nmf")].iloc[0]
    scores = tracks[tracks["source"] == "bass"].set_index(["method", "track"])["si_sdr"]
    spread = (scores["ucr"] - scores["nmf"]).std()
    assert row["spread"] == pytest.approx(spread, abs=1e-4)
    assert row["tracks"] == coverage.tracks_needed(spread)
    assert row["tracks_corrected"] == coverage.tracks_needed(spread, 0.05 / 2)  # of two rivals


@pytest.mark.slow
def test_the_command_writes_both_tables(tracks, few, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(coverage, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["coverage", "--tables", str(tmp_path)])
    with pytest.raises(SystemExit) as left:
        coverage.main()
    assert left.value.code == 1
    assert "tracks.csv does not exist: run `dvc repro tables`" in capsys.readouterr().err
    tracks.to_csv(tmp_path / "tracks.csv", index=False)
    tracks[["method", "reference"]].assign(kind=tracks["method"].map(KINDS)).to_csv(
        tmp_path / "separation.csv", index=False
    )
    coverage.main()
    assert "0.5 dB with power 0.8: pairs of means nearer than 2.0 dB (2 of 6)" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "coverage.csv").query("tracks == 14").set_index(["population", "interval"])
    assert 0.94 < table.loc[("normal", "Student's t"), "coverage"] < 0.96
    assert table.loc[("si_sdr of a method", "Student's t"), "coverage"] >= 0.92
    assert len(pd.read_csv(tmp_path / "power.csv")) == 6


def test_tables_without_a_column_are_refused(tmp_path):
    (tmp_path / "tracks.csv").write_text("reference,method\nwaveform,ucr\n")
    with pytest.raises(UserError, match=r"tracks\.csv lacks the column source: run `dvc repro tables`"):
        coverage._read(tmp_path / "tracks.csv", ["method", "source"])

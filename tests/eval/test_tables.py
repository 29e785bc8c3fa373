"""Aggregation: what means are over, what is counted, which differences are marked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from eval.folders import COLUMNS
from eval.provenance import check_comparable, provenance_table
from eval.scores import METRICS, WINDOWED
from eval.tables import TABLE_METRICS, Method, data_table, headline, make_tables
from ucr.foundation.errors import UserError
from ucr.foundation.hashes import files_hash, values_hash

METHODS = {
    "irm": Method("oracle", "fixed order"),
    "good": Method("unsupervised", "best permutation"),
    "poor": Method("blind", "best permutation"),
}


def make_rows(n_tracks: int = 12, n_segments: int = 3) -> pd.DataFrame:
    """`irm` is above `good`, `good` above `poor` on drums; on bass `good` and `poor` are alike."""
    rng = np.random.default_rng(0)
    rows = []
    for method, level in (("irm", 10.0), ("good", 3.0), ("poor", -3.0)):
        for track in range(n_tracks):
            for segment in range(n_segments):
                for source in ("drums", "bass"):
                    for metric in METRICS:
                        mean = 0.0 if source == "bass" and method != "irm" else level
                        mean *= 1 if METRICS[metric].higher_is_better else -1
                        for window in range(3) if metric in WINDOWED else [None]:
                            key = (
                                "drums+bass",
                                method,
                                f"T{track}",
                                f"T{track}_{segment}",
                                source,
                                "waveform",
                            )
                            rows.append((*key, metric, window, mean + rng.normal(), "ok", ""))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"window": "Int64"})


@pytest.fixture(scope="module")
def rows():
    return make_rows()


@pytest.fixture(scope="module")
def tables(rows):
    return make_tables(rows, METHODS, 200, 0)


def pick(table: pd.DataFrame, **values):
    for name, value in values.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_separation_has_a_row_for_each_method_source_and_metric_in_order(tables):
    table = tables.separation
    first = ["task", "method", "kind", "reference", "source", "metric", "mean", "median"]
    assert list(table.columns)[:8] == first
    assert {"n", "n_silent", "n_failed", "ci_low", "ci_high", "share_below_0", "assignment"} <= set(
        table.columns
    )
    assert list(table["method"].unique()) == ["irm", "good", "poor"]
    assert list(table["metric"].unique()) == list(TABLE_METRICS)
    assert len(table) == 3 * 2 * len(TABLE_METRICS)


def test_whole_segment_metrics_average_over_segments(rows, tables):
    mine = rows[(rows["method"] == "poor") & (rows["source"] == "drums") & (rows["metric"] == "si_sdr")][
        "value"
    ]
    row = pick(tables.separation, method="poor", source="drums", metric="si_sdr")
    assert row["mean"] == pytest.approx(mine.mean(), abs=1e-4)
    assert row["median"] == pytest.approx(mine.median(), abs=1e-4)
    assert row["share_below_0"] == pytest.approx((mine < 0).mean(), abs=1e-4)
    assert row["ci_low"] < row["mean"] < row["ci_high"]
    assert (row["n"], row["unit"], row["ci_of"]) == (36, "segment", "mean")
    assert np.isnan(pick(tables.separation, method="poor", source="drums", metric="mstft")["share_below_0"])


def test_v4_is_averaged_as_the_authors_do_and_as_the_field_does(rows, tables):
    mine = rows[(rows["method"] == "good") & (rows["source"] == "drums") & (rows["metric"] == "v4_sdr")]
    mean = pick(tables.separation, method="good", source="drums", metric="v4_sdr_mean_windows")
    assert mean["mean"] == pytest.approx(mine.groupby("segment")["value"].mean().mean(), abs=1e-4)
    median = pick(tables.separation, method="good", source="drums", metric="v4_sdr_median_windows")
    assert median["median"] == pytest.approx(mine.groupby("track")["value"].median().median(), abs=1e-4)
    assert median["ci_low"] <= median["median"] <= median["ci_high"]
    assert (median["n"], median["unit"], median["ci_of"]) == (108, "window", "median")


def test_silent_and_failed_values_are_counted_and_in_no_mean(rows):
    spoilt = rows.copy()
    mine = (spoilt["method"] == "good") & (spoilt["source"] == "drums")
    spoilt.loc[mine & (spoilt["segment"] == "T0_0"), ["value", "status"]] = [np.nan, "silent"]
    spoilt.loc[mine & (spoilt["track"] == "T1"), ["value", "status"]] = [np.nan, "failed"]
    table = make_tables(spoilt, METHODS, 100, 0)
    row = pick(table.separation, method="good", source="drums", metric="si_sdr")
    assert (row["n"], row["n_silent"], row["n_failed"]) == (32, 1, 3)
    kept = spoilt[mine & (spoilt["metric"] == "si_sdr") & (spoilt["status"] == "ok")]["value"]
    assert row["mean"] == pytest.approx(kept.mean(), abs=1e-4)
    windows = pick(table.separation, method="good", source="drums", metric="v4_sar_mean_windows")
    assert (windows["n"], windows["n_silent"], windows["n_failed"]) == (96, 3, 9)
    pair = pick(table.comparisons, method_a="good", method_b="poor", source="drums", metric="si_sdr")
    assert pair["n_tracks"] == 11
    assert np.isnan(pick(table.tracks, method="good", source="drums", track="T1")["si_sdr"])


def test_a_method_without_any_score_stays_in_the_table(rows):
    failed = rows.copy()
    failed.loc[failed["method"] == "poor", ["value", "status"]] = [np.nan, "failed"]
    table = make_tables(failed, METHODS, 100, 0)
    row = pick(table.separation, method="poor", source="bass", metric="si_sdr")
    assert np.isnan(row["mean"])
    assert (row["n"], row["n_failed"]) == (0, 36)
    assert not row["best"]
    assert headline(table.separation)["poor"]["si_sdr"] == {"drums": None, "bass": None}


def test_the_best_that_sees_no_source_is_marked_and_others_tested_against_it(tables):
    for metric in ("si_sdr", "mstft"):  # lower is better for the distance
        drums = {
            name: pick(tables.separation, method=name, source="drums", metric=metric) for name in METHODS
        }
        assert [bool(drums[name]["best"]) for name in METHODS] == [False, True, False]
        assert drums["poor"]["significant"]
        assert drums["poor"]["p_value"] < 0.05
        assert np.isnan(drums["irm"]["p_value"])
    bass = tables.separation[
        (tables.separation["source"] == "bass") & (tables.separation["metric"] == "si_sdr")
    ]
    assert bass["best"].sum() == 1
    assert not bass["significant"].any()


@pytest.mark.parametrize("kind", ["oracle", "bound"])
def test_neither_oracles_nor_bounds_compete_for_the_best(rows, kind):
    methods = METHODS | {"good": Method(kind, "best permutation")}
    table = make_tables(rows, methods, 100, 0).separation
    assert set(table[table["best"]]["method"]) == {"poor"}
    assert table[table["method"] != "poor"]["p_value"].isna().all()
    assert not table["significant"].any()


def test_comparisons_hold_every_pair_with_its_paired_difference(rows, tables):
    assert len(tables.comparisons) == 3 * 2 * len(TABLE_METRICS)
    pair = pick(tables.comparisons, method_a="good", method_b="poor", source="drums", metric="si_sdr")
    mine = rows[(rows["source"] == "drums") & (rows["metric"] == "si_sdr")]
    by_track = mine.groupby(["method", "track"])["value"].mean()
    assert pair["difference"] == pytest.approx((by_track["good"] - by_track["poor"]).mean(), abs=1e-4)
    assert pair["ci_low"] < pair["difference"] < pair["ci_high"]
    assert pair["p_value"] <= pair["p_holm"]
    assert pair["p_holm"] == pytest.approx(min(1, 3 * pair["p_value"]), rel=0.01)  # all three pairs as clear


def test_methods_are_compared_on_the_segments_that_both_have_scores_of(rows):
    """`good` fails on the hardest segment of each track; elsewhere it is what `poor` is."""
    rows = rows[(rows["metric"] == "si_sdr") & (rows["source"] == "drums") & (rows["method"] != "irm")].copy()
    poor, good = (rows["method"] == name for name in ("poor", "good"))
    rows.loc[poor & rows["segment"].str.endswith("_0"), "value"] = -20.0
    rows.loc[good, "value"] = rows.loc[poor, "value"].to_numpy()
    failed = good & rows["segment"].str.endswith("_0")
    rows.loc[failed, ["value", "status"]] = [np.nan, "failed"]
    made = make_tables(rows, {name: METHODS[name] for name in ("good", "poor")}, 200, 0)
    pair = pick(made.comparisons, metric="si_sdr")
    assert (pair["n_tracks"], pair["difference"], pair["significant"]) == (12, 0.0, False)
    means = made.separation[made.separation["metric"] == "si_sdr"].set_index("method")["mean"]
    assert means["good"] - means["poor"] > 5
    best = made.separation[(made.separation["metric"] == "si_sdr") & made.separation["best"]]
    assert list(best["method"]) == ["poor"]


def test_tracks_hold_each_tracks_mean(rows, tables):
    row = pick(tables.tracks, method="irm", source="bass", track="T5")
    mine = rows[(rows["method"] == "irm") & (rows["source"] == "bass") & (rows["track"] == "T5")]
    assert row["si_sir"] == pytest.approx(mine[mine["metric"] == "si_sir"]["value"].mean(), abs=1e-4)
    assert list(tables.tracks.columns) == ["task", "method", "reference", "source", "track", *TABLE_METRICS]


def test_tables_are_the_same_for_the_same_seed_and_whatever_order_the_rows_have(rows, tables):
    shuffled = rows.sample(frac=1, random_state=0)
    shuffled = pd.concat([rows.head(1), rows[rows["source"] == "bass"].head(1), shuffled]).drop_duplicates()
    again = make_tables(shuffled, METHODS, 200, 0)
    for name in ("separation", "comparisons", "tracks"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(tables, name))


def test_one_method_on_one_track_has_neither_interval_nor_test():
    rows = make_rows(n_tracks=1, n_segments=1)
    table = make_tables(rows[rows["method"] == "good"], {"good": METHODS["good"]}, 100, 0)
    assert table.separation["mean"].notna().all()
    assert table.separation["ci_low"].isna().all()
    assert table.comparisons.empty


def test_headline_is_si_sdr_and_si_sir_against_the_waveforms(rows, tables):
    both = pd.concat([rows, rows.assign(reference="codec", value=rows["value"] + 5)])
    found = headline(make_tables(both, METHODS, 100, 0).separation)
    assert found == headline(tables.separation)
    assert list(found["good"]) == ["si_sdr", "si_sir"]
    assert (
        found["good"]["si_sdr"]["drums"]
        == pick(tables.separation, method="good", source="drums", metric="si_sdr")["mean"]
    )


def test_data_table_counts_what_was_used_and_what_was_left_by_reason():
    index = pd.DataFrame(
        {"split": ["train"] * 3 + ["test"], "track": ["A", "A", "B", "C"], "segment": range(4)}
    )
    skipped = pd.DataFrame(
        [
            ("train", "D", "", "lacks a class"),
            ("train", "A", "A_3", "too quiet"),
            ("test", "C", "C_1", "too quiet"),
        ],
        columns=["split", "track", "segment", "reason"],
    )
    assert data_table(index, skipped).to_numpy().tolist() == [
        ["train", "track", "used", 2],
        ["train", "track", "lacks a class", 1],
        ["train", "segment", "used", 3],
        ["train", "segment", "too quiet", 1],
        ["test", "track", "used", 1],
        ["test", "segment", "used", 1],
        ["test", "segment", "too quiet", 1],
    ]
    assert data_table(index, skipped.head(0))["reason"].unique().tolist() == ["used"]


PROVENANCE = {
    "kind": "blind",
    "data": "a" * 64,
    "references": "b" * 64,
    "sources": ["drums", "bass"],
    "sample_rate": 24000,
    "protocol": {"version": 1, "window": 3.5, "hop": 1.5},
    "params": {"hash": "c", "values": {"seed": 0}},
}


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("data", "d" * 64, "data hashes differ"),
        ("references", "d" * 64, "reference signals differ"),
        ("sources", ["drums", "piano"], "sources differ"),
        ("sample_rate", 48000, "sample rates differ"),
        ("protocol", {"version": 1, "window": 3.5, "hop": 2.0}, "scoring protocols differ"),
    ],
)
def test_rows_of_another_provenance_are_refused_by_name(key, value, what):
    check_comparable({"hpss": PROVENANCE, "rpca": PROVENANCE | {"kind": "unsupervised"}})
    with pytest.raises(UserError, match=f"{what} .*hpss, irm: .*; rpca: ") as refusal:
        check_comparable({"hpss": PROVENANCE, "irm": PROVENANCE, "rpca": PROVENANCE | {key: value}})
    assert "a" * 13 not in str(refusal.value)  # hashes are cut short


def test_provenance_table_is_flat():
    row = provenance_table({"hpss": PROVENANCE}).iloc[0].to_dict()
    assert row["method"] == "hpss"
    assert row["sources"] == "drums+bass"
    assert row["protocol_window"] == 3.5
    assert row["params_hash"] == "c"
    assert "params_values_seed" not in row


def test_hashes_see_names_and_bytes_and_not_the_order_of_keys(tmp_path):
    assert values_hash({"a": 1, "b": 2}) == values_hash({"b": 2, "a": 1})
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "one").write_text("1")
    first = files_hash(tmp_path / "x")
    (tmp_path / "x").rename(tmp_path / "y")
    assert files_hash(tmp_path / "y") == first
    (tmp_path / "y" / "one").rename(tmp_path / "y" / "two")
    assert files_hash(tmp_path / "y") != first

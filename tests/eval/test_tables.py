"""Aggregation: what means are over, what is counted, which differences are marked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from eval.comparable import check_comparable, provenance_table
from eval.folders import COLUMNS
from eval.scores import METRICS, WINDOWED
from eval.tables import (
    TABLE_METRICS,
    MethodInfo,
    data_table,
    headline,
    make_tables,
    of_first_set,
    tables_of_sets,
)
from ucr.foundation.errors import UserError
from ucr.foundation.hashes import files_hash, values_hash

METHODS = {
    "irm": MethodInfo("oracle", "fixed order"),
    "good": MethodInfo("unsupervised", "best permutation", "run"),
    "poor": MethodInfo("blind", "best permutation"),
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
                                "real",
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
    return make_tables(rows, METHODS)


def pick(table: pd.DataFrame, **values):
    for name, value in values.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_separation_has_a_row_for_each_method_source_and_metric_in_order(tables):
    table = tables.separation
    first = ["task", "method", "kind", "reference", "source", "metric", "mean", "median"]
    assert list(table.columns)[:8] == first
    counts = {"n", "n_silent", "n_capped", "n_failed", "n_seeds", "seed_sd"}
    assert counts | {"ci_low", "ci_high", "share_below_0", "assignment", "trained"} <= set(table.columns)
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
    table = make_tables(spoilt, METHODS)
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
    table = make_tables(failed, METHODS)
    row = pick(table.separation, method="poor", source="bass", metric="si_sdr")
    assert np.isnan(row["mean"])
    assert (row["n"], row["n_failed"]) == (0, 36)
    assert not row["best"]
    found = headline(tables_of_sets(failed, METHODS).separation)
    assert found["real"]["poor"]["si_sdr"] == {"drums": None, "bass": None}


def add(rows: pd.DataFrame, method: str, like: str, gain: float = 0.0, seed: int = 1) -> pd.DataFrame:
    """Rows of a further method, whose scores are those of another plus a gain, and noise."""
    mine = rows[rows["method"] == like]
    noise = np.random.default_rng(seed).normal(scale=0.1, size=len(mine))
    return pd.concat([rows, mine.assign(method=method, value=mine["value"] + gain + noise)])


ALIKE = {
    "good": MethodInfo("blind", "best permutation"),
    "poor": MethodInfo("blind", "best permutation"),
    "irm": MethodInfo("oracle", ""),
}


def test_the_best_of_a_kind_is_marked_and_others_tested_against_it(rows):
    tables = make_tables(rows, ALIKE)
    for metric in ("si_sdr", "mstft"):  # lower is better for the distance
        drums = {name: pick(tables.separation, method=name, source="drums", metric=metric) for name in ALIKE}
        assert [bool(drums[name]["best"]) for name in ALIKE] == [True, False, False]
        assert drums["poor"]["significant"]
        assert drums["poor"]["p_value"] == pytest.approx(2 / 2**12, abs=1e-6)  # one test: nothing to correct
        assert np.isnan(drums["good"]["p_value"])
        assert np.isnan(drums["irm"]["p_value"])
    bass = tables.separation[
        (tables.separation["source"] == "bass") & (tables.separation["metric"] == "si_sdr")
    ]
    assert bass["best"].sum() == 1
    assert not bass["significant"].any()


def test_the_best_is_chosen_by_the_column_that_is_shown(rows):
    """One song carries the mean of `good`; the median over songs, which is shown for v4, is that of `poor`."""
    rows = rows[(rows["metric"] == "v4_sdr") & (rows["source"] == "drums") & (rows["method"] != "irm")].copy()
    good = rows["method"] == "good"
    rows.loc[good, "value"] = -5.0
    rows.loc[good & (rows["track"] == "T0"), "value"] = 99.0
    table = make_tables(rows, {name: ALIKE[name] for name in ("good", "poor")}).separation
    shown = table[table["best"]].set_index("metric")["method"]
    assert shown.to_dict() == {"v4_sdr_mean_windows": "good", "v4_sdr_median_windows": "poor"}
    assert pick(table, method="good", metric="v4_sdr_median_windows")["mean"] > 0


def test_who_has_fewer_values_is_not_the_best_of_its_kind(rows):
    short = rows[~((rows["method"] == "good") & (rows["segment"] == "T3_1"))]
    table = make_tables(short, ALIKE).separation
    assert set(table[table["best"]]["method"]) == {"poor"}
    row = pick(table, method="good", source="drums", metric="si_sdr")
    assert row["mean"] > 0
    assert row["significant"]  # still tested, against the best


@pytest.mark.parametrize("kind", ["oracle", "bound"])
def test_neither_oracles_nor_bounds_compete(rows, kind):
    tables = make_tables(rows, METHODS | {"good": MethodInfo(kind, "best permutation")})
    assert set(tables.separation[tables.separation["best"]]["method"]) == {"poor"}
    assert tables.separation["p_value"].isna().all()
    assert not tables.separation["significant"].any()
    assert tables.comparisons.empty


def test_an_exact_p_is_never_rounded_to_nothing():
    rows = make_rows(n_tracks=40, n_segments=1)
    table = make_tables(rows[rows["metric"] == "si_sdr"], METHODS | {"irm": MethodInfo("blind", "")})
    row = pick(table.comparisons, method_a="irm", method_b="poor", source="drums", family="best blind")
    assert row["p_value"] == pytest.approx(2 / 2**40, rel=1e-3)
    assert row["p_holm"] == row["p_value"]
    assert pick(table.separation, method="poor", source="drums", metric="si_sdr")["p_value"] == row["p_holm"]


def test_only_comparisons_that_answer_a_question_are_made_and_corrected_among_themselves(rows):
    more = add(add(add(rows, "better", "good", 1.0), "worse", "poor", -1.0, 2), "taught", "good", 2.0, 3)
    more = add(more, "taught_long", "good", 3.0, 4)
    methods = METHODS | {
        "worse": MethodInfo("blind", ""),
        "better": MethodInfo("unsupervised", "", "run"),
        "taught": MethodInfo("supervised", "", "run"),
        "taught_long": MethodInfo("supervised", "", "long"),
    }
    tables = make_tables(more, methods)
    drums = tables.comparisons[
        (tables.comparisons["source"] == "drums") & (tables.comparisons["metric"] == "si_sdr")
    ]
    made = {
        family: [f"{row.method_a} - {row.method_b}" for row in group.itertuples()]
        for family, group in drums.groupby("family", sort=False)
    }
    rivals = ["poor", "worse", "taught", "taught_long"]
    assert made == {
        "best blind": ["poor - worse"],
        "best unsupervised, trained run": ["better - good"],
        "good and rivals": [f"good - {rival}" for rival in rivals],
        "better and rivals": [f"better - {rival}" for rival in rivals],
    }
    least = 2 / 2**12  # every one of twelve songs says the same
    family = drums[drums["family"] == "good and rivals"]
    assert family["p_value"].to_numpy() == pytest.approx(least, abs=1e-6)
    assert family["p_holm"].to_numpy() == pytest.approx(4 * least, abs=1e-6)
    assert drums[drums["family"] == "best blind"]["p_holm"].item() == pytest.approx(least, abs=1e-6)
    mean = tables.separation.set_index(["method", "source", "metric"])["mean"]
    for row in drums.itertuples():
        difference = mean[row.method_a, "drums", "si_sdr"] - mean[row.method_b, "drums", "si_sdr"]
        assert row.difference == pytest.approx(difference, abs=2e-4)
        assert row.ci_low < row.difference < row.ci_high


def test_a_value_at_the_cap_is_counted_and_in_no_mean(rows):
    capped = rows.copy()
    mine = (capped["method"] == "good") & (capped["source"] == "drums")
    capped.loc[mine & (capped["segment"] == "T0_0"), "value"] = 100.0
    tables = make_tables(capped, METHODS)
    row = pick(tables.separation, method="good", source="drums", metric="si_sar")
    assert (row["n"], row["n_capped"], row["n_failed"]) == (35, 1, 0)
    kept = rows[mine & (rows["metric"] == "si_sar") & (rows["segment"] != "T0_0")]
    assert row["mean"] == pytest.approx(kept["value"].mean(), abs=1e-4)
    windows = pick(tables.separation, method="good", source="drums", metric="v4_sar_median_windows")
    assert (windows["n"], windows["n_capped"]) == (105, 3)
    assert pick(tables.tracks, method="good", source="drums", track="T0")["si_sar"] < 50
    distance = pick(tables.separation, method="good", source="drums", metric="mstft")
    assert (distance["n_capped"], distance["n"]) == (0, 36)  # no ratio, so that it has no cap


def test_a_method_that_is_always_at_the_cap_has_no_mean(rows):
    mixture = rows.copy()
    mixture.loc[(mixture["method"] == "poor") & (mixture["metric"] == "si_sar"), "value"] = 100.0
    row = pick(make_tables(mixture, METHODS).separation, method="poor", source="bass", metric="si_sar")
    assert np.isnan([row["mean"], row["ci_low"], row["share_below_0"]]).all()
    assert (row["n"], row["n_capped"], row["best"]) == (0, 36, False)


def test_a_failure_with_a_value_is_counted_and_in_the_mean(rows):
    silent = rows.copy()
    mine = (silent["method"] == "good") & (silent["segment"] == "T0_0") & (silent["metric"] == "si_sdr")
    silent.loc[mine, ["value", "status"]] = [-100.0, "failed"]
    row = pick(make_tables(silent, METHODS).separation, method="good", source="drums", metric="si_sdr")
    assert (row["n"], row["n_failed"]) == (36, 1)
    assert row["mean"] < 1


def test_seeds_are_pooled_and_their_spread_is_shown(rows):
    good = rows[rows["method"] == "good"].assign(seed=0)
    shifted = [good.assign(seed=seed, value=good["value"] + seed) for seed in (0, 1, 2)]
    tables = make_tables(pd.concat([rows[rows["method"] != "good"], *shifted]), METHODS)
    once = make_tables(rows, METHODS)
    keys = {"method": "good", "source": "drums", "metric": "si_sdr"}
    row, single = pick(tables.separation, **keys), pick(once.separation, **keys)
    assert (row["n"], row["n_seeds"], row["seed_sd"]) == (36, 3, pytest.approx(1, abs=1e-4))
    assert row["mean"] == pytest.approx(single["mean"] + 1, abs=2e-4)
    assert row["ci_high"] - row["ci_low"] == pytest.approx(single["ci_high"] - single["ci_low"], abs=4e-4)
    other = pick(tables.separation, method="poor", source="drums", metric="si_sdr")
    assert (other["n_seeds"], np.isnan(other["seed_sd"])) == (1, True)
    pair = pick(tables.comparisons, method_a="good", source="drums", metric="si_sdr")
    before = pick(once.comparisons, method_a="good", source="drums", metric="si_sdr")
    assert pair["difference"] == pytest.approx(before["difference"] + 1, abs=2e-4)


def test_a_segment_that_one_seed_fails_on_has_no_value(rows):
    good = rows[rows["method"] == "good"].assign(seed=0)
    second = good.assign(seed=1)
    second.loc[second["segment"] == "T0_0", ["value", "status"]] = [np.nan, "failed"]
    tables = make_tables(pd.concat([good, second]), {"good": METHODS["good"]})
    row = pick(tables.separation, source="drums", metric="si_sdr")
    assert (row["n"], row["n_failed"]) == (35, 1)


def test_methods_are_compared_on_the_segments_that_both_have_scores_of(rows):
    """`good` fails on the hardest segment of each track; elsewhere it is what `poor` is."""
    rows = rows[(rows["metric"] == "si_sdr") & (rows["source"] == "drums") & (rows["method"] != "irm")].copy()
    poor, good = (rows["method"] == name for name in ("poor", "good"))
    rows.loc[poor & rows["segment"].str.endswith("_0"), "value"] = -20.0
    rows.loc[good, "value"] = rows.loc[poor, "value"].to_numpy()
    failed = good & rows["segment"].str.endswith("_0")
    rows.loc[failed, ["value", "status"]] = [np.nan, "failed"]
    made = make_tables(rows, {name: ALIKE[name] for name in ("good", "poor")})
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
    again = make_tables(shuffled, METHODS)
    for name in ("separation", "comparisons", "tracks"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(tables, name))


def test_one_method_on_one_track_has_neither_interval_nor_test():
    rows = make_rows(n_tracks=1, n_segments=1)
    table = make_tables(rows[rows["method"] == "good"], {"good": METHODS["good"]})
    assert table.separation["mean"].notna().all()
    assert table.separation["ci_low"].isna().all()
    assert table.comparisons.empty


def test_headline_is_si_sdr_and_si_sir_against_the_waveforms(rows, tables):
    both = pd.concat([rows, rows.assign(reference="codec", value=rows["value"] + 5)])
    (found,) = headline(tables_of_sets(both, METHODS).separation).values()
    assert found == headline(tables_of_sets(rows, METHODS).separation)["real"]
    assert list(found["good"]) == ["si_sdr", "si_sir"]
    assert (
        found["good"]["si_sdr"]["drums"]
        == pick(tables.separation, method="good", source="drums", metric="si_sdr")["mean"]
    )


def test_each_test_set_is_aggregated_and_tested_by_itself(rows, tables):
    others = rows[rows["track"] < "T3"].assign(set="another", value=rows["value"] + 1)
    both = tables_of_sets(pd.concat([rows, others]), METHODS)
    turned = tables_of_sets(pd.concat([rows, others]), METHODS, ["songs", "another", "real"])
    assert turned.separation["set"].unique().tolist() == ["another", "real"]
    for name in ("separation", "comparisons", "tracks"):
        table = getattr(both, name)
        assert list(table["set"].unique()) == ["real", "another"]
        first = of_first_set(table).drop(columns="set")
        pd.testing.assert_frame_equal(first, getattr(tables, name))
        pd.testing.assert_frame_equal(of_first_set(first), first)
    alone = make_tables(others, METHODS).comparisons
    mine = both.comparisons[both.comparisons["set"] == "another"].drop(columns="set").reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, alone)


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

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from eval.embeddings import Projection, log_mel, statistics
from eval.generation import (
    LEAST_CLIPS,
    REFERENCE,
    TABLE_COLUMNS,
    frechet,
    generation_table,
    neighbourhoods,
)
from eval.pairing import halves, partners


def points(n, d=4, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


def means(real, made, k=5):
    return {name: values.mean() for name, values in neighbourhoods(real, made, k).items()}


def test_identical_sets():
    x = points(30)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    scores = means(x, x)
    assert scores["precision"] == scores["recall"] == scores["coverage"] == 1
    # Each item lies in its own ball; the others' balls that hold it are as many as their k-th neighbours: k + 1 in all.
    assert scores["density"] == pytest.approx(6 / 5)


def test_far_sets():
    real, made = points(30), points(20, seed=1, shift=100)
    assert means(real, made) == {"precision": 0, "density": 0, "recall": 0, "coverage": 0}
    assert frechet(real, made) == pytest.approx(4 * 100**2, rel=0.02)


def test_one_real_clip_repeated_is_precise_but_covers_little():
    real = points(40)
    made = np.repeat(real[:1], 20, axis=0)
    scores = means(real, made)
    assert scores["precision"] == 1
    assert scores["coverage"] < 0.4
    assert scores["recall"] == pytest.approx(1 / 40)


def test_known_balls_on_a_line():
    """Balls of k = 1: real ones at 0, 1, 10 have radii 1, 1, 9; made ones at 0.5, 30 have 29.5 each."""
    real, made = np.array([[0.0], [1.0], [10.0]]), np.array([[0.5], [30.0]])
    scores = neighbourhoods(real, made, k=1)
    assert scores["precision"].tolist() == [1, 0]
    assert scores["density"].tolist() == [2, 0]
    assert scores["recall"].tolist() == [1, 1, 1]
    assert scores["coverage"].tolist() == [1, 1, 0]


@given(st.integers(6, 20), st.integers(6, 20), st.integers(1, 5), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_scores_are_the_formulae_of_prdc(n, m, k, seed):
    """Kynkäänniemi et al. 2019, equations 1 and 2; Naeem et al. 2020, equations 4 and 5, clip by clip."""
    real, made = points(n, seed=seed), points(m, seed=seed + 1, shift=0.5)

    def radius(items, i):
        return sorted(np.linalg.norm(items - items[i], axis=1))[k]

    inside = [[np.linalg.norm(x - y) <= radius(real, i) for y in made] for i, x in enumerate(real)]
    other = [[np.linalg.norm(x - y) <= radius(made, j) for j, y in enumerate(made)] for x in real]
    scores = means(real, made, k)
    assert scores["precision"] == np.any(inside, axis=0).mean()
    assert scores["recall"] == np.any(other, axis=1).mean()
    assert scores["density"] == pytest.approx(np.sum(inside) / (k * m))
    assert scores["coverage"] == np.any(inside, axis=1).mean()


@given(st.integers(3, 30), st.integers(1, 6), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_the_frechet_distance_is_its_formula(n, d, seed):
    a, b = points(n, d, seed), 2 * points(n + 3, d, seed + 1, shift=1)
    cov_a, cov_b = (np.cov(x.T).reshape(d, d) for x in (a, b))
    trace = np.trace(cov_a + cov_b - 2 * np.real(sqrtm(cov_a @ cov_b)))
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + trace
    assert frechet(a, b) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert frechet(a, b) == pytest.approx(frechet(b, a), rel=1e-6, abs=1e-6)
    assert frechet(a + 3, b + 3) == pytest.approx(frechet(a, b), rel=1e-5, abs=1e-5)


def test_a_set_of_one_has_no_distance_and_no_balls():
    assert np.isnan(frechet(points(1), points(5)))
    assert np.isnan(neighbourhoods(points(5), points(1))["recall"]).all()
    assert np.isnan(neighbourhoods(points(1), points(5))["precision"]).all()


def test_halves_share_no_track_and_partners_are_other_songs_of_the_half():
    tracks = [f"T{i // 3}" for i in range(18)]
    half = halves(tracks)
    assert sorted(half.values()) == [0, 0, 0, 1, 1, 1]
    for shift in (1, 2):
        other = partners(tracks, half, shift)
        assert all(tracks[i] != tracks[j] and half[tracks[i]] == half[tracks[j]] for i, j in enumerate(other))
    assert {tracks[i] + tracks[j] for i, j in enumerate(partners(tracks))} >= {"T0T1", "T1T2", "T5T0"}


@given(st.lists(st.integers(0, 5), min_size=2, max_size=20))
def test_partners_are_never_oneself(numbers):
    tracks = [f"T{number}" for number in sorted(numbers)]
    assert all(i != j for i, j in enumerate(partners(tracks, halves(tracks))))


def test_few_components_that_ignore_what_never_changes():
    rng = np.random.default_rng(0)
    training = rng.normal(size=(50, 1)) * np.arange(1, 6) + 0.01 * rng.normal(size=(50, 5))
    training[:, 4] = 7.0
    project = Projection.fit(training, 2)
    moved = training[:3].copy()
    moved[:, 4] = 1e6
    assert project(training).shape == (50, 2)
    np.testing.assert_allclose(project(moved), project(training[:3]))
    assert project(training)[:, 0].std() > 10 * project(training)[:, 1].std()
    assert (project(training) ** 2).sum(1).mean() == pytest.approx(1, abs=0.01)


def test_statistics_do_not_know_the_order_of_frames():
    features = np.random.default_rng(0).random((3, 4, 50))
    assert statistics(features).shape == (3, 8)
    np.testing.assert_allclose(statistics(features), statistics(features[..., ::-1]))
    assert log_mel(np.zeros((2, 24000), np.float32), 24000).max() == pytest.approx(-80)


def make_embeddings(sets, d=3, tracks=86, each=3):
    tables = []
    for seed, (name, shift) in enumerate(sets.items()):
        clips = [f"T{t}_{i}" for t in range(tracks) for i in range(each)]
        table = pd.DataFrame(
            {"set": name, "space": "log_mel", "clip": clips, "track": [c.split("_")[0] for c in clips]}
        )
        table["half"] = table["track"].map(halves(table["track"]))
        values = points(len(clips), d, seed, shift)
        tables.append(table.assign(**{f"e{i}": values[:, i] for i in range(d)}))
    return pd.concat(tables, ignore_index=True)


ROWS = pd.DataFrame(
    [("near", "parts", "onset_agreement", f"c{i}", f"t{i}", i / 4) for i in range(5)],
    columns=["set", "space", "metric", "clip", "track", "value"],
)


def test_the_table_has_every_score_of_every_set_with_its_interval():
    embeddings = make_embeddings({REFERENCE: 0, "near": 0, "far": 50})
    table = generation_table(embeddings, ROWS, 200, 0, "drums+bass")
    assert list(table) == ["task", *TABLE_COLUMNS]
    scores = table.set_index(["set", "metric"])
    assert set(table["set"]) == {REFERENCE, "near", "far"}
    assert scores.loc[("near", "frechet"), "value"] < 0.3 < 7000 < scores.loc[("far", "frechet"), "value"]
    assert scores.loc[("far", "coverage"), "value"] == 0
    assert scores.loc[("near", "coverage"), "value"] > 0.7
    row = scores.loc[("near", "onset_agreement")]
    assert row["value"] == 0.5
    assert row["ci_low"] < 0.5 < row["ci_high"]
    assert row["n"] == 5
    known = table.dropna(subset=["ci_low"])
    assert len(known) == len(table)
    assert (known["ci_low"] <= known["value"]).all()
    assert (known["value"] <= known["ci_high"]).all()
    assert (table.loc[table["metric"] == "recall", ["n", "n_real"]] == 258).all(axis=None)
    assert (table["note"] == "").all()
    pd.testing.assert_frame_equal(table, generation_table(embeddings, ROWS, 200, 0, "drums+bass"))


def test_no_clip_is_compared_with_its_own_song():
    """A set that is the reference itself: within a half all balls would hold their own clip."""
    embeddings = make_embeddings({REFERENCE: 0})
    half = embeddings["half"].to_numpy()
    embeddings.loc[half == 1, ["e0", "e1", "e2"]] += 100
    copy = embeddings.assign(set="copy")
    table = generation_table(pd.concat([embeddings, copy]), ROWS, 100, 0, "t").set_index(["set", "metric"])
    assert table.loc[("copy", "precision"), "value"] == 0


def test_a_real_set_is_the_yardstick_of_a_set_of_the_same_kind():
    embeddings = make_embeddings({REFERENCE: 0, "same": 0, "other": 1})
    table = generation_table(embeddings, ROWS, 100, 0, "t").set_index(["metric", "set"])["value"]
    assert table["precision"][REFERENCE] == pytest.approx(table["precision"]["same"], abs=0.05)
    assert table["frechet"][REFERENCE] == pytest.approx(table["frechet"]["same"], abs=0.1)
    assert table["frechet"]["other"] > 10 * table["frechet"][REFERENCE]
    assert table["coverage"]["other"] < 0.75 * table["coverage"][REFERENCE]


DISTANCES = ["frechet", "precision", "density", "recall", "coverage"]


@pytest.mark.parametrize(
    ("spoil", "note"),
    [
        (
            lambda table: table[(table["set"] == REFERENCE) | (table.index % 258 > 2)],
            "255 clips are fewer than 256",
        ),
        (lambda table: table[table.index > 100], "157 real clips are fewer than 256"),
        (lambda table: table.assign(half=0), "all real clips are of one song"),
    ],
)
def test_too_few_clips_have_no_distance_but_a_reason(spoil, note):
    assert LEAST_CLIPS == 256
    embeddings = spoil(make_embeddings({REFERENCE: 0, "near": 0}))
    table = generation_table(embeddings, ROWS, 100, 0, "t").set_index(["set", "metric"])
    lacking = table.loc["near"].loc[DISTANCES]
    assert lacking[["value", "ci_low", "ci_high"]].isna().all(axis=None)
    assert lacking["note"].unique().tolist() == [note]
    assert table.loc[("near", "onset_agreement"), "value"] == 0.5


def test_values_that_no_clip_has_are_empty_and_say_so():
    rows = ROWS.assign(space="copies", metric="copied", value=np.nan)
    table = generation_table(make_embeddings({REFERENCE: 0}), rows, 100, 0, "t").set_index("metric")
    assert np.isnan(table.loc["copied", "value"])
    assert table.loc["copied", "note"] == "no clip has a value"


def test_one_track_a_half_gives_values_without_intervals():
    embeddings = make_embeddings({REFERENCE: 0, "near": 0}, tracks=2, each=128)
    table = generation_table(embeddings, ROWS, 100, 0, "t").set_index(["set", "metric"])
    assert np.isfinite(table.loc[("near", "frechet"), "value"])
    assert np.isnan(table.loc[("near", "frechet"), "ci_low"])

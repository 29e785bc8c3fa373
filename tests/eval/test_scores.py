"""Scores: known answers, parity with museval and with direct formulas, silence, permutation, published clips."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.scoring import load_museval
from eval import scores
from eval.bss_eval import Windows
from eval.distances import multiscale_stft_distance
from eval.report.published import read_published
from eval.scores import METRICS, WINDOWED, best_order, failed_scores, si_scores
from eval.songs import score_segments
from tests.baselines.helpers import pretend_music
from tests.helpers import ROOT

RATE = 4000
PUBLISHED = ROOT / ".." / "shared" / "published"
FIGURES = ROOT / "reports" / "published.yaml"
SI = ("si_sdr", "si_sir", "si_sar")


def make_sources(n: int = 2, seconds: float = 1.5, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal((n, round(seconds * RATE)))


def noisy(sources: np.ndarray, leak: float = 0.2, noise: float = 0.3, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return sources + leak * sources[::-1] + noise * 0.1 * rng.standard_normal(sources.shape)


def score(references, estimates, ordered=True, mixture=None, window=0.5, hop=0.25):
    mixture = references.mean(0) if mixture is None else mixture
    return score_segments(
        references[None], estimates[None], mixture[None], RATE, window=window, hop=hop, ordered=ordered
    )[0]


def values(found, metric: str) -> np.ndarray:
    """[source] or [source, window]."""
    by_source: dict[int, list[float]] = {}
    for each in found:
        if each.metric == metric:
            by_source.setdefault(each.source, []).append(each.value)
    return np.squeeze([by_source[source] for source in sorted(by_source)])


def orthogonal_to(noise: np.ndarray, signals: np.ndarray) -> np.ndarray:
    return noise - np.linalg.lstsq(signals.T, noise, rcond=None)[0] @ signals


@pytest.mark.parametrize("level", [-30.0, 0.0, 7.5, 40.0])
def test_orthogonal_noise_and_leakage_at_known_levels_give_those_ratios(level):
    sources = make_sources()
    sources[1] = orthogonal_to(sources[1], sources[:1])
    noise = orthogonal_to(np.random.default_rng(2).standard_normal(sources.shape[1]), sources)

    def at_level(signal):
        return signal * np.linalg.norm(sources[0]) / np.linalg.norm(signal) * 10 ** (-level / 20)

    estimates = np.stack([3 * (sources[0] + at_level(noise)), sources[1] + at_level(sources[0])])
    found = score(sources, estimates)
    assert values(found, "si_sdr")[0] == pytest.approx(level, abs=1e-6)
    assert values(found, "si_sar")[0] == pytest.approx(level, abs=1e-6)
    assert values(found, "si_sir")[0] == 100  # no interference: the limit
    ratio = 20 * np.log10(np.linalg.norm(sources[1]) / np.linalg.norm(sources[0])) + level
    assert values(found, "si_sir")[1] == pytest.approx(ratio, abs=1e-6)
    assert values(found, "si_sdr")[1] == pytest.approx(ratio, abs=1e-6)


def test_si_scores_equal_the_direct_formula_to_1e_9_db():
    sources = make_sources(3)
    estimates = noisy(sources)
    found = score(sources, estimates)
    for i, (source, estimate) in enumerate(zip(sources, estimates, strict=True)):
        target = (estimate @ source) / (source @ source) * source
        projection = np.linalg.lstsq(sources.T, estimate, rcond=None)[0] @ sources
        interference, artifacts = projection - target, estimate - projection
        direct = (
            10 * np.log10((target @ target) / ((estimate - target) @ (estimate - target))),
            10 * np.log10((target @ target) / (interference @ interference)),
            10 * np.log10((projection @ projection) / (artifacts @ artifacts)),
        )
        for metric, value in zip(SI, direct, strict=True):
            assert values(found, metric)[i] == pytest.approx(value, abs=1e-9)


def test_si_scores_equal_museval_v3_with_a_filter_of_one_tap_to_1e_6_db():
    sources = make_sources()
    estimates = noisy(sources)
    sdr, _, sir, sar, _ = load_museval().bss_eval(
        sources, estimates, np.inf, np.inf, filters_len=1, framewise_filters=True, bsseval_sources_version=True
    )  # fmt: skip
    found = score(sources, estimates)
    for metric, value in zip(SI, (sdr, sir, sar), strict=True):
        np.testing.assert_allclose(values(found, metric), value.ravel(), atol=1e-6)


@pytest.mark.parametrize("n", [2, 3])
def test_si_scores_equal_fast_bss_eval_to_1e_9_db(n):
    import fast_bss_eval

    sources = make_sources(n)
    estimates = noisy(sources)
    expected = fast_bss_eval.si_bss_eval_sources(sources, estimates, compute_permutation=False)
    found = score(sources, estimates)
    for metric, value in zip(SI, expected, strict=True):
        np.testing.assert_allclose(values(found, metric), value, atol=1e-9)


def low_passed(sources: np.ndarray) -> np.ndarray:
    """Nothing above a quarter of the rate, but for rounding to 16 bits: ill-conditioned, as a bass is."""
    spectra = np.fft.rfft(sources)
    spectra[:, spectra.shape[1] // 2 :] = 0
    return np.round(np.fft.irfft(spectra, sources.shape[1]) * 2**15) / 2**15


@pytest.mark.parametrize(
    ("n", "seconds", "shaped"),
    [
        pytest.param(2, 1.5, np.copy, id="two sources"),
        pytest.param(4, 1.37, np.copy, id="four, a rest after the last window"),
        pytest.param(2, 0.5, np.copy, id="one window"),
        pytest.param(2, 0.4, np.copy, id="less than a window"),
        pytest.param(2, 1.5, low_passed, id="low-passed"),
    ],
)
def test_v4_scores_are_musevals_window_by_window_to_1e_6_db(n, seconds, shaped):
    sources = shaped(make_sources(n, seconds))
    estimates = noisy(sources)
    sdr, _, sir, sar, _ = load_museval().bss_eval(sources, estimates, window=0.5 * RATE, hop=0.25 * RATE)
    found = score(sources, estimates)
    for metric, expected in zip(WINDOWED, (sdr, sir, sar), strict=True):
        np.testing.assert_allclose(values(found, metric).reshape(expected.shape), expected, atol=1e-6)


def test_v4_scores_are_rows_by_window():
    found = score(make_sources(), noisy(make_sources()))
    assert [each.window for each in found if each.metric == "v4_sdr" and each.source == 0] == [0, 1, 2, 3, 4]
    assert values(found, "v4_sdr").shape == (2, 5)


def test_v4_sdr_counts_a_delay_as_error_and_v3_sdr_does_not():
    sources = make_sources()
    delayed = np.roll(sources, 5, axis=1)
    assert values(score(sources, delayed), "v4_sdr").max() < 0
    assert load_museval().bss_eval_sources(sources, delayed)[0].min() > 15


@pytest.mark.parametrize(
    ("n_samples", "window", "hop"), [(7, 3, 2), (8, 3, 2), (9, 3, 2), (3, 3, 1), (2, 3, 1), (10, 3, 3)]
)
def test_window_count_is_musevals(n_samples, window, hop):
    windows, theirs = Windows(n_samples, window, hop), load_museval().Framing(window, hop, n_samples)
    assert len(windows.starts) == theirs.nwin
    assert [slice(*each) for each in zip(windows.starts, windows.ends, strict=True)] == list(theirs)


def test_improvement_is_over_the_mixture_and_the_mixture_has_none():
    sources = make_sources()
    mixture = sources.mean(0)
    both = np.stack([mixture, mixture])
    np.testing.assert_allclose(values(score(sources, both), "si_sdr_improvement"), 0, atol=1e-9)
    estimates = noisy(sources)
    gain = values(score(sources, estimates), "si_sdr") - values(score(sources, both), "si_sdr")
    np.testing.assert_allclose(values(score(sources, estimates), "si_sdr_improvement"), gain, atol=1e-9)


def test_exact_estimates_reach_the_limit_and_no_distance():
    sources = make_sources()
    found = score(sources, sources.copy())
    assert {each.status for each in found} == {"ok"}
    assert values(found, "si_sdr").tolist() == [100, 100]
    assert values(found, "v4_sdr").min() == 100
    assert values(found, "mstft").tolist() == [0, 0]


@settings(max_examples=25, deadline=None)
@given(
    scales=st.lists(st.floats(-6, 6), min_size=3, max_size=3),
    signs=st.lists(st.sampled_from([-1, 1]), min_size=3, max_size=3),
    permutation=st.permutations(range(3)),
)
def test_si_scores_ignore_scale_and_best_order_undoes_any_permutation(scales, signs, permutation):
    sources = make_sources(3)
    estimates = noisy(sources)
    scaled = estimates * (np.array(signs) * 10.0 ** np.array(scales))[:, None]
    order = best_order(sources[None], scaled[None, permutation])[0]
    assert np.array(permutation)[order].tolist() == [0, 1, 2]
    coordinates = [
        scores._coordinates(sources[None], each[None], sources[None, :1]) for each in (estimates, scaled)
    ]
    plain, changed = (scores.si_family(*each) for each in coordinates)
    for metric in SI:
        np.testing.assert_allclose(changed[metric], plain[metric], atol=1e-6)


def test_a_batch_scores_as_its_segments_one_by_one():
    batch = np.stack([make_sources(seed=seed) for seed in (3, 4)])
    estimates = np.stack([noisy(batch[0])[::-1], noisy(batch[1])])
    mixtures = batch.mean(1)
    together = score_segments(batch, estimates, mixtures, RATE, window=0.5, hop=0.25, ordered=False)
    for i in range(2):
        alone = score(batch[i], estimates[i], ordered=False)
        assert [each[:3] for each in together[i]] == [each[:3] for each in alone]
        np.testing.assert_allclose(
            [each.value for each in together[i]], [each.value for each in alone], atol=1e-9
        )


def test_a_silent_window_leaves_the_permutation_alone():
    sources = make_sources()
    sources[1, : RATE // 2] = 0
    estimates = noisy(sources, noise=0.1)
    estimates[1, : RATE // 2] = 0
    # What museval does by itself: NaN in one window, so the identity for all.
    swapped = estimates[::-1]
    museval = load_museval()
    theirs = museval.bss_eval(sources, swapped, 0.5 * RATE, 0.25 * RATE, compute_permutation=True)[4]
    assert theirs[:, 0].tolist() == [0, 1]
    assert best_order(sources[None], swapped[None]).tolist() == [[1, 0]]
    found, expected = score(sources, swapped, ordered=False), score(sources, estimates)
    np.testing.assert_allclose(values(found, "v4_sdr"), values(expected, "v4_sdr"), atol=1e-9)
    first = [each for each in found if each.metric in WINDOWED and each.window == 0]
    reason = "a source is silent in this window"
    assert {(each.status, each.reason) for each in first} == {("silent", reason)}
    assert all(each.status == "ok" for each in found if each.window != 0)


@pytest.mark.parametrize("ordered", [True, False])
def test_a_silent_source_has_no_scores_and_costs_the_others_the_v4_scores(ordered):
    sources = make_sources(3)
    estimates = noisy(sources)
    sources[1] = 0
    found = score(sources, estimates if ordered else estimates[[2, 0, 1]], ordered)
    mine = [each for each in found if each.source == 1]
    assert {(each.status, each.reason) for each in mine} == {("silent", "the source is silent")}
    assert all(np.isnan(each.value) for each in mine)
    rest = [each for each in found if each.source != 1]
    assert {each.status for each in rest if each.metric not in WINDOWED} == {"ok"}
    assert {(each.status, each.reason) for each in rest if each.metric in WINDOWED} == {
        ("silent", "of another source here: the source is silent")
    }
    # The others are scored as if it were not there.
    expected = score(sources[[0, 2]], estimates[[0, 2]], mixture=sources.mean(0))
    for metric in (*SI, "si_sdr_improvement", "mstft"):
        np.testing.assert_allclose(values(found, metric)[[0, 2]], values(expected, metric), atol=1e-6)


@pytest.mark.parametrize("ordered", [True, False])
def test_a_silent_estimate_has_failed_and_costs_the_others_nothing(ordered):
    sources = make_sources(3)
    estimates = noisy(sources)
    expected = score(sources, estimates)
    estimates[1] = 0
    found = score(sources, estimates if ordered else estimates[[2, 0, 1]], ordered)
    mine = [each for each in found if each.source == 1]
    assert {(each.status, each.reason) for each in mine} == {("failed", "the estimate is silent")}
    of_mixture = score(sources, np.repeat(sources.mean(0)[None], 3, axis=0))
    for metric in (*SI, *WINDOWED):
        np.testing.assert_allclose(
            values(found, metric)[1], np.fmin(values(of_mixture, metric)[1], 0), atol=1e-9
        )
    for metric in METRICS:
        np.testing.assert_allclose(values(found, metric)[[0, 2]], values(expected, metric)[[0, 2]], atol=1e-9)


def test_an_estimate_that_is_silent_in_a_window_has_failed_in_that_window_only():
    sources = make_sources()
    estimates = noisy(sources)
    estimates[1, : RATE // 2] = 0
    found = score(sources, estimates)
    assert {(each.source, each.metric, each.window) for each in found if each.status == "failed"} == {
        (1, metric, 0) for metric in WINDOWED
    }
    assert {each.status for each in found} == {"ok", "failed"}
    of_mixture = score(sources, np.repeat(sources.mean(0)[None], 2, axis=0))
    for metric in WINDOWED:
        assert values(found, metric)[1, 0] == pytest.approx(
            min(values(of_mixture, metric)[1, 0], 0), abs=1e-9
        )


def test_scores_do_not_depend_on_where_stretches_begin(monkeypatch):
    sources = make_sources(3)
    estimates = noisy(sources)
    estimates[2, :1700] = 0
    expected = score(sources, estimates)
    for length in (1, 397, 511, 1000, 3333):
        if length == 1:
            short = score(sources[:, :700], estimates[:, :700])
        monkeypatch.setattr("eval.stretches.STRETCH", length)
        found = score(sources[:, :700], estimates[:, :700]) if length == 1 else score(sources, estimates)
        for one, other in zip(found, short if length == 1 else expected, strict=True):
            assert one[:3] + one[4:] == other[:3] + other[4:]
            limit = 90.0  # the SAR of 700 samples is infinite but for rounding: the filters have more taps
            assert min(one.value, limit) == pytest.approx(min(other.value, limit), abs=1e-7)
        monkeypatch.undo()


def test_everything_silent_is_silent():
    silence = np.zeros((2, RATE))
    for ordered in (True, False):
        found = score(silence, silence, ordered)
        assert {each.status for each in found} == {"silent"}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_estimate_that_is_not_finite_fails_with_the_reason(bad):
    sources = make_sources()
    estimates = noisy(sources)
    estimates[0, 5] = bad
    found = score(sources, estimates[::-1], ordered=False)
    mine = {(each.status, each.reason) for each in found if each.source == 0}
    assert mine == {("failed", "the estimate holds samples that are not finite")}
    assert np.isfinite(values(found, "si_sdr")[1])


def test_every_segment_has_the_same_scores_whatever_its_status():
    sources = make_sources()
    found = score(sources, noisy(sources))
    failed = failed_scores(2, 5, "out of memory")
    keys = [sorted((each.source, each.metric, each.window or 0) for each in some) for some in (found, failed)]
    assert keys[0] == keys[1]
    assert {each.metric for each in found} == set(METRICS)
    assert {(each.status, each.reason) for each in failed} == {("failed", "out of memory")}


def test_equal_sources_are_scored_and_never_stop_a_batch():
    sources = make_sources()
    sources[1] = sources[0]
    found = score(sources, noisy(sources))
    assert {each.status for each in found} == {"ok"}
    np.testing.assert_allclose(values(found, "si_sir"), 100)
    np.testing.assert_allclose(values(found, "v4_sir"), 100)


def test_shapes_that_disagree_are_refused():
    sources = make_sources()
    with pytest.raises(ValueError, match="shapes disagree"):
        score(sources, sources[:, :-1])


def test_spectral_distance_grows_with_noise_and_sees_level_but_not_sign():
    source = make_sources(1)[0]
    distances = [
        multiscale_stft_distance(source, noisy(source[None], 0, noise)[0]) for noise in (0.01, 0.1, 1.0)
    ]
    assert 0 < distances[0] < distances[1] < distances[2]
    assert multiscale_stft_distance(source, -source) == 0
    # Half the level: half the spectrum is missing, and logarithms are ln 2 apart.
    assert multiscale_stft_distance(source, source / 2) == pytest.approx(0.5 + np.log(2), abs=0.01)


# shared/published/README.md: SI-SDR, SI-SIR, SI-SAR, and BSS Eval v4 SDR averaged over windows.
CLIPS = {
    "drums+bass/1": [(6.29, 6.20), (33.06, 43.88), (6.30, 6.20), (-0.54, -1.52)],
    "drums+bass/2": [(1.02, 9.51), (40.38, 51.46), (1.02, 9.51), (-2.23, 0.20)],
    "drums+bass/3": [(-60.40, 11.71), (-0.31, 49.40), (-57.23, 11.71), (-11.56, -1.50)],
    "bass+piano/1": [(1.90, -7.90), (18.14, 12.93), (2.07, -7.64), (1.68, -8.71)],
    "drums+piano/1": [(8.45, 1.45), (27.24, 38.30), (8.52, 1.45), (1.71, -1.25)],
    "drums+bass+piano/1": [
        (-9.53, 3.02, 3.20),
        (25.79, 38.45, 21.41),
        (-9.52, 3.02, 3.29),
        (-6.09, -8.43, -1.77),
    ],
}


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the authors' published clips are not here")
@pytest.mark.parametrize("clip", CLIPS)
def test_the_published_clips_score_as_measured_to_0_01_db_and_as_listed(clip):
    """Sources in the order given, mono at 24 kHz, windows of 3.5 s every 1.5 s, mean over windows."""
    names = clip.split("/")[0].split("+")

    def read(suffix):
        return np.stack([soundfile.read(PUBLISHED / clip / f"{name}{suffix}.wav")[0] for name in names])

    references, estimates = read(""), read("_estimate")
    found = score_segments(references[None], estimates[None], references.mean(0)[None], 24000)[0]
    entry = next(
        each for each in read_published(FIGURES) if each.name.startswith("authors' published examples")
    )
    figures = {
        (each.source, each.metric): each.values for each in entry.figures if each.task == clip.split("/")[0]
    }
    for metric, expected in zip((*SI, "v4_sdr"), CLIPS[clip], strict=True):
        mine = values(found, metric).reshape(len(names), -1).mean(1)
        np.testing.assert_allclose(mine, expected, atol=0.0100001)
        kept = "v4_sdr_mean_windows" if metric in WINDOWED else metric
        listed = [figures[name, kept][int(clip.split("/")[1]) - 1] for name in names]
        np.testing.assert_allclose(mine, listed, atol=0.0050001)


@pytest.mark.parametrize("n", [2, 3])
def test_clips_in_files_score_as_public_tools_score_them(n, tmp_path):
    """As the published clips: music at 24 kHz in files of 16 bits, the usual windows, one estimate all but silent."""
    import fast_bss_eval

    made = pretend_music(n, 5 * 24000)
    rng = np.random.default_rng(0)
    found = made + 0.1 * made[::-1] + 0.02 * rng.standard_normal(made.shape)
    found[0] *= 1e-3
    for name, audio in {"true": made, "estimates": found}.items():
        soundfile.write(tmp_path / f"{name}.wav", audio.T, 24000, subtype="PCM_16")
    references, estimates = (soundfile.read(tmp_path / f"{name}.wav")[0].T for name in ("true", "estimates"))
    mine = score_segments(references[None], estimates[None], references.mean(0)[None], 24000)[0]
    expected = fast_bss_eval.si_bss_eval_sources(references, estimates, compute_permutation=False)
    for metric, wanted in zip(SI, expected, strict=True):
        np.testing.assert_allclose(values(mine, metric), wanted, atol=1e-6)
    theirs = load_museval().bss_eval(references, estimates, window=3.5 * 24000, hop=1.5 * 24000)[0]
    assert theirs.shape == (n, 2)
    np.testing.assert_allclose(values(mine, "v4_sdr"), theirs, atol=1e-6)


def test_the_si_family_alone_is_what_all_metrics_together_give():
    rng = np.random.default_rng(3)
    references = rng.standard_normal((4, 2, 3000))
    estimates = references[:, ::-1] + 0.3 * rng.standard_normal((4, 2, 3000))
    estimates[3, 0] = 0
    mixtures = references.mean(axis=1)
    for ordered in (True, False):
        alone = si_scores(references, estimates, mixtures, ordered)
        together = score_segments(
            references, estimates, mixtures, RATE, window=0.5, hop=0.25, ordered=ordered
        )
        for metric, values in alone.items():
            found = [[score.value for score in scores if score.metric == metric] for scores in together]
            np.testing.assert_allclose(values, found, atol=1e-9)

"""Segments chosen by their rank, components under their sources, sound and pictures."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eval.report.listening import (
    AUDIO_BUDGET,
    choose_bitrate,
    choose_segments,
    encode_audio,
    encode_image,
    read_estimates,
    spectrogram,
)
from tests.reports.helpers import RATE, make_sources
from ucr.foundation.files import write_audio


def make_rows(scores: dict[str, list[float]]) -> pd.DataFrame:
    """Rows of SI-SDR of method `ucr` by segment, one value per source."""
    rows = [
        ("ucr", name, source, "waveform", "si_sdr", value)
        for name, values in scores.items()
        for source, value in zip(["drums", "bass"], values, strict=True)
    ]
    return pd.DataFrame(rows, columns=["method", "segment", "source", "reference", "metric", "value"])


SCORES = {
    "a": [1.0, 3.0],
    "b": [9.0, 9.0],
    "c": [5.0, 5.0],
    "d": [np.nan, 50.0],
    "e": [0.0, -7.0],
    "f": [7.0, 7.0],
}


def test_three_segments_are_the_best_the_median_and_the_worst():
    chosen = choose_segments(make_rows(SCORES), "ucr", 3, SCORES)
    assert [(choice.segment, choice.rank) for choice in chosen] == [
        ("b", "best"),
        ("c", "median"),
        ("e", "worst"),
    ]
    assert chosen[0].score == 9.0


def test_a_segment_without_a_score_or_without_audio_is_not_chosen():
    chosen = choose_segments(make_rows(SCORES), "ucr", 9, set(SCORES) - {"b"})
    assert [choice.segment for choice in chosen] == ["f", "c", "a", "e"]


def test_one_segment_is_the_median_and_none_is_none():
    assert [choice.rank for choice in choose_segments(make_rows(SCORES), "ucr", 1, SCORES)] == ["median"]
    assert choose_segments(make_rows(SCORES), "ucr", 0, SCORES) == []
    assert choose_segments(make_rows(SCORES), "other", 3, SCORES) == []


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30, unique=True), st.integers(1, 8))
def test_choices_are_distinct_and_in_the_order_of_their_scores(values, count):
    scores = {f"s{i}": [value, value] for i, value in enumerate(values)}
    chosen = choose_segments(make_rows(scores), "ucr", count, scores)
    assert len({choice.segment for choice in chosen}) == len(chosen) == min(count, len(values))
    assert [choice.score for choice in chosen] == sorted((choice.score for choice in chosen), reverse=True)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_components_are_put_under_the_source_they_match(tmp_path, order):
    references = make_sources(1.0, 0)
    for i, source in enumerate(order):
        write_audio(
            tmp_path / f"component_{i}.wav", 0.3 * references[source] + 0.01 * references[1 - source], RATE
        )
    estimates, notes = read_estimates(tmp_path, ["drums", "bass"], references)
    assert notes == [f"component {order.index(0)}", f"component {order.index(1)}"]
    assert np.corrcoef(estimates[0], references[0])[0, 1] > 0.9


def test_audio_survives_its_compression_in_time_and_shape():
    audio = make_sources(2.0, 1).mean(axis=0)
    decoded, rate = soundfile.read(io.BytesIO(base64.b64decode(encode_audio(audio, RATE, 64))))
    assert rate == RATE
    assert abs(len(decoded) - len(audio)) < 0.1 * RATE
    shared = min(len(decoded), len(audio))
    assert np.corrcoef(decoded[:shared], audio[:shared])[0, 1] > 0.95


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_other_sample_rates_are_resampled(rate):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
    decoded, _ = soundfile.read(io.BytesIO(base64.b64decode(encode_audio(tone, rate, 64))))
    assert np.abs(np.fft.rfft(decoded[:24000])).argmax() == 440


def test_the_bitrate_gives_way_to_the_budget():
    assert choose_bitrate(60) == 64
    assert choose_bitrate(1e6) is None
    longest = AUDIO_BUDGET / (24 * 125)
    assert choose_bitrate(longest) == 24


@pytest.mark.parametrize("n_samples", [1, 100, 24000, 168000])
@pytest.mark.parametrize("rate", [8000, 24000])
def test_a_spectrogram_is_made_of_any_length(n_samples, rate):
    image = encode_image(
        spectrogram(np.zeros(n_samples, np.float32), rate),
        0.0,
        lambda x, bytes: np.zeros((*x.shape, 4), np.uint8),
    )
    assert Image.open(io.BytesIO(base64.b64decode(image))).size == (440, 132)


def test_a_tone_lies_at_its_height():
    tone = np.sin(2 * np.pi * 660 * np.arange(48000) / RATE).astype(np.float32)
    row = spectrogram(tone, RATE).mean(axis=1).argmax()
    expected = np.log(11000 / 660) / np.log(11000 / 40) * 131
    assert abs(row - expected) < 2

"""Published figures: the file keeps its schema (tests/eval/test_scores.py holds them against the audio)."""

from __future__ import annotations

import pytest
import yaml

from eval.report.published import read_published
from eval.tables import TABLE_METRICS
from tests.helpers import ROOT
from ucr.foundation.errors import UserError

FILE = ROOT / "reports" / "published.yaml"


def test_the_file_keeps_its_schema():
    for entry in read_published(FILE):
        keys = [(figure.task, figure.source, figure.metric) for figure in entry.figures]
        assert len(set(keys)) == len(keys)
        if entry.measured_by == "this suite":
            assert {figure.metric for figure in entry.figures} <= set(TABLE_METRICS)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"protocol": None}, "0.protocol: Input should be a valid string"),
        ({"url": "x"}, "0.url: Extra inputs are not permitted"),
        ({"figures": []}, "0.figures: List should have at least 1 item"),
        (
            {
                "figures": [
                    {"task": "a+b", "source": "a", "metric": "m", "mean": 1.0, "n": 2, "values": [1.0, 2.0]}
                ]
            },
            "is not 1",
        ),
        (
            {
                "figures": [
                    {"task": "a+b", "source": "a", "metric": "m", "mean": 1.0, "n": 2, "values": [1.0]}
                ]
            },
            "n is 2",
        ),
    ],
)
def test_a_wrong_key_is_named(tmp_path, change, sentence):
    entry = yaml.safe_load(FILE.read_text())[0]
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump([entry | change]))
    with pytest.raises(UserError, match=sentence):
        read_published(path)


def test_a_missing_or_broken_file_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_published(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("[1")
    with pytest.raises(UserError, match="not valid YAML"):
        read_published(tmp_path / "bad.yaml")

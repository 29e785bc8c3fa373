"""The section that lets one hear and see what each training of a variant makes of a segment."""

import io
from base64 import b64decode

import numpy as np
import pytest
import soundfile

from eval.report.composition import hear
from eval.report.results import read_results
from pipelines.report import make_report
from tests.baselines.helpers import random_decomposition
from tests.reports.test_report import Page
from ucr.foundation.checkpoints import FIRST_TRAINING, WEIGHTS
from ucr.foundation.errors import UserError
from ucr.foundation.params import DecompositionParams
from ucr.foundation.schema import merge


def write_trainings(root, params):
    """Untrained weights of both trainings of the variant `composed`, and parameters that know it."""
    own = params.decomposition.model_dump()
    differing = {"guided": 0.0, "encoder": {"channels": [8, 8], "width": [1, 8], "pool": [1, 4]}}
    for folder, changes in (
        ("composed", {"encoder": {"channels": [8, 8]}}),
        (f"composed/{FIRST_TRAINING}", differing),
    ):
        path = root / "models" / folder
        path.mkdir(parents=True)
        random_decomposition(
            path, params, DecompositionParams.model_validate(merge(own, changes)).model_dump()
        )
    return params.model_copy(update={"variants": {"composed": {"guided": 0.0}}})


@pytest.fixture
def with_trainings(tree):
    root, params = tree
    return root, write_trainings(root, params)


def test_both_trainings_are_heard_and_their_latents_seen(with_trainings):
    root, params = with_trainings
    page = Page(make_report(root, params))
    assert page.has("From composition alone")
    assert page.has("1 value per frame; 8 values every 4 frames")
    sounds = {
        name: sound for name, sound in page.data("audio-data").items() if name.startswith("composition-")
    }
    assert {name.split("-", 2)[2] for name in sounds} == {
        "0-0",
        *(f"{r}-{c}" for r in (1, 2, 3, 4) for c in (0, 1)),
    }
    assert set(sounds) <= {attrs.get("data-clip") for attrs in page.all("button")}
    decoded, rate = soundfile.read(io.BytesIO(b64decode(sounds["composition-0-0-0"])))
    assert len(decoded) / rate == pytest.approx(0.5, abs=0.1)
    assert any("blue below zero" in text for text in page.text)
    assert {path.name for path in (root / "reports/figures").glob("latents.*")} == {
        "latents.svg",
        "latents.png",
    }
    labels = [
        attrs["aria-label"]
        for attrs in page.all("button")
        if attrs.get("data-clip", "").startswith("composition-")
    ]
    assert sum("SI-SDR" in label for label in labels) == 4  # what is separated, not what is drawn
    assert page.open == []


def test_latents_are_as_wide_and_slow_as_their_sizes_say(with_trainings):
    root, params = with_trainings
    heard = hear(read_results(root, []), params)
    first, second = heard.trainings
    fast, slow = first.latents
    assert (len(fast), len(slow)) == (1, 8)
    assert [len(latent) for latent in second.latents] == [8, 8]
    slopes = np.diff(slow, n=2, axis=1)
    assert np.mean(np.abs(slopes) < 1e-5) >= 0.5  # linear between one value in 4 frames
    mixture = heard.signals[0]
    np.testing.assert_allclose(first.separated.mean(axis=0), mixture, atol=1e-4)


def test_without_a_first_training_there_is_no_section(with_trainings):
    root, params = with_trainings
    (root / "models/composed" / FIRST_TRAINING).rename(root / "elsewhere")
    page = Page(make_report(root, params))
    assert not page.has("From composition alone")
    assert not (root / "reports/figures/latents.svg").exists()


def test_damaged_weights_are_one_sentence(with_trainings):
    root, params = with_trainings
    (root / "models/composed" / FIRST_TRAINING / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(UserError, match="composed/first"):
        make_report(root, params)

"""Further decomposition models: composition alone finds the sources where the components' latents differ."""

import sys
from pathlib import Path

import numpy as np
import pytest

from eval.quick import mean_si_scores
from pipelines import data, latents, segments, train_variant
from ucr.data.segments import SegmentStore
from ucr.methods.registry import find
from ucr.model.decomposition import load_decomposition

SMALL = {
    "optim": {
        "steps": 300, "batch": 8, "crop": 128, "lr": 2e-3, "weight_decay": 0.0, "warmup": 30, "clip": 1.0,
        "ema": 0.98, "validate_every": 300, "schedule": "cosine",
    },
    "denoiser": {
        "channels": [64, 96], "kernels": [3, 3], "strides": [2, 2], "attention": [False, False], "dropout": 0.0,
    },
}  # fmt: skip
COMPOSED = {
    "guided": 0.0,
    "independence": 1.0,
    "encoder": {"channels": [64, 64, 8], "kernel": 3, "width": [1, 8], "pool": [1, 8]},
    "iadb": {"alpha_zero_share": 1.0},
}


@pytest.mark.slow
def test_sources_emerge_from_composition_alone(project, monkeypatch):
    project(
        data={"tracks": {"train": 30, "validation": 6, "test": 1}},
        decomposition=SMALL,
        variants={"composed": COMPOSED},
    )
    for stage in (data, segments, latents):
        stage.main()
    monkeypatch.setattr(sys, "argv", ["train_variant", "composed"])
    train_variant.main()

    folder = Path("models/composed")
    _, setting, _ = load_decomposition(folder)
    assert (setting.params["guided"], setting.params["encoder"]["width"]) == (0.0, [1, 8])
    method = find("ucr_composed").method(steps=1)
    method.load(folder, ["drums", "bass"])
    store = SegmentStore("segments", "validation")

    def mixtures(audio, sample_rate, n_sources):
        return np.repeat(audio[:, None], n_sources, axis=1)

    separated, untouched = (
        mean_si_scores(way, store)[0]["si_sdr"] for way in (method.separate_batch, mixtures)
    )
    for source in store.sources:
        assert separated[source] > untouched[source] + 3, (separated, untouched)


@pytest.mark.parametrize(
    ("variants", "says"),
    [
        ({}, "params.yaml: variants lacks 'composed': add it, or choose from none"),
        (
            {"composed": {"guide": 0.0}},
            "with variants.composed merged: decomposition.guide: is an unknown key",
        ),
        ({"../x": {}}, "variants: '../x' is no name of a file"),
    ],
)
def test_a_mistake_in_a_variant_is_named(project, monkeypatch, capsys, variants, says):
    project(variants=variants)
    monkeypatch.setattr(sys, "argv", ["train_variant", "composed"])
    with pytest.raises(SystemExit) as ended:
        train_variant.main()
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not Path("models").exists()

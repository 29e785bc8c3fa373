"""The stage `train_codec`: what is drawn, what is written, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipelines import latents, train_codec
from pipelines.train_codec import draw_crops
from tests.helpers import PARAMS, ROOT
from ucr.codecs import make_codec
from ucr.data.cutting import Cut, SegmentWriter
from ucr.data.segments import SegmentStore
from ucr.data.slakh.read import Track
from ucr.foundation.files import read_json
from ucr.foundation.params import load_params
from ucr.foundation.schema import merge, read_yaml

RATE, COUNT = 24000, 3
SETTING = {
    "filters": 4,
    "codebooks": 2,
    "codebook_size": 16,
    "optim": {
        "steps": 60,
        "batch": 4,
        "crop": 2400,
        "lr": 5.0e-3,
        "warmup": 2,
        "ema": 0.5,
        "validate_every": 20,
    },
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with 3 segments of half a second per split: each source is one tone, with random phase."""
    preset = merge(read_yaml(PARAMS), read_yaml(ROOT / "params" / "encodec_mini.yaml"))
    values = merge(preset, {"codec_training": {"encodec_mini": SETTING}})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    rng, time = np.random.default_rng(0), np.arange(RATE // 2) / RATE
    writer = SegmentWriter(tmp_path / "work")
    for split in ("train", "validation", "test"):
        phases = 2 * np.pi * (np.array([440, 110])[:, None] * time + rng.uniform(size=(COUNT, 2, 1)))
        tones = (np.array([[2000], [8000]]) * np.sin(phases)).astype(np.int16)
        audio = {f"Track00001_{i}": tones[i].tobytes() for i in range(COUNT)}
        index = [{"split": split, "track": "Track00001", "segment": name, "digest": ""} for name in audio]
        writer.add(Track("Track00001", split, Path("data")), Cut(audio, index, [], []))
    meta = {"sources": ["drums", "bass"], "sample_rate": RATE, "seconds": 0.5, "dataset": "test"}
    writer.finish(tmp_path / "segments", meta)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_crops_are_of_sources_and_mixtures(project):
    store = SegmentStore(project / "segments", "train")
    crops = draw_crops(store, np.random.default_rng(0), 60, 2400).numpy()
    assert (crops.shape, crops.dtype) == ((60, 2400), np.float32)
    kinds = np.round(crops.std(axis=1) * 32768, -3)
    assert set(kinds) == {1000, 3000, 6000}  # drums, their mean, bass
    np.testing.assert_array_equal(draw_crops(store, np.random.default_rng(0), 60, 2400), crops)


def test_training_lowers_the_loss_and_writes_a_codec_with_its_card(project, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train_codec", "encodec_mini"])
    train_codec.main()
    folder = Path("models/codec")
    curve = pd.read_csv(folder / "training.csv")
    assert list(curve.step) == [20, 40, 60]
    assert curve.loss.iloc[-1] < 0.9 * curve.loss.iloc[0]
    assert curve.validation_loss.iloc[-1] < curve.validation_loss.iloc[0]
    assert curve.si_sdr_db.notna().all()
    codec = make_codec(load_params().codec, RATE)
    card = read_json(folder / "card.json")
    assert card["fingerprint"] == codec.fingerprint
    found = card["reconstruction"]
    assert found["segments"] == COUNT
    for measure in ("si_sdr_db", "spectral_distance"):
        assert set(found[measure]) == {"drums", "bass", "mixture"}
        assert np.isfinite(list(found[measure].values())).all()
    assert found["real_time_factor"]["median"] > 0
    # what uses the codec reads it from there
    latents.main()
    assert read_json("latents/latents.json")["fingerprint"] == codec.fingerprint


@pytest.mark.parametrize(
    ("codec", "changes", "words"),
    [
        ("mel", {}, "codec_training lacks 'mel'"),
        (
            "encodec_mini",
            {"codec_training": {}},
            "codec.needs: models/codec is made by codec_training, which is empty",
        ),
        (
            "encodec_mini",
            {"codec": {"needs": "segments"}},
            "codec: encodec_mini needs the folder of its weights",
        ),
        (
            "encodec_mini",
            {"codec_training": {"encodec_mini": {"codebook_size": 100}}},
            "codebook_size: a codebook holds a power of two entries",
        ),
    ],
)
def test_mistakes_are_one_sentence(project, monkeypatch, capsys, codec, changes, words):
    values = merge(read_yaml(project / "params.yaml"), changes)
    if "codec_training" in changes and not changes["codec_training"]:
        values["codec_training"] = {}
    (project / "params.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.setattr("sys.argv", ["train_codec", codec])
    with pytest.raises(SystemExit) as stopped:
        train_codec.main()
    said = capsys.readouterr().err
    assert (stopped.value.code, said.count("\n")) == (1, 1)
    assert words in said
    assert not (project / "models").exists()

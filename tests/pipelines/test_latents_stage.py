"""The stages `latents` and `references` as commands."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import lmdb
import numpy as np
import pytest
import soundfile
import torch
import yaml

from pipelines import latents, references, train_decomposition
from tests.helpers import PARAMS, ROOT
from ucr.codecs.mel import MelCodec
from ucr.data.segments import SegmentStore
from ucr.foundation.hashes import files_hash
from ucr.training.latents import LatentStore

RATE = 24000


def make_segments(folder: Path, counts: dict[str, int], n_samples: int = RATE // 2) -> None:
    """A store in the shape of the stage `segments`, of noise and a tone."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    tone = 3000 * np.sin(2 * np.pi * 82.4 * np.arange(n_samples) / RATE)
    for split, count in counts.items():
        with (
            lmdb.open(str(folder / f"{split}.lmdb"), subdir=False, lock=False, map_size=1 << 30) as env,
            env.begin(write=True) as transaction,
        ):
            for i in range(count):
                audio = np.stack([3000 * rng.standard_normal(n_samples), tone]).astype(np.int16)
                transaction.put(f"Track{i // 4:05d}_{i % 4}".encode(), audio.tobytes())
    meta = {
        "sources": ["drums", "bass"],
        "sample_rate": RATE,
        "dataset": "test",
        "fingerprint": "noise and a tone",
    }
    (folder / "segments.json").write_text(json.dumps(meta))


@pytest.fixture
def sentence(tmp_path: Path, monkeypatch, capsys) -> Callable[[ModuleType], str]:
    """The sentence with which a stage ends in `tmp_path`."""

    def end(stage: ModuleType) -> str:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit, match="1"):
            stage.main()
        return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")][-1]

    return end


def make_project(folder: Path, counts: dict[str, int], **codec) -> Path:
    params = yaml.safe_load(PARAMS.read_text())
    params["codec"] |= codec
    if params["codec"]["name"] != "mel":
        params["decomposition"] |= {"composition": "mean", "guided": 0.0}
        params |= {"unsupervised": {}, "variants": {}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    make_segments(folder / "segments", counts)
    return folder


def start(stage: str, folder: Path, **options) -> subprocess.Popen:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    command = [sys.executable, "-m", f"pipelines.{stage}"]
    return subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True, **options)


def fails(stage: str, folder: Path, **options) -> str:
    """Run a command that must fail with one sentence, and return the sentence."""
    process = start(stage, folder, **options)
    error = process.communicate()[1]
    assert process.returncode == 1
    assert "Traceback" not in error
    return [line for line in error.splitlines() if line.startswith("error: ")][-1]


def test_a_killed_run_is_continued(tmp_path):
    make_project(tmp_path, {"train": 160, "validation": 4, "test": 4}, bands=16)
    process = start("latents", tmp_path)
    while not any(path.stat().st_size > 100_000 for path in tmp_path.glob("runs/*/train.lmdb")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "latents").exists()

    (work,) = tmp_path.glob("runs/*/train.lmdb")
    mark = np.full((16, 38), 7, np.float32)  # in place of a latent that was done: it must not be made again
    with (
        lmdb.open(str(work), subdir=False, lock=False, map_size=1 << 30) as env,
        env.begin(write=True) as transaction,
    ):
        assert transaction.put(b"Track00000_1", mark.tobytes())
        assert transaction.get(b"Track00039_3") is None
    process = start("latents", tmp_path)
    assert process.communicate()[1].rstrip().endswith("segment/s]")
    assert process.returncode == 0
    store, segments = LatentStore(tmp_path / "latents", "train"), SegmentStore(tmp_path / "segments", "train")
    assert store.names == segments.names
    np.testing.assert_array_equal(store.mixture(1), mark)
    codec = MelCodec(RATE, 16, 0.5)
    for i in (0, 80, 159):
        expected = codec.encode(torch.from_numpy(segments[i].mixture)[None])[0]
        np.testing.assert_allclose(store.mixture(i), expected, rtol=1e-3, atol=1e-4)
    assert not list((tmp_path / "runs").iterdir())


def test_references_are_the_sources_and_the_sources_through_the_codec(tmp_path):
    make_project(tmp_path, {"test": 2})
    (tmp_path / "references").mkdir()
    (tmp_path / "references" / "stale.txt").touch()
    process = start("references", tmp_path)
    error = process.communicate()[1]
    assert process.returncode == 0, error
    found = {str(path.relative_to(tmp_path / "references")) for path in tmp_path.glob("references/**/*.*")}
    assert found == {
        f"{kind}/Track00000_{i}/{name}.wav"
        for i in (0, 1)
        for kind, names in [("waveform", ["mixture", "drums", "bass"]), ("codec", ["drums", "bass"])]
        for name in names
    } | {"card.json"}
    segment = SegmentStore(tmp_path / "segments", "test")[1]

    def read(name):
        audio, rate = soundfile.read(tmp_path / "references" / f"{name}.wav", dtype="float32")
        assert rate == RATE
        return audio

    np.testing.assert_array_equal(read("waveform/Track00000_1/mixture"), segment.mixture)
    for name, source in zip(["drums", "bass"], segment.sources, strict=True):
        np.testing.assert_array_equal(read(f"waveform/Track00000_1/{name}"), source)
        coded = read(f"codec/Track00000_1/{name}")
        assert 10 * np.log10((source**2).sum() / ((source - coded) ** 2).sum()) > 8
    card = json.loads((tmp_path / "references/card.json").read_text())
    assert card == {"hash": files_hash(tmp_path / "references/waveform", tmp_path / "references/codec")}
    assert not list(tmp_path.glob(".references*"))


def test_without_network_one_sentence_says_what_to_do(tmp_path):
    make_project(tmp_path, {"train": 1, "validation": 1, "test": 1}, name="encodec_24khz")
    nowhere = "http://127.0.0.1:9"
    env = {"https_proxy": nowhere, "http_proxy": nowhere, "TORCH_HOME": str(tmp_path / "hub")}
    sentence = fails("latents", tmp_path, env=env)
    assert "can't be downloaded" in sentence
    assert "codec.weights" in sentence
    assert not (tmp_path / "latents").exists()


@pytest.mark.parametrize(
    ("stage", "limit", "sentence"),
    [
        ("latents", 600_000, "train.lmdb can't be written"),
        ("references", 20_000, "mixture.wav: File too large"),
    ],
)
def test_a_full_disk_ends_in_one_sentence_and_no_store(tmp_path, stage, limit, sentence):
    make_project(tmp_path, {"train": 60, "validation": 1, "test": 1})

    def small_disk():  # a limit on each file stands in for the end of the disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    assert sentence in fails(stage, tmp_path, preexec_fn=small_disk)
    assert not list(tmp_path.glob(f"*{stage}*"))


def test_a_store_cut_short_ends_in_one_sentence(tmp_path, sentence):
    make_project(tmp_path, {"train": 2, "validation": 1, "test": 1})
    path = tmp_path / "segments" / "test.lmdb"
    os.truncate(path, path.stat().st_size // 2)
    for stage in (latents, references):
        assert "segments/test.lmdb is cut short: delete its folder" in sentence(stage)
    assert not [*tmp_path.glob("*latents*"), *tmp_path.glob("*references*")]


@pytest.mark.parametrize(
    ("codec", "key"),
    [
        ({"bands": 5000}, "codec.bands"),
        (
            {"name": "encodec_48khz"},
            "segments.sample_rate: the codec encodec_48khz works at 48000 Hz, not 24000",
        ),
        ({"name": "encodec_24khz", "weights": "none.th"}, "codec.weights: none.th does not exist"),
        ({"name": "encodec_24khz", "weights": "params.yaml"}, "codec.weights: params.yaml is damaged"),
    ],
)
def test_a_codec_that_cannot_be_ends_in_one_sentence(tmp_path, sentence, codec, key):
    make_project(tmp_path, {"train": 1, "validation": 1, "test": 1}, **codec)
    assert f"error: {key}" in sentence(latents)
    assert not Path("latents").exists()


def test_latents_cut_short_or_of_another_codec_end_training_in_one_sentence(tmp_path, monkeypatch, sentence):
    monkeypatch.chdir(make_project(tmp_path, {"train": 8, "validation": 2, "test": 1}))
    latents.main()
    params = tmp_path / "params.yaml"
    made = params.read_text()
    values = yaml.safe_load(made)
    params.write_text(yaml.safe_dump(values | {"codec": values["codec"] | {"power": 0.4}}))
    assert "latents was made with the codec mel at 24000 Hz with other parameters" in sentence(
        train_decomposition
    )
    params.write_text(made)
    path = tmp_path / "latents" / "train.lmdb"
    os.truncate(path, path.stat().st_size // 2)
    assert "latents/train.lmdb is cut short: delete its folder" in sentence(train_decomposition)
    assert not (tmp_path / "models").exists()

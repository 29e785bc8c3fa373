import gc
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from ucr.codecs.mel import MelCodec
from ucr.foundation.errors import UserError
from ucr.training.latents import BATCH, LatentStore, open_latents, write_latents

RATE = 24000


@dataclass
class Segment:
    name: str
    mixture: np.ndarray
    sources: np.ndarray


class Segments(list):
    """Noise in the shape of a SegmentStore."""

    def __init__(self, names: list[str], loudness: float = 0.1, sources: tuple[str, ...] = ("drums", "bass")):
        self.names, self.sources, self.fingerprint = names, list(sources), f"print of {loudness}"
        for i, name in enumerate(names):
            audio = loudness * np.random.default_rng(i).standard_normal((len(sources), 3200)).astype(
                "float32"
            )
            self.append(Segment(name, audio.mean(axis=0), audio))


TRAIN = ["Track00001_2", "Track00001_10", "Track00002_0", "Track00010_1", "Track00010_3", "Track00011_0"]


@pytest.fixture(scope="module")
def codec():
    return MelCodec(RATE, 16, 0.5)


@pytest.fixture
def splits():
    quiet = Segments(["Track00020_0"], loudness=0.001)
    return {"train": Segments(TRAIN), "validation": quiet, "test": Segments(["Track00030_7"])}


@pytest.fixture
def folder(tmp_path, splits, codec):
    write_latents(tmp_path / "latents", splits, codec, {"name": "mel"}, tmp_path / "runs")
    return tmp_path / "latents"


def test_what_is_read_is_what_the_codec_gives(folder, splits, codec):
    for split, segments in splits.items():
        store = LatentStore(folder, split)
        assert store.names == segments.names
        assert (len(store), store.frames) == (len(segments), 10)
        for i, segment in enumerate(segments):
            expected = codec.encode(torch.from_numpy(segment.mixture[None])).numpy()
            np.testing.assert_allclose(store.mixture(i), expected[0], rtol=1e-4, atol=1e-5)
            np.testing.assert_array_equal(store.crop(i, 3, 4), store.mixture(i)[:, 3:7])


def test_the_folder_holds_the_splits_and_their_description_only(folder, codec):
    assert {path.name for path in folder.iterdir()} == {
        "train.lmdb",
        "validation.lmdb",
        "test.lmdb",
        "latents.json",
    }
    meta = json.loads((folder / "latents.json").read_text())
    assert meta["fingerprint"] == codec.fingerprint
    assert (meta["channels"], meta["frame_rate"], meta["sources"]) == (16, 75.0, ["drums", "bass"])
    assert not list((folder.parent / "runs").iterdir())


def test_statistics_are_of_the_training_mixtures_alone(folder):
    store = LatentStore(folder, "train")
    mixtures = np.stack([store.mixture(i) for i in range(len(store))])
    assert store.meta["mean"] == pytest.approx(mixtures.mean(), rel=1e-5)
    assert store.meta["std"] == pytest.approx(mixtures.std(), rel=1e-5)


def test_a_view_is_read_only_and_outlives_its_store(folder):
    view = LatentStore(folder, "train").mixture(0)
    before = view.copy()
    gc.collect()
    np.testing.assert_array_equal(view, before)
    assert not view.flags.writeable
    assert not view.flags.owndata


def test_a_store_is_replaced_as_a_whole(folder, splits, codec):
    old = LatentStore(folder, "train").mixture(0).copy()
    louder = {split: Segments(segments.names, loudness=0.4) for split, segments in splits.items()}
    write_latents(folder, louder, codec, {"name": "mel"}, folder.parent / "runs")
    np.testing.assert_allclose(LatentStore(folder, "train").mixture(0), 2 * old, rtol=1e-3)


class Dying:
    """A codec that fails after some calls, and counts them."""

    def __init__(self, codec, calls: float):
        self.codec, self.left, self.encoded = codec, calls, 0

    def __getattr__(self, name):
        return getattr(self.codec, name)

    def encode(self, audio):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.encoded += len(audio)
        return self.codec.encode(audio)


def test_an_interrupted_store_is_continued_not_taken_for_whole(tmp_path, splits, codec, folder):
    other = tmp_path / "other"
    with pytest.raises(KeyboardInterrupt):
        write_latents(other, splits, Dying(codec, 1), {"name": "mel"}, tmp_path / "runs")
    assert not other.exists()
    rest = Dying(codec, np.inf)
    write_latents(other, splits, rest, {"name": "mel"}, tmp_path / "runs")
    assert rest.encoded == 8 - BATCH["cpu"]
    for split in splits:
        resumed, whole = LatentStore(other, split), LatentStore(folder, split)
        assert resumed.meta == whole.meta
        for i in range(len(whole)):
            np.testing.assert_array_equal(resumed.mixture(i), whole.mixture(i))


def test_another_codec_does_not_continue_it(tmp_path, splits, codec):
    with pytest.raises(KeyboardInterrupt):
        write_latents(tmp_path / "latents", splits, Dying(codec, 1), {"name": "mel"}, tmp_path / "runs")
    other = Dying(MelCodec(RATE, 24, 0.5), np.inf)
    write_latents(tmp_path / "latents", splits, other, {"name": "mel"}, tmp_path / "runs")
    assert other.encoded == 8


@dataclass
class Named:
    name: str
    sample_rate: int
    fingerprint: str


def test_a_store_of_something_else_is_refused_by_name(folder, codec):
    assert len(open_latents(folder, "train", codec, ["drums", "bass"])) == len(TRAIN)
    with pytest.raises(UserError, match="mel at 24000 Hz, not encodec_24khz at 24000 Hz"):
        open_latents(folder, "train", Named("encodec_24khz", RATE, "f00"))
    with pytest.raises(UserError, match="mel at 24000 Hz, not mel at 48000 Hz"):
        open_latents(folder, "train", Named("mel", 48000, "f00"))
    with pytest.raises(UserError, match=rf"other parameters or weights \({codec.fingerprint}\)"):
        open_latents(folder, "train", MelCodec(RATE, 16, 0.3))
    with pytest.raises(UserError, match="drums, bass, not of bass, piano"):
        open_latents(folder, "train", codec, ["bass", "piano"])


def test_a_missing_store_says_which_stage_to_run(tmp_path):
    with pytest.raises(UserError, match=r"latents\.json does not exist: run `python -m pipelines\.latents`"):
        LatentStore(tmp_path / "latents", "train")


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.99])
def test_a_file_cut_short_is_found_out(folder, kept):
    path = folder / "train.lmdb"
    os.truncate(path, int(kept * path.stat().st_size))
    with pytest.raises(UserError, match=r"train\.lmdb.*delete"):
        LatentStore(folder, "train")


def test_a_damaged_description_is_found_out(folder):
    meta = json.loads((folder / "latents.json").read_text())
    for damaged, match in [
        ("{", "not valid JSON"),
        (json.dumps({**meta, "counts": {}}), "lacks 'train'"),
        (json.dumps({**meta, "counts": {"train": 9}}), "holds 6 of 9 segments"),
    ]:
        (folder / "latents.json").write_text(damaged)
        with pytest.raises(UserError, match=match):
            LatentStore(folder, "train")


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path, splits, codec):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_latents(tmp_path / "file" / "latents", splits, codec, {"name": "mel"}, tmp_path / "file")
    assert [Path(path).name for path in tmp_path.iterdir()] == ["file"]

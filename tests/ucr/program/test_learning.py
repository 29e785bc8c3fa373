"""`ucr train` and `ucr separate --adapt` as a user calls them."""

import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
import torch

import ucr
from tests.baselines.helpers import tiny_bootstrap, tiny_decomposition
from tests.helpers import PARAMS, ROOT, kill_when
from tests.ucr.program.helpers import make_song, make_speech
from tests.ucr.program.test_program import read, run
from ucr.codecs.mel import MelCodec
from ucr.foundation import audio
from ucr.foundation.errors import UserError
from ucr.foundation.params import DecompositionParams, load_params
from ucr.model.decomposition import load_decomposition
from ucr.program import learning, shipped
from ucr.program.song_latents import read_songs, song_files
from ucr.training import budget, decomposition, labels
from ucr.training.trainer import Job


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Shipped weights of a small random model, so that trainings are quick."""
    folder = tmp_path / "shipped"
    tiny_decomposition(folder / "drums+bass", load_params(PARAMS))
    monkeypatch.setattr(shipped, "FOLDER", folder)
    monkeypatch.setattr(budget, "LEAST_STEPS", 4)
    monkeypatch.setattr(decomposition, "VALIDATION_CROPS", 16)
    return folder / "drums+bass"


@pytest.fixture
def songs(tmp_path):
    """Three songs of 21 s, of different rates, channels and formats, in a folder of folders."""
    (tmp_path / "songs" / "album").mkdir(parents=True)
    make_song(tmp_path / "songs" / "a.wav", 21.0, 24000, 1, seed=1)
    make_song(tmp_path / "songs" / "album" / "b.flac", 21.0, 44100, 2, seed=2)
    make_song(tmp_path / "songs" / "album" / "c.MP3", 21.0, 22050, 2, seed=3)
    (tmp_path / "songs" / "album" / "cover.jpg").write_bytes(b"no song")
    return tmp_path / "songs"


QUICK = ["--minutes", "0.001"]


def test_weights_learnt_from_songs_separate_a_song(tiny, songs, tmp_path, capsys):
    out = tmp_path / "weights"
    assert run("train", songs, "-o", out, *QUICK) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{out}\n"
    assert (
        "learning from 3 of 3 songs: 1.1 minutes, 9 segments; left out: 0 too quiet, 0 speech\n"
        in captured.err
    )
    assert "remix consistency" in captured.err
    assert {path.name for path in out.iterdir()} == {"model.safetensors", "card.json", "training.csv"}
    card = ucr.info(out)
    assert (card["data"]["songs"], card["data"]["segments"], card["data"]["left_out"]) == (3, 9, [])
    assert card["data"]["hours"] == pytest.approx(63 / 3600, abs=1e-3)
    assert card["settings"]["sources"] == ["drums", "bass"]
    assert set(card["components"]) == {"drums", "bass"}
    assert (
        card["label_free"]["before"]["remix_consistency_db"]
        != card["label_free"]["after"]["remix_consistency_db"]
    )
    stems = ucr.separate(songs / "a.wav", tmp_path / "stems", weights=out)
    assert set(stems) == {"drums", "bass"}
    mixture, _ = read(songs / "a.wav")
    assert np.abs(sum(read(stem)[0] for stem in stems.values()) - mixture).max() < 1e-3


@pytest.mark.slow
def test_a_training_from_weights_begins_with_them(tiny, songs, tmp_path):
    first = ucr.train(songs, tmp_path / "first", minutes=0.001)
    further = ucr.train(songs, tmp_path / "further", minutes=0.001, start=first)
    before, after = (ucr.info(folder)["label_free"] for folder in (first, further))
    assert after["before"] == pytest.approx(before["after"], rel=1e-4)
    assert after["after"]["validation_loss"] < after["before"]["validation_loss"]
    other = ucr.train(songs, tmp_path / "other", minutes=0.001, seed=1)
    assert ucr.info(other)["label_free"]["before"] != before["before"]


def test_weights_that_no_grouping_taught_go_on_without_one(tiny, songs, tmp_path):
    params = load_params(PARAMS)
    values = params.decomposition.model_dump() | {"first": {"guided": 0.0}}
    composed = params.model_copy(update={"decomposition": DecompositionParams.model_validate(values)})
    tiny_decomposition(tmp_path / "composed", composed)
    out = ucr.train(songs, tmp_path / "out", minutes=0.001, start=tmp_path / "composed")
    assert ucr.info(out)["labelled_segments"] == 0
    assert load_decomposition(out)[0].params.guided == 0


def test_any_number_of_sources_is_learnt(tiny, songs, tmp_path):
    out = tmp_path / "weights"
    assert run("train", songs, "-o", out, "--sources", "drums,bass,other", *QUICK) == 0
    assert run("separate", songs / "a.wav", "-o", tmp_path / "stems", "--weights", out) == 0
    assert {path.stem for path in (tmp_path / "stems" / "a").iterdir()} == {"drums", "bass", "other"}


def test_the_same_command_again_does_nothing_and_other_settings_are_refused(tiny, songs, tmp_path, capsys):
    out = tmp_path / "weights"
    assert run("train", songs, "-o", out, *QUICK) == 0
    before = (out / "model.safetensors").stat().st_mtime_ns
    assert run("train", songs, "-o", out, *QUICK) == 0
    assert (out / "model.safetensors").stat().st_mtime_ns == before
    capsys.readouterr()
    assert run("train", songs, "-o", out, "--minutes", "0.002", "--sources", "drums,piano") == 1
    assert "weights holds a training with other sources and minutes: choose" in capsys.readouterr().err
    make_song(songs / "d.wav", 8.0)
    assert run("train", songs, "-o", out, *QUICK) == 1
    assert "other songs" in capsys.readouterr().err


def test_what_is_no_music_is_left_out_and_told(tiny, songs, tmp_path, capsys):
    (songs / "broken.ogg").write_text("no audio")
    make_song(songs / "short.wav", 3.0)
    soundfile.write(str(songs / "silent.wav"), np.zeros(24000 * 15), 24000)
    whole = soundfile.read(str(make_song(songs / "half.wav", 14.0, 24000, 1)))[0]
    whole[: 24000 * 7] = 0
    soundfile.write(str(songs / "half.wav"), whole, 24000)
    soundfile.write(str(songs / "radio.wav"), np.concatenate([make_speech(14.0, 24000), whole]), 24000)
    assert run("train", songs, "-o", tmp_path / "weights", *QUICK) == 0
    err = capsys.readouterr().err.replace(f"{songs}/", "")
    assert "left out: broken.ogg: broken.ogg can't be read as audio" in err
    assert "left out: short.wav: it has 3.0 s, less than a segment of 7 s" in err
    assert "left out: silent.wav: of 3 segments 3 too quiet" in err
    assert "left out: half.wav: of 2 segments 1 too quiet" in err
    assert "left out: radio.wav: of 4 segments 1 too quiet, 2 speech" in err
    assert "learning from 5 of 8 songs: 1.3 minutes, 11 segments; left out: 5 too quiet, 2 speech" in err
    data = ucr.info(tmp_path / "weights")["data"]
    assert (data["silent_segments"], data["speech_segments"]) == (5, 2)
    odd = ("broken.ogg", "short.wav", "silent.wav", "half.wav", "radio.wav")
    assert {each["song"] for each in data["left_out"]} == {str(songs / name) for name in odd}


def test_an_mp3_is_decoded_once(tmp_path, monkeypatch):
    song = make_song(tmp_path / "song.mp3", 21.0)
    samples = 0
    read = audio.Forward.read

    def counting(self, *arguments, **how):
        nonlocal samples
        found = read(self, *arguments, **how)
        samples += len(found)
        return found

    monkeypatch.setattr(audio.Forward, "read", counting)
    codec = MelCodec(24000, 16, 0.5)
    read_songs([song], tmp_path / "latents", codec, {"name": "mel"}, ["drums", "bass"], 3, "")
    assert samples == pytest.approx(21 * 44100, rel=0.01)


def test_a_cut_mp3_is_told_and_learnt_from(tmp_path, capsys):
    song = make_song(tmp_path / "song.mp3", 28.0)
    song.write_bytes(song.read_bytes()[: song.stat().st_size * 3 // 4])
    codec = MelCodec(24000, 16, 0.5)
    _, census = read_songs([song], tmp_path / "latents", codec, {"name": "mel"}, ["drums", "bass"], 2, "")
    assert census["hours"] * 3600 == pytest.approx(21, abs=0.5)
    assert re.search(
        r"warning: .*song.mp3 holds 2[01]\.\d of the 28.0 s that it announces", capsys.readouterr().err
    )


def test_a_constant_offset_is_no_music(tiny, songs, tmp_path, capsys):
    soundfile.write(str(songs / "offset.wav"), np.full(24000 * 15, 0.1), 24000)
    options = ["--sources", "drums, bass"]
    assert run("train", songs, "-o", tmp_path / "weights", *QUICK, *options) == 0
    assert (
        "learning from 3 of 4 songs: 1.1 minutes, 9 segments; left out: 3 too quiet"
        in capsys.readouterr().err
    )
    assert ucr.info(tmp_path / "weights")["task"] == "drums+bass"


def few(folder):
    shutil.rmtree(folder / "songs" / "album")


def empty(folder):
    shutil.rmtree(folder / "songs")
    (folder / "songs").mkdir()
    (folder / "songs" / "notes.txt").write_text("")


def silent(folder):
    few(folder)
    soundfile.write(str(folder / "songs" / "a.wav"), np.zeros(24000 * 15), 24000)


def taken(folder):
    (folder / "out").mkdir()
    (folder / "out" / "mine.txt").write_text("")


def other_weights(folder):
    tiny_decomposition(folder / "out", load_params(PARAMS))


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (few, [], "there are 21 s of music to learn from, and at least 56 s are needed: add songs"),
        (silent, [], "needed (left out: songs/a.wav (of 3 segments 3 too quiet)): add songs"),
        (empty, [], "songs holds no audio file"),
        (lambda folder: shutil.rmtree(folder / "songs"), [], "songs does not exist or is no file"),
        (taken, [], "out exists and is no folder of a training on songs"),
        (other_weights, [], "out exists and is no folder of a training on songs"),
        (lambda folder: (folder / "out").write_text(""), [], "out exists and is no folder"),
        (None, ["--sources", "drums"], "'drums' is no task: name two or more sources"),
        (None, ["--sources", "drums,piano", "--start", "drums+bass"], "separates drums, bass, not drums, piano"),
        (None, ["--start", "drums+kazoo"], "no weights ship for drums+kazoo"),
        (None, ["--minutes", "0"], "0.0 minutes are no time to train"),
        (None, ["--minutes", "nan"], "nan minutes are no time to train"),
    ],
)  # fmt: skip
def test_a_mistake_ends_in_one_sentence_and_leaves_nothing(
    tiny, songs, tmp_path, capsys, change, options, words
):
    if change:
        change(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert run("train", songs, "-o", tmp_path / "out", *options) == 1
    error = capsys.readouterr().err.replace("\r", "\n").strip().split("\n")[-1]
    assert error.startswith("error: ")
    assert words in error.replace(str(tmp_path) + "/", "")
    assert sorted(tmp_path.rglob("*")) == before


def test_sources_are_a_task_s_name_too(tiny, songs, tmp_path):
    out = ucr.train(songs, tmp_path / "weights", sources="drums+bass", minutes=0.001)
    assert ucr.info(out)["settings"]["sources"] == ["drums", "bass"]
    with pytest.raises(UserError, match="'drums,bass' is no task: name two or more sources"):
        ucr.train(songs, tmp_path / "other", sources="drums,bass")


@pytest.mark.slow
def test_a_killed_training_goes_on(tiny, songs, tmp_path):
    """A run that is killed after its first checkpoint ends as it would have, without reading the songs again."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    code = f"""
import time
import ucr.training.budget as budget, ucr.training.trainer as trainer
from ucr.program import shipped
from ucr.program.cli import main
from pathlib import Path
shipped.FOLDER = Path({str(tiny.parent)!r})
budget._plan = lambda job, seconds: {{"optim": {{"steps": 8, "validate_every": 2}}}}
save = trainer._save
def slow(*arguments):
    save(*arguments)
    time.sleep(SLOW)
trainer._save = slow
main(["train", {str(songs)!r}, "-o", OUT, "--minutes", "0.01"])
"""

    def start(out, slow):
        text = code.replace("SLOW", str(slow)).replace("OUT", repr(str(out)))
        return subprocess.Popen(
            [sys.executable, "-c", text], env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE
        )

    assert start(whole, 0).wait() == 0
    kill_when(
        start(broken, 60),
        lambda: list(broken.glob("unfinished/runs/decomposition-*/checkpoint.safetensors")),
        120,
    )
    assert not (broken / "model.safetensors").exists()
    resumed = start(broken, 0)
    _, log = resumed.communicate()
    assert resumed.returncode == 0, log.decode()
    assert b"reading songs" not in log
    assert b" 0/8" not in log
    assert (broken / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert {path.name for path in broken.iterdir()} == {"model.safetensors", "card.json", "training.csv"}


def test_segments_are_the_songs_at_one_level(tmp_path):
    rng = np.random.default_rng(0)
    for name, level in (("loud", 0.3), ("quiet", 0.01)):
        soundfile.write(
            str(tmp_path / f"{name}.wav"), level * rng.standard_normal(24000 * 17).clip(-3, 3), 24000, "FLOAT"
        )
    codec = MelCodec(24000, 16, 0.5)
    paths = song_files([tmp_path, tmp_path / "loud.wav"])
    assert [path.name for path in paths] == ["loud.wav", "quiet.wav"]
    store, census = read_songs(paths, tmp_path / "latents", codec, {"name": "mel"}, ["drums", "bass"], 2, "")
    assert store.names == [f"song0000{song}_{i}" for song in (0, 1) for i in range(3)]
    assert census["hours"] == pytest.approx(34 / 3600, abs=1e-4)
    levels = [np.square(store.mixture(i)).mean() for i in range(6)]
    assert max(levels) / min(levels) < 1.05
    audio = soundfile.read(str(tmp_path / "loud.wav"), dtype="float32")[0][-7 * 24000 :]
    audio *= 0.1 / np.sqrt(np.square(audio).mean())
    wanted = codec.encode(torch.from_numpy(audio[None]))[0].numpy()
    np.testing.assert_allclose(store.mixture(2)[:, 30:-30], wanted[:, 30:-30], atol=0.02 * wanted.max())


def test_more_music_than_there_is_time_for_is_labelled_in_part(tmp_path, monkeypatch):
    for song in range(3):
        make_song(tmp_path / f"{song}.wav", 14.0, 24000, 1, seed=song)
    codec, sources = MelCodec(24000, 16, 0.5), ["drums", "bass"]
    store, _ = read_songs(
        song_files([tmp_path]), tmp_path / "latents", codec, {"name": "mel"}, sources, 2, ""
    )
    monkeypatch.setattr(labels, "CHUNK", 2)
    how = load_params(PARAMS).decomposition.grouping

    def label(folder, seconds):
        return labels.label(store, tmp_path / folder, sources, 0.5, how, 0, seconds)

    part, some = label("some", 0.0)
    whole, every = label("every", 1e9)
    assert len(part) == 2
    assert sorted(whole.names) == store.names
    assert whole.names[:2] == part.names
    assert len({name.split("_")[0] for name in part.names}) == 1
    for i in range(6):
        components = every[i, ..., slice(3, 20)].astype(np.float32)
        assert components.shape == (2, 16, 17)
        np.testing.assert_allclose(
            (components**2).sum(axis=0), whole.crop(i, 3, 17) ** 2, rtol=0.02, atol=1e-4
        )
    np.testing.assert_array_equal(some[1, ..., slice(0, 9)], every[1, ..., slice(0, 9)])
    assert len(store) == 6


def test_as_many_steps_are_planned_as_fit_into_the_time(tmp_path):
    net = torch.nn.Linear(1, 1)

    def loss(batch):
        time.sleep(0.2)
        return net(batch[0]).square().mean()

    optim = load_params(PARAMS).decomposition.optim
    optim = optim.model_copy(update={"validate_every": budget.TRIAL // 2})
    job = Job(
        "toy",
        net,
        lambda rng, step: (torch.ones(8, 1),),
        loss,
        dict,
        optim,
        budget.TRIAL,
        0,
        {},
        runs=tmp_path,
    )
    planned = budget._plan(job, 40.0)["optim"]
    assert 60 < planned["steps"] < 190
    assert planned["steps"] // 12 < planned["warmup"] < planned["steps"] // 8
    assert not list(tmp_path.iterdir())


def test_a_song_is_separated_by_weights_that_learnt_from_it(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(learning, "ADAPTING", 0.0)
    song = make_song(tmp_path / "song.wav", 16.0, 44100, 2)
    assert run("separate", song, "-o", tmp_path / "adapted", "--adapt") == 0
    assert "learning from 1 of 1 songs" in capsys.readouterr().err
    adapted = read(tmp_path / "adapted" / "song" / "drums.wav")[0]
    assert adapted.shape == (16 * 44100, 2)
    plain = ucr.separate(song, tmp_path / "plain", weights=tiny)
    assert np.abs(adapted - read(plain["component_0"])[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("seconds", "options", "words"),
    [
        (
            9.0,
            [],
            "there are 9 s of music to learn from, and at least 14 s are needed: separate it without --adapt",
        ),
        (16.0, ["--method", "nmf"], "nmf is not adapted to a song: leave out the method"),
        (16.0, ["--weights", "nowhere"], "model.safetensors does not exist"),
    ],
)
def test_a_song_that_cannot_be_learnt_from_is_not_separated(tiny, tmp_path, capsys, seconds, options, words):
    song = make_song(tmp_path / "song.wav", seconds)
    assert run("separate", song, "-o", tmp_path / "out", "--adapt", *options) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_weights_name_their_method(tmp_path):
    song = make_song(tmp_path / "song.wav")
    params = load_params(PARAMS)
    tiny_bootstrap(tmp_path / "bootstrap", params)
    by_default = ucr.separate(song, tmp_path / "default", weights=tmp_path / "bootstrap")
    named = ucr.separate(song, tmp_path / "named", method="bootstrap", weights=tmp_path / "bootstrap")
    for one, other in zip(by_default.values(), named.values(), strict=True):
        np.testing.assert_array_equal(read(one)[0], read(other)[0])

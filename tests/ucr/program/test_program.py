"""The program `ucr` as a user calls it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import ucr
from tests.helpers import PARAMS, ROOT
from tests.ucr.program.helpers import make_song
from ucr.foundation.checkpoints import save_model
from ucr.program import cards, shipped
from ucr.program.cli import main


def run(*arguments):
    """The program's exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code or 0


def read(path):
    return soundfile.read(str(path), dtype="float32", always_2d=True)


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "ogg"])
def test_separate_writes_stems_that_add_up_to_the_song(tmp_path, capsys, ending):
    path = make_song(tmp_path / f"my song.{ending}")
    assert run("separate", path, "-o", tmp_path / "stems") == 0
    printed = capsys.readouterr().out.split("\n")[:-1]
    names = ("drums", "bass", "other")
    assert printed == [str(tmp_path / "stems" / "my song" / f"{name}.wav") for name in names]
    assert sorted(map(str, (tmp_path / "stems" / "my song").iterdir())) == sorted(printed)
    mixture, rate = read(path)
    stems = [read(stem) for stem in printed]
    assert all(stem_rate == rate and stem.shape == mixture.shape for stem, stem_rate in stems)
    assert np.abs(sum(stem for stem, _ in stems) - mixture).max() < 10 ** (-90 / 20) * np.abs(mixture).max()


def test_separate_takes_many_songs_and_a_task(tmp_path):
    songs = [make_song(tmp_path / f"{name}.wav", 2.0, 24000, 1) for name in "ab"]
    assert run("separate", *songs, "-o", tmp_path, "--task", "piano+drums+bass") == 0
    for name in "ab":
        assert {path.name for path in (tmp_path / name).iterdir()} == {"drums.wav", "bass.wav", "piano.wav"}


def test_a_blind_method_is_told_the_sources(tmp_path):
    song = make_song(tmp_path / "song.wav", 2.0, 24000, 1)
    assert run("separate", song, "-o", tmp_path, "--method", "grouping", "--task", "drums+piano") == 0
    assert len(list((tmp_path / "song").iterdir())) == 2


def test_the_command_and_the_function_do_the_same(tmp_path, song):
    options = {"task": "drums+bass+piano", "method": "nmf", "mask": False}
    by_function = ucr.separate(song, tmp_path / "function", **options)
    assert run("separate", song, "-o", tmp_path / "command", "--task", "drums+bass+piano", "--method", "nmf",
               "--no-mask") == 0  # fmt: skip
    assert list(by_function) == [f"component_{i}" for i in range(3)]
    for name, path in by_function.items():
        estimate, rate = read(path)
        assert rate == 44100
        assert estimate.shape == (9 * 44100, 1)
        np.testing.assert_array_equal(estimate, read(tmp_path / "command" / "song" / f"{name}.wav")[0])


def test_steps_change_the_estimates(tmp_path, song):
    one, three = (ucr.separate(song, tmp_path / str(steps), steps=steps) for steps in (1, 3))
    assert np.abs(read(one["drums"])[0] - read(three["drums"])[0]).max() > 1e-3


@pytest.mark.parametrize("task", ["drums+bass", "bass+drums"])
def test_every_method_with_shipped_weights_finds_them(tmp_path, song, task):
    plain, adapted = (
        ucr.separate(song, tmp_path / method, method=method, task=task)
        for method in ("ucr_pretrained", "ucr_adapted")
    )
    assert set(adapted) == set(plain) == {"drums", "bass"}
    assert np.abs(read(plain["drums"])[0] - read(adapted["drums"])[0]).max() > 1e-3


def test_a_method_with_a_folder_of_shipped_weights_takes_them_from_there(tmp_path, song, monkeypatch, capsys):
    ours = shipped.FOLDER / "drums+bass"
    shutil.copytree(ours, tmp_path / "composed" / "drums+bass")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    assert run("separate", song, "--method", "ucr_composed_pretrained", "-o", tmp_path / "shipped") == 0
    assert run("separate", song, "--method", "ucr_composed", "-o", tmp_path / "named", "--weights", ours) == 0
    for name in ("drums", "bass"):
        found, wanted = (read(tmp_path / how / "song" / f"{name}.wav")[0] for how in ("shipped", "named"))
        np.testing.assert_array_equal(found, wanted)
    arguments = ["separate", song, "--method", "ucr_composed_pretrained", "-o", tmp_path]
    assert run(*arguments, "--task", "bass+piano") == 1
    assert "no weights ship for bass+piano: choose from drums+bass" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "composed")
    assert run(*arguments) == 1
    assert "no weights ship for drums+bass+other: name a folder with weights" in capsys.readouterr().err


def test_stems_are_called_what_the_card_calls_the_components(with_prior, song, tmp_path):
    card = with_prior / "card.json"
    card.write_text(card.read_text().replace('"components"', '"no_components"', 1))
    assert list(ucr.separate(song, tmp_path / "stems")) == ["component_0", "component_1"]


def test_a_supervised_method_names_its_stems_and_needs_its_weights(tmp_path, song, capsys):
    from tests.baselines.helpers import TINY_WEIGHTS
    from ucr.foundation.params import load_params

    TINY_WEIGHTS["conv_tasnet"](tmp_path / "weights", load_params(PARAMS))
    arguments = ["separate", song, "-o", tmp_path / "stems", "--method", "conv_tasnet"]
    assert run(*arguments) == 1
    assert "conv_tasnet needs weights, which don't ship" in capsys.readouterr().err
    assert run(*arguments, "--weights", tmp_path / "weights") == 0
    assert {path.name for path in (tmp_path / "stems" / "song").iterdir()} == {"drums.wav", "bass.wav"}


LEARNED = """
import numpy as np
from ucr.foundation.checkpoints import load_model
from ucr.methods.contract import Baseline, Meta

META = Meta("learned", "supervised", "No paper", "Halves", weights="trained")


class Method(Baseline):
    def load(self, weights, sources):
        self.share = float(load_model(weights)[0]["bias"])

    def separate(self, mixture, sample_rate, n_sources):
        return np.stack([2 * self.share * mixture, 2 * (1 - self.share) * mixture])
"""


def test_a_learned_method_elsewhere_gets_its_weights_and_no_options_that_it_lacks(tmp_path, song):
    (tmp_path / "learned.py").write_text(LEARNED)
    module = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(module.bias, 0.25)
    save_model(tmp_path / "weights", module, {"sources": ["drums", "bass"], "sample_rate": 24000}, {})
    method, weights = str(tmp_path / "learned.py"), tmp_path / "weights"
    stems = ucr.separate(song, tmp_path / "stems", method=method, weights=weights, mask=False)
    drums, bass = (read(stems[name])[0] for name in ("drums", "bass"))
    np.testing.assert_allclose(bass, 3 * drums, atol=1e-5)


@pytest.mark.parametrize(
    ("gives", "said"),
    [("None", "returned NoneType, not a NumPy array"), ("mixture[None]", "returned float32[1, ")],
)
def test_a_method_that_gives_no_estimates_is_named(tmp_path, song, capsys, gives, said):
    text = (ROOT / "baselines" / "mixture.py").read_text().replace('"mixture"', '"own"')
    start = text.index("        return ")
    (tmp_path / "own.py").write_text(f"{text[:start]}        return {gives}\n")
    assert (
        run(
            "separate",
            song,
            "-o",
            tmp_path / "stems",
            "--method",
            tmp_path / "own.py",
            "--task",
            "drums+bass",
        )
        == 1
    )
    assert f"fails: {said}" in capsys.readouterr().err


def not_audio(folder):
    (folder / "song.wav").write_text("no audio")


def not_a_number(folder):
    audio = np.zeros((20 * 8000, 1), np.float32)
    audio[-5] = np.nan
    soundfile.write(str(folder / "song.wav"), audio, 8000, subtype="FLOAT")


def cut_short(folder):
    make_song(folder / "whole.flac", channels=1)
    (folder / "song.wav").write_bytes((folder / "whole.flac").read_bytes()[:30000])


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda folder: (folder / "song.wav").unlink(), [], "song.wav does not exist"),
        (not_audio, [], "song.wav can't be read as audio"),
        (not_a_number, [], "song.wav holds samples that are not finite"),
        (lambda folder: make_song(folder / "song.wav", 0), [], "song.wav holds no audio"),
        (None, ["--task", "drums+kazoo"], "no weights ship for drums+kazoo: choose from bass+piano, drums+bass"),
        (None, ["--task", "drums", "--method", "nmf"], "'drums' is no task"),
        (None, ["--task", "drums+drums", "--method", "nmf"], "'drums+drums' is no task"),
        (None, ["--method", "magic"], "no method is called 'magic': name the path of a file, or one of"),
        (None, ["--method", "irm"], "irm is an oracle"),
        (None, ["--method", "hpss", "--task", "drums+bass+piano"], "hpss gives 2 sources, not 3"),
        (None, ["--method", "nmf", "--steps", "2"], "nmf samples nothing and takes no steps"),
        (None, ["--method", "nmf", "--weights", "x"], "nmf takes no weights"),
        (None, ["--method", "nmf", "--device", "cuda"], "nmf runs on the CPU: leave out the device"),
        (None, ["--method", "ucr"], "name the folder that its training made"),
        (None, ["--method", "ucr", "--weights", "x"], "model.safetensors does not exist"),
        (None, ["--weights", "x"], "model.safetensors does not exist"),
        (None, ["--method", "ucr_pretrained", "--weights", "x"], "ucr_pretrained has weights of its own"),
        (None, ["--device", "abacus"], "there is no device 'abacus' here"),
        (lambda folder: (folder / "out").write_text(""), [], "a file stands in the way"),
        (lambda folder: (folder / "out").symlink_to("/proc"), [], "out/song does not exist"),
    ],
)  # fmt: skip
def test_a_mistake_ends_in_one_sentence_and_leaves_nothing(tmp_path, song, capsys, change, options, words):
    if change:
        change(tmp_path)
    assert run("separate", song, "-o", tmp_path / "out", *options) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert words in captured.err.replace(str(tmp_path) + "/", "")
    assert not list((tmp_path / "out" / "song").glob("*.wav"))


def test_a_damaged_song_is_no_success(tmp_path, song, capsys):
    cut_short(tmp_path)
    assert run("separate", song, "-o", tmp_path / "out") == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert not list((tmp_path / "out" / "song").glob("*.wav"))


def test_songs_of_one_name_are_not_written_over_each_other(tmp_path, song, capsys):
    shutil.copytree(tmp_path, tmp_path / "other")
    assert run("separate", song, tmp_path / "other" / "song.wav", "-o", tmp_path / "out") == 1
    assert "give each an --out of its own" in capsys.readouterr().err


def test_a_song_that_cannot_be_read_stops_before_the_first_is_separated(tmp_path, song):
    (tmp_path / "text.wav").write_text("no audio")
    assert run("separate", song, tmp_path / "text.wav", "-o", tmp_path / "out") == 1
    assert not (tmp_path / "out").exists()


def test_a_song_is_never_written_over(with_prior, tmp_path, song, capsys):
    before = song.read_bytes()
    assert run("reconstruct", song, "-o", song) == 1
    assert "is the song itself" in capsys.readouterr().err
    assert song.read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["separate", "song.wav"],
        ["separate", "-o", "out"],
        ["train", "-o", "out"],
        ["train", "songs", "-o", "out", "--minutes", "long"],
        ["separate", "song.wav", "-o", "out", "--steps", "0"],
        ["vary", "song.wav", "-o", "v.wav", "--strength", "1.5"],
        ["recombine", "a.wav", "-o", "both.wav"],
        ["generate", "-o", "out", "--count", "0"],
        ["info"],
        ["dance"],
        ["baselines", "--loudly"],
    ],
)
def test_wrong_usage_ends_with_2(arguments, capsys):
    assert run(*arguments) == 2
    assert "Usage: ucr" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["separate", "train", "reconstruct", "vary", "recombine", "generate", "info", "baselines"]
)
def test_help_shows_an_example_and_every_command_has_its_function(name, capsys):
    assert run(name, "--help") == 0
    assert f"\n  ucr {name}" in capsys.readouterr().out
    assert callable(getattr(ucr, name))


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("separate --task drums+b", "drums+bass"),
        ("separate --method ucr_p", "ucr_pretrained"),
        ("inf", "info"),
    ],
)
def test_completion_knows_commands_tasks_and_methods(line, wanted, monkeypatch, capsys):
    monkeypatch.setenv("_UCR_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"ucr {line}")
    monkeypatch.setenv("COMP_CWORD", str(len(line.split())))
    run()
    assert wanted in capsys.readouterr().out.split()


def test_the_program_needs_no_project_folder_and_loads_nothing_for_its_help(tmp_path):
    code = (
        "import sys, ucr.program.cli, ucr; print(*{'torch', 'pandas', 'numpy', 'librosa'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == ""


def test_info_prints_the_card(capsys, tmp_path):
    assert run("info", "drums+bass") == 0
    out = capsys.readouterr().out
    assert "license: MIT" in out
    assert "si_sdr: {bass: " in out
    assert ucr.info("bass+drums") == ucr.info(shipped.FOLDER / "drums+bass")
    assert run("info", "nothing") == 1
    assert "no weights ship for nothing" in capsys.readouterr().err
    assert run("info", tmp_path) == 1
    assert "model.safetensors does not exist" in capsys.readouterr().err


def test_baselines_lists_every_method_with_its_cost_where_it_was_measured(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert run("baselines") == 0
    out = capsys.readouterr().out
    assert "nmf  (blind; MIT, scikit-learn BSD-3-Clause)" in out
    assert "Spiertz & Gnann" in out
    assert "s for a second of audio" in out
    monkeypatch.setattr(cards, "COSTS", Path("nowhere.csv"))
    assert run("baselines") == 0
    assert "s for a second of audio" not in capsys.readouterr().out


def test_the_recomposing_commands(with_prior, tmp_path, song, capsys):
    other = make_song(tmp_path / "other.flac", 8.0, 22050, 1, seed=1)
    jobs = {
        "again": ["reconstruct", song],
        "varied": ["vary", song, "--strength", "0.5", "--steps", "2"],
        "reseeded": ["vary", song, "--strength", "0.5", "--steps", "2", "--seed", "1"],
        "unvaried": ["vary", song, "--strength", "0"],
        "both": ["recombine", song, other],
        "first": ["recombine", song, other, "--take", "drums"],
        "all": ["recombine", song, other, "--take", "drums", "--take", "bass"],
    }
    sounds = {}
    for name, arguments in jobs.items():
        path = tmp_path / "made" / f"{name}.wav"
        assert run(*arguments, "-o", path) == 0
        assert capsys.readouterr().out == f"{path}\n"
        sounds[name], rate = read(path)
        assert rate == 24000
        assert sounds[name].shape == ((8 if "recombine" in arguments else 9) * rate, 1)
        assert np.isfinite(sounds[name]).all()
    np.testing.assert_array_equal(sounds["again"], sounds["unvaried"])
    assert np.abs(sounds["varied"] - sounds["again"]).max() > 1e-3
    assert np.abs(sounds["varied"] - sounds["reseeded"]).max() > 1e-3
    with ucr.program.streaming.AudioReader(other) as opened:
        resampled = opened.mono(24000)(8 * 24000)[0]
    np.testing.assert_allclose(sounds["all"][:, 0], resampled, atol=1e-4)
    assert np.abs(sounds["both"] - sounds["first"]).max() > 1e-3
    path = ucr.vary(song, tmp_path / "function.wav", strength=0.5, steps=2)
    np.testing.assert_array_equal(read(path)[0], sounds["varied"])


def test_generate(with_prior, tmp_path, capsys):
    arguments = ["generate", "-o", tmp_path / "new", "--count", "2", "--seconds", "1.5", "--steps", "2"]
    assert run(*arguments) == 0
    files = [tmp_path / "new" / "0000.wav", tmp_path / "new" / "0001.wav"]
    assert capsys.readouterr().out.split() == [str(file) for file in files]
    clips = [read(file)[0] for file in files]
    assert all(clip.shape == (36000, 1) and np.abs(clip).max() > 1e-3 for clip in clips)
    assert np.abs(clips[0] - clips[1]).max() > 1e-3
    again = ucr.generate(tmp_path / "again", count=2, seconds=1.5, steps=2)
    np.testing.assert_array_equal(read(again[1])[0], clips[1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["recombine", "song.wav", "song.wav", "-o", "x.wav", "--take", "piano"], "take some of drums"),
        (["vary", "song.wav", "-o", "x.mp3"], "x.mp3 is no name of a WAV file"),
        (["vary", "nothing.wav", "-o", "x.wav"], "nothing.wav does not exist"),
        (["reconstruct", "song.wav", "-o", "song.wav/x.wav"], "a file stands in the way"),
        (["generate", "-o", "song.wav"], "song.wav"),
        (["generate", "-o", "x", "--task", "drums+piano"], "no weights ship for drums+piano: choose from drums+bass"),
    ],
)  # fmt: skip
def test_mistakes_in_recomposing(with_prior, tmp_path, song, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 1
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert not list(tmp_path.glob("x*"))


@pytest.mark.parametrize("name", ["reconstruct", "vary"])
def test_without_a_prior_the_commands_say_so(with_prior, tmp_path, song, name, capsys):
    shutil.rmtree(with_prior / "prior")
    assert run(name, song, "-o", tmp_path / "x.wav") == 1
    assert "no prior ships for drums+bass" in capsys.readouterr().err

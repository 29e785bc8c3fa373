import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pipelines.preset import merge
from ucr.foundation.errors import UserError
from ucr.foundation.params import check_params, load_params
from ucr.foundation.schema import read_yaml

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def values():
    return read_yaml(ROOT / "params.yaml")


def test_the_default_and_every_preset_are_valid(values):
    presets = sorted((ROOT / "params").glob("*.yaml"))
    assert {"smoke.yaml", "paper.yaml"} <= {preset.name for preset in presets}
    for preset in presets:
        check_params(merge(values, read_yaml(preset)), preset)


@pytest.mark.parametrize(
    ("keys", "value", "sentence"),
    [
        (("seed",), "zero", "seed: "),
        (("data", "seconds"), [1], "data.seconds: "),
        (("data", "colour"), "red", "data.colour: is an unknown key"),
        (("sources",), ["drums"], "sources: "),
        (("sources",), ["drums", "Drums"], "sources: a source is named twice"),
        (("sources",), ["drums", "../bass"], "is no source name"),
        (("methods", "../x"), {"needs": "segments"}, "methods: '../x' is no name of a method"),
        (("supervised", "../x"), {}, "supervised"),
        (("segments", "sample_rate"), 10**9, "segments.sample_rate: "),
        (("data", "name"), "slakh2100", "slakh2100 needs `path`"),
        (("methods", "hpss"), {}, "hpss lacks `needs`"),
        (("decomposition", "iadb", "variant"), "d", "it needs iadb.variant c"),
        (("codec", "name"), "encodec_24khz", "use mean"),
        (("prior", "denoiser", "strides"), [2], "one entry a level"),
        (
            ("prior", "denoiser", "strides"),
            [1, 0, 2],
            "prior.denoiser.strides.1: Input should be greater than 0",
        ),
        (("prior", "denoiser", "channels"), [32, 64, 100], "attention has heads of 32 channels"),
        (("decomposition", "optim", "epochs"), 3, "either steps or epochs"),
        (
            ("decomposition", "optim", "accumulate"),
            3,
            "decomposition.optim: a batch of 8 has no 3 even parts",
        ),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_key(values, keys, value, sentence):
    section = values
    for key in keys[:-1]:
        section = section[key]
    section[keys[-1]] = value
    with pytest.raises(UserError, match=sentence.replace(".", r"\.")):
        check_params(values)


def test_a_missing_key_is_named(values):
    del values["codec"]["bands"]
    with pytest.raises(UserError, match=r"codec\.bands: is missing"):
        check_params(values)


@pytest.mark.parametrize("text", ["a: [1", "- 1\n- 2\n", "", "!!python/object/apply:os.system ['true']\n"])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml"):
        load_params(path)


def preset(folder, *arguments):
    if not (folder / "ucr").exists():
        (folder / "ucr").symlink_to(ROOT / "ucr")  # whose weights methods of params.yaml need
    command = [sys.executable, "-m", "pipelines.preset", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_a_preset_lasts_as_long_as_its_command(tmp_path, values):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    before = (tmp_path / "params.yaml").read_bytes()
    (tmp_path / "small.yaml").write_text("seed: 7\n")
    done = preset(tmp_path, "small.yaml", "--", "grep", "seed: 7", "params.yaml")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "params.yaml").read_bytes() == before
    assert done.stderr == "params.yaml is as it was before small.yaml\n"
    assert preset(tmp_path, "small.yaml", "--", "false").returncode == 1
    (tmp_path / "few.yaml").write_text("methods: {nmf: {needs: segments}}\n")
    done = preset(tmp_path, "few.yaml", "--", "true")
    assert done.stderr.startswith("few.yaml leaves out the methods codec_oracle, conv_tasnet, ")
    assert (tmp_path / "params.yaml").read_bytes() == before


def test_a_killed_preset_is_undone_by_the_next_call(tmp_path, values):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    before = (tmp_path / "params.yaml").read_bytes()
    (tmp_path / "small.yaml").write_text("seed: 7\n")
    preset(tmp_path, "small.yaml", "--", "sh", "-c", "kill -9 $PPID")
    assert (tmp_path / "params.yaml").read_bytes() != before
    done = preset(tmp_path, "params.yaml", "--", "true")
    assert done.returncode == 0
    assert (tmp_path / "params.yaml").read_bytes() == before


def test_two_presets_at_once_leave_the_parameters_whole(tmp_path, values):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    before = (tmp_path / "params.yaml").read_bytes()
    (tmp_path / "small.yaml").write_text("seed: 7\nmethods: {nmf: {needs: segments}}\n")
    wait = "touch begun; while [ ! -e end ]; do sleep 0.05; done; grep 'seed: 7' params.yaml"
    command = [sys.executable, "-m", "pipelines.preset", "small.yaml", "--", "sh", "-c", wait]
    first = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    while not (tmp_path / "begun").exists():
        assert first.poll() is None
        time.sleep(0.05)
    for other in (("params.yaml", "--", "true"), ("small.yaml", "--", "true"), ("small.yaml",)):
        done = preset(tmp_path, *other)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith(
            "error: another run uses params.yaml of this folder: wait until it has ended"
        )
    first.kill()
    first.wait()
    assert preset(tmp_path, "small.yaml").returncode == 1  # the command of the killed one still runs
    (tmp_path / "end").touch()
    while (done := preset(tmp_path, "params.yaml", "--", "true")).returncode:
        time.sleep(0.05)
    assert (tmp_path / "params.yaml").read_bytes() == before


LOCKED = """schema: '2.0'
stages:
  data:
    cmd: python -m pipelines.data
    deps:
    - path: pipelines/data.py
      hash: md5
      md5: 0123456789abcdef0123456789abcdef
      size: 12
"""


def test_what_a_kill_cut_short_while_dvc_wrote_it_is_deleted_before_a_command(tmp_path, values):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    lock, running = tmp_path / "dvc.lock", tmp_path / ".dvc/tmp/rwlock"
    conflict = f"<<<<<<< HEAD\n{LOCKED}=======\n"
    for text, stays in [
        (LOCKED, True),
        (conflict, True),
        ("", False),
        (LOCKED[: LOCKED.index("ash: md5")], False),
    ]:
        lock.write_text(text)
        running.write_text('{"write": {}}' if stays else '{"wri')
        done = preset(tmp_path, "params.yaml", "--", "true")
        assert done.returncode == 0, done.stderr
        assert (lock.exists(), running.exists()) == (stays, stays), text
        said = "" if stays else "dvc.lock was cut short by a kill: DVC makes it anew from its cache\n"
        assert done.stderr == said


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        ("methods: {nmf: {needs: segmens}}", "methods.nmf.needs: segmens does not exist: choose segments, "),
        ("methods: {nmf: {needs: segments, speed: 3}}", "methods.nmf in the params file: got an unexpected"),
        ("seeds: 7", "bad.yaml: seeds: is an unknown key"),
        ("seed: zero", "bad.yaml: seed: Input should be a valid integer"),
        ("seed: [", "bad.yaml is not valid YAML"),
        ("methods: {ghost: {needs: segments}}", "no method is called 'ghost': baselines/ has codec_oracle"),
    ],
)
def test_a_preset_with_a_mistake_changes_nothing(tmp_path, values, mistake, sentence):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    before = (tmp_path / "params.yaml").read_bytes()
    (tmp_path / "bad.yaml").write_text(mistake)
    done = preset(tmp_path, "bad.yaml", "--", "true")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(f"error: {sentence}")
    assert (tmp_path / "params.yaml").read_bytes() == before
    assert preset(tmp_path).returncode == 2

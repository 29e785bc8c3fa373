import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pipelines.preset import merge
from ucr.errors import UserError
from ucr.params import check_params, load_params, read_yaml

ROOT = Path(__file__).resolve().parents[2]


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
    command = [sys.executable, "-m", "pipelines.preset", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_a_preset_lasts_as_long_as_its_command(tmp_path, values):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    before = (tmp_path / "params.yaml").read_bytes()
    (tmp_path / "small.yaml").write_text("seed: 7\n")
    done = preset(tmp_path, "small.yaml", "--", "grep", "seed: 7", "params.yaml")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "params.yaml").read_bytes() == before
    assert preset(tmp_path, "small.yaml", "--", "false").returncode == 1
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
    (tmp_path / "small.yaml").write_text("seed: 7\n")
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


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
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

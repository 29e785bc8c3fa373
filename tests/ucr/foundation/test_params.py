import pytest

from tests.helpers import PARAMS, ROOT
from ucr.foundation.errors import UserError
from ucr.foundation.params import check_params, load_params
from ucr.foundation.schema import merge, read_yaml


@pytest.fixture
def values():
    return read_yaml(PARAMS)


def test_the_default_and_every_preset_are_valid():
    check_params(read_yaml(ROOT / "params.yaml"))
    values = read_yaml(PARAMS)
    presets = sorted((ROOT / "params").glob("*.yaml"))
    assert {"smoke.yaml", "paper.yaml"} <= {preset.name for preset in presets}
    for preset in presets:
        check_params(merge(values, read_yaml(preset)), preset)


@pytest.mark.parametrize(
    ("keys", "value", "sentence"),
    [
        (("seed",), "zero", "seed: "),
        (("data", "seconds", "test"), [1], "data.seconds.test: "),
        (("data", "colour"), "red", "data.colour: is an unknown key"),
        (("sources",), ["drums"], "sources: "),
        (("sources",), ["drums", "Drums"], "sources: a source is named twice"),
        (("sources",), ["drums", "../bass"], "is no source name"),
        (("methods", "../x"), {"needs": "segments"}, "methods: '../x' is no name of a file"),
        (("supervised", "../x"), {}, "supervised"),
        (("segments", "sample_rate"), 10**9, "segments.sample_rate: "),
        (("data", "name"), "slakh2100", "slakh2100 needs `path`"),
        (("methods", "hpss"), {}, "hpss lacks `needs`"),
        (("decomposition", "iadb", "variant"), "d", "it needs iadb.variant c"),
        (("codec", "name"), "encodec_24khz", "use mean"),
        (("prior", "denoiser", "strides"), [2], "one entry per level"),
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

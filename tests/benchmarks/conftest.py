"""Benchmarks take the parameters of tests for those of the project."""

import numpy as np
import pytest

from benchmarks import projects
from pipelines import data, segments
from tests.helpers import PARAMS, ROOT
from ucr.foundation.files import write_audio
from ucr.foundation.schema import read_yaml


@pytest.fixture(scope="session", autouse=True)
def parameters(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    (root / "params.yaml").symlink_to(PARAMS)
    (root / "params").symlink_to(ROOT / "params")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projects, "ROOT", root)
        yield


@pytest.fixture
def ablated(project, make_track):
    """A project of noise with two variants of a tiny model, and a folder `clips` of two clips of unequal length."""
    tiny = {"channels": [8], "kernels": [3], "strides": [2], "attention": [False]}
    given = read_yaml(PARAMS)["decomposition"]
    optim = given["optim"] | {"steps": 2, "validate_every": 2, "crop": 32, "batch": 2, "warmup": 1}
    root = project(
        data={"name": "slakh2100", "path": "set"},
        segments={"seconds": 1.0},
        decomposition={
            "encoder": given["encoder"] | {"channels": [4]},
            "denoiser": given["denoiser"] | tiny,
            "optim": optim,
        },
    )
    stems = {"S00": ("Drums", 0.2), "S01": ("Bass", 0.3)}
    for number, split in enumerate(["train", "validation", "test"], start=1):
        make_track(root / "set" / split / f"Track{number:05d}", stems)
    data.main()
    segments.main()
    for clip, seconds in (("a", 1), ("b", 2)):
        for i, name in enumerate(("drums", "bass")):
            audio = np.random.default_rng([seconds, i]).normal(0, 0.1, seconds * 24000).astype(np.float32)
            write_audio(root / "clips" / clip / f"{name}.wav", audio, 24000)
    (root / "benchmarks").mkdir()
    (root / "benchmarks" / "ablation.yaml").write_text(
        "common: {}\ndefault: {}\ncomposition alone: {decomposition: {guided: 0.0}}\n"
    )
    return root

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks import weights as program
from ucr.foundation.params import load_params
from ucr.methods.contract import NotAvailable
from ucr.methods.registry import make_method
from ucr.model.decomposition import load_decomposition
from ucr.weights import FOLDER, tasks

MOST_MB = 40


def test_the_shipped_weights_load_and_say_where_they_come_from():
    assert "drums+bass" in tasks()
    assert set(program.shipped()) >= set(tasks())
    for name in program.shipped():
        _, setting, card = load_decomposition(FOLDER / name)
        assert "+".join(setting.sources) == Path(name).name
        assert {"params_file", "code", "hours", "device", "label_free", "scores", "license", "sha256"} <= set(
            card
        )
    assert sum(path.stat().st_size for path in FOLDER.rglob("*.safetensors")) < MOST_MB * 1e6


def test_the_order_of_sources_does_not_matter():
    params = load_params().model_copy(update={"sources": ["bass", "drums"]})
    _, method = make_method("ucr_pretrained", {"steps": 1})
    method.load(FOLDER, params.sources)
    assert method.separate(np.zeros(24000, np.float32), 24000, 2).shape == (2, 24000)


def test_a_task_without_weights_is_a_reason_not_a_crash():
    params = load_params().model_copy(update={"sources": ["guitar", "organ"]})
    _, method = make_method("ucr_pretrained", {})
    with pytest.raises(NotAvailable, match=r"no weights for guitar\+organ, only for"):
        method.load(FOLDER, params.sources)


def test_verify_names_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments, words in {
        ("verify", "guitar+organ"): "no weights are shipped for guitar+organ",
        ("verify", "drums+bass"): "segments does not exist",
    }.items():
        with pytest.raises(SystemExit) as ended:
            program.main(list(arguments))
        assert ended.value.code == 1
        assert words in capsys.readouterr().err


def test_changed_weights_are_refused(tmp_path, monkeypatch, capsys):
    shutil.copytree(FOLDER / "drums+bass", tmp_path / "drums+bass")
    card = tmp_path / "drums+bass" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"sha256": "0" * 64}))
    monkeypatch.setattr(program, "FOLDER", tmp_path)
    with pytest.raises(SystemExit) as ended:
        program.main(["verify", "drums+bass"])
    assert ended.value.code == 1
    assert "is not the file that" in capsys.readouterr().err


def test_a_variant_s_weights_ship_in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(program, "FOLDER", tmp_path / "weights")
    monkeypatch.setattr(program, "measure", lambda weights: {"si_sdr": {"drums": 1.0, "bass": 2.0}})
    monkeypatch.setattr(program, "named_by_sound", lambda weights: ["drums", "bass"])
    shutil.copytree(FOLDER / "drums+bass", "models/composed", ignore=shutil.ignore_patterns("prior"))
    assert program.ship("composed") == tmp_path / "weights" / "composed" / "drums+bass"
    assert program.shipped() == ["composed/drums+bass"]
    _, _, card = load_decomposition(tmp_path / "weights" / "composed" / "drums+bass")
    assert card["params_file"] == "params/weights/composed.yaml"
    assert card["scores"]["si_sdr"] == {"drums": 1.0, "bass": 2.0}

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks import weights as program
from tests.baselines.helpers import TINY_WEIGHTS
from tests.helpers import PARAMS
from ucr.data.cutting import Cut, SegmentWriter
from ucr.data.tracks import Track
from ucr.foundation.files import write_audio
from ucr.foundation.params import load_params
from ucr.methods.contract import NotAvailable
from ucr.methods.registry import make_method
from ucr.model.decomposition import load_decomposition
from ucr.weights import FOLDER, tasks

MOST_MB = 40
RATE = 24000


def write_noise(folder: Path) -> None:
    """Segments of a second of white noise, one per split."""
    rng, writer = np.random.default_rng(0), SegmentWriter(folder.parent / "work")
    for split in ("train", "validation", "test"):
        audio = {"Track00001_0": rng.integers(-9999, 9999, (2, RATE)).astype(np.int16).tobytes()}
        index = [{"split": split, "track": "Track00001", "segment": "Track00001_0", "digest": ""}]
        writer.add(Track("Track00001", split, Path("data")), Cut(audio, index, [], []))
    meta = {"sources": ["drums", "bass"], "sample_rate": RATE, "seconds": 1.0, "dataset": "test"}
    writer.finish(folder, meta)


def test_the_shipped_weights_load_and_say_where_they_come_from():
    assert "drums+bass" in tasks()
    assert set(program.shipped()) >= set(tasks())
    for name in program.shipped():
        _, sources = program.opened(FOLDER / name)
        card = json.loads((FOLDER / name / "card.json").read_text())
        assert "+".join(sources) == Path(name).name
        assert {"params_file", "code", "hours", "device", "scores", "license", "sha256"} <= set(card)
    assert sum(path.stat().st_size for path in FOLDER.rglob("*.safetensors")) < MOST_MB * 1e6


def test_the_order_of_sources_does_not_matter():
    _, method = make_method("ucr_pretrained", {"steps": 1})
    method.load(FOLDER, ["bass", "drums"])
    assert method.separate(np.zeros(24000, np.float32), 24000, 2).shape == (2, 24000)


def test_a_task_without_weights_is_a_reason_not_a_crash():
    _, method = make_method("ucr_pretrained", {})
    with pytest.raises(NotAvailable, match=r"no weights for guitar\+organ, only for"):
        method.load(FOLDER, ["guitar", "organ"])


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


def test_a_supervised_method_s_weights_ship_and_are_measured_again(tmp_path, project, monkeypatch, capsys):
    folder = project()
    write_noise(folder / "segments")
    trained = folder / "models" / "conv_tasnet"
    TINY_WEIGHTS["conv_tasnet"](trained, load_params(PARAMS))
    card = json.loads((trained / "card.json").read_text())
    (trained / "card.json").write_text(json.dumps(card | {"last": {"seconds": 36.0}}))
    monkeypatch.setattr(program, "FOLDER", tmp_path / "weights")
    monkeypatch.setattr(program, "code_version", lambda: {})
    assert program.ship("conv_tasnet") == tmp_path / "weights" / "conv_tasnet" / "drums+bass"
    assert program.shipped() == ["conv_tasnet/drums+bass"]
    program.verify("conv_tasnet/drums+bass")
    assert "conv_tasnet/drums+bass si_sdr drums: card " in capsys.readouterr().out
    shipped = json.loads((tmp_path / "weights" / "conv_tasnet" / "drums+bass" / "card.json").read_text())
    assert shipped["params_file"] == "params/weights/conv_tasnet.yaml"
    assert shipped["hours"] == 0.01


def test_real_pieces_come_onto_the_card(tmp_path, project, monkeypatch, capsys):
    project()
    rng = np.random.default_rng(0)
    for piece in ("one", "two"):
        for name in ("drums", "bass"):
            write_audio(tmp_path / "pieces" / piece / f"{name}.wav", rng.normal(0, 0.1, (1, 3 * RATE)), RATE)
    shutil.copytree(FOLDER / "drums+bass", tmp_path / "weights" / "drums+bass")
    monkeypatch.setattr(program, "FOLDER", tmp_path / "weights")
    before = json.loads((tmp_path / "weights/drums+bass/card.json").read_text())
    program.main(["pieces", str(tmp_path / "pieces")])
    card = json.loads((tmp_path / "weights/drums+bass/card.json").read_text())
    found = card.pop("real_pieces")
    assert found["pieces"] == ["one", "two"]
    assert set(found["si_sdr"]) == {"drums", "bass"}
    assert all(-30 < value < 5 for value in found["si_sdr"].values())
    before.pop("real_pieces", None)
    assert card == before
    assert "['one', 'two']" in capsys.readouterr().out


def test_a_variant_s_weights_ship_in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(program, "FOLDER", tmp_path / "weights")
    monkeypatch.setattr(program, "measure", lambda weights: {"si_sdr": {"drums": 1.0, "bass": 2.0}})
    monkeypatch.setattr(program, "of_decomposition", lambda weights, card: {"components": ["drums", "bass"]})
    shutil.copytree(FOLDER / "drums+bass", "models/composed", ignore=shutil.ignore_patterns("prior"))
    assert program.ship("composed") == tmp_path / "weights" / "composed" / "drums+bass"
    assert program.shipped() == ["composed/drums+bass"]
    _, _, card = load_decomposition(tmp_path / "weights" / "composed" / "drums+bass")
    assert card["params_file"] == "params/weights/composed.yaml"
    assert card["scores"]["si_sdr"] == {"drums": 1.0, "bass": 2.0}

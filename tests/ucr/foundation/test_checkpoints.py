import pickle

import pytest
import torch

from ucr.foundation.checkpoints import fill, load_model, load_tensors, save_model
from ucr.foundation.errors import UserError
from ucr.foundation.files import write_json


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    save_model(tmp_path, torch.nn.Linear(3, 2), {"a": [1, 2]}, {"what": "toy"})
    return tmp_path


def test_a_round_trip_keeps_everything(folder):
    tensors, config, card = load_model(folder)
    net = torch.nn.Linear(3, 2)
    fill(net, tensors, folder)
    torch.manual_seed(0)
    torch.testing.assert_close(net.weight, torch.nn.Linear(3, 2).weight)
    assert config == {"a": [1, 2]}
    assert card["what"] == "toy"
    assert not net.training


def test_another_shape_is_named(folder):
    with pytest.raises(UserError, match=r"tensor bias has shape \(2,\), the model needs \(5,\)"):
        fill(torch.nn.Linear(3, 5), load_model(folder)[0], folder)


def test_a_pickle_is_refused_and_never_run(folder, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match="pickled checkpoints are never loaded"):
        load_tensors(folder / "model.safetensors")
    assert not (tmp_path / "ran").exists()


def test_weights_cut_short_are_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"model\.safetensors"):
        load_model(folder)


def test_weights_of_another_card_are_refused(folder):
    write_json(folder / "card.json", {"sha256": "0" * 64})
    with pytest.raises(UserError, match="is not the file that"):
        load_model(folder)


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(UserError, match=r"model\.safetensors does not exist"):
        load_model(tmp_path)

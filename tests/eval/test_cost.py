import subprocess
import sys
import time

import librosa
import numpy as np
import pytest
import scipy.fft
import torch
from torch import nn

from eval import cost
from ucr.foundation.errors import UserError
from ucr.methods.registry import make_method
from ucr.signal.nmf import factorise, random_factors


class Holder:
    def __init__(self, **values):
        vars(self).update(values)


def test_parameters_are_counted_once_wherever_a_method_holds_its_network():
    net = nn.Linear(10, 4)
    assert cost.parameter_count(Holder(model=net)) == 44
    assert cost.parameter_count(Holder(inner=Holder(model=net))) == 44
    assert cost.parameter_count(Holder(model=net, again=net)) == 44
    assert cost.parameter_count(Holder(n_fft=2048)) == 0


@pytest.mark.parametrize(
    ("network", "shape", "expected"),
    [
        (nn.Linear(30, 20), (7, 30), 7 * 30 * 20),
        (nn.Conv1d(3, 5, 9, padding=4), (2, 3, 100), 2 * 100 * 3 * 5 * 9),
        (nn.LSTM(6, 8, batch_first=True), (1, 11, 6), 11 * 4 * 8 * (6 + 8)),
        (nn.MultiheadAttention(8, 2, batch_first=True), (1, 5, 8), 5 * 8 * 8 * 4 + 2 * 5 * 5 * 8),
    ],
)
def test_multiply_accumulates_of_known_layers(network, shape, expected):
    network.eval()
    x = torch.randn(shape)
    arguments = (x, x, x) if isinstance(network, nn.MultiheadAttention) else (x,)
    assert cost.multiply_accumulates(lambda: network(*arguments)) == expected


def test_a_slow_call_is_repeated_less_often(monkeypatch):
    assert len(cost.repeated(lambda: time.sleep(0.001), lambda: None)) == cost.REPEATS
    monkeypatch.setattr(cost, "SECONDS_A_MEASUREMENT", 0.05)
    assert len(cost.repeated(lambda: time.sleep(0.06), lambda: None)) == 1


def test_the_real_time_factor_is_seconds_of_work_for_one_of_audio():
    seconds = [0.2, 0.4, 0.3]
    factor = cost.real_time_factor(seconds, 2.0)
    assert factor["min"] <= factor["median"] <= factor["max"]
    assert factor["median"] == pytest.approx(np.median(seconds) / 2)


def test_a_method_without_training_has_no_training_cost(tmp_path):
    assert set(cost.training_cost(tmp_path, 100.0).values()) == {None}
    assert cost.size_on_disk_mb(tmp_path) == 0


def test_energy_is_watts_times_seconds(tmp_path):
    (tmp_path / "card.json").write_text('{"last": {"step": 10, "seconds": 36.0}}')
    assert cost.training_cost(tmp_path, 100.0) == {
        "train_steps": 10,
        "preparation_seconds": None,
        "train_seconds": 36.0,
        "train_seconds_elsewhere": None,
        "train_energy_wh_estimate": 1.0,
    }


def test_finding_pseudo_labels_is_part_of_the_training_s_cost(tmp_path):
    (tmp_path / "card.json").write_text(
        '{"last": {"step": 10, "seconds": 36.0}, "preparation_seconds": 18.0}'
    )
    found = cost.training_cost(tmp_path, 100.0)
    assert (found["preparation_seconds"], found["train_energy_wh_estimate"]) == (18.0, 1.5)


def test_products_outside_networks_are_counted_and_decompositions_by_their_formulas():
    matrices, factors = torch.rand(2, 30, 40), random_factors(torch.rand(2, 30, 40), 5, torch.Generator())
    assert cost.multiply_accumulates(lambda: factorise(matrices, *factors, 3)) == 3 * 4 * 2 * 30 * 40 * 5
    square, tall = torch.eye(6), torch.rand(9, 3)
    assert cost.multiply_accumulates(lambda: torch.linalg.eigh(square)) == 9 * 6**3 // 2
    assert cost.multiply_accumulates(lambda: torch.linalg.qr(tall)) == 4 * 9 * (9 - 1) // 2
    assert cost.multiply_accumulates(lambda: torch.linalg.svdvals(tall)) == 4 * 9 * (9 - 1) // 2
    assert cost.multiply_accumulates(lambda: np.ones((3, 3)) @ np.ones(3)) == 0


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (lambda x: scipy.fft.rfft(x), 2.5 * 192 * 6),
        (lambda x: scipy.fft.irfft(x[:, :33]), 2.5 * 192 * 6),
        (lambda x: np.fft.rfft(x, 128), 2.5 * 384 * 7),
        (lambda x: np.fft.ifft2(np.fft.fft2(x[:2])), 2 * 5 * 128 * 7),
        (lambda x: scipy.fft.fft(x[:2], axis=0), 5 * 128 * 1),
        (lambda x: torch.fft.irfft(torch.fft.rfft(torch.from_numpy(x))), 2 * 2.5 * 192 * 6),
        (lambda x: torch.fft.fft2(torch.from_numpy(x[:2])), 5 * 128 * 7),
        (lambda x: librosa.stft(x[0], n_fft=16, hop_length=4), 2.5 * 17 * 16 * 4),
    ],
)
def test_fourier_transforms_are_counted_by_their_formula(transform, expected):
    before = scipy.fft.rfft
    assert cost.multiply_accumulates(lambda: transform(np.ones((3, 64)))) == expected // 2
    assert scipy.fft.rfft is before


def test_products_of_numpy_are_stated_by_the_method():
    """Singular vectors and products of 257 bins and 101 frames, as they would be counted in torch."""
    n_samples = 12800
    options = {"n_fft": 512, "hop": 128}
    frames = torch.rand(257, 101)
    joined = cost.multiply_accumulates(lambda: torch.rand(257, 8) @ torch.rand(8, 101))
    made = {
        name: make_method(name, options)[1].products(n_samples)
        for name in ("repet_sim", "hpss", "pca", "ica")
    }
    assert made["repet_sim"] == cost.multiply_accumulates(lambda: frames.T @ frames)
    assert made["hpss"] == 0
    assert make_method("nmf", options | {"components": 8})[1].products(n_samples) == joined
    assert made["pca"] - joined == 16 * cost.multiply_accumulates(lambda: frames @ torch.rand(101, 18))
    assert made["ica"] > joined + cost.multiply_accumulates(
        lambda: torch.linalg.svd(frames, full_matrices=False)
    )


def test_shipped_weights_were_trained_elsewhere(tmp_path):
    (tmp_path / "card.json").write_text('{"last": {"step": 10, "seconds": 36.0}, "hours": 0.01}')
    found = cost.training_cost(tmp_path, 100.0)
    assert (found["train_steps"], found["train_seconds"], found["train_seconds_elsewhere"]) == (
        10,
        None,
        36.0,
    )


def measured(**changes):
    return {
        "method": "a",
        "kind": "blind",
        "failed": "",
        "parameters": 0,
        "macs_per_second": None,
        "real_time_factor_1": {"median": 0.1, "min": 0.09, "max": 0.2, "n": 5},
        "real_time_factor_8": {"median": 0.1, "min": 0.09, "max": 0.2, "n": 5},
        "peak_memory_mb": 300.0,
        "size_on_disk_mb": 0.0,
        "device": "cpu",
        "threads": 2,
        "machine": {"cpu": "x", "cores": 2, "memory_gb": 8.0},
        "libraries": {"python": "3", "torch": "2"},
    } | changes


def test_what_cannot_be_counted_is_empty_and_never_zero():
    table = cost.cost_table({"a": measured()})
    assert table[["macs_per_second", "size_on_disk_mb", "train_seconds"]].isna().all(axis=None)
    assert table.parameters[0] == 0  # it learns nothing
    assert table.rtf_1[0] == 0.1
    assert table.libraries[0] == "python 3, torch 2"


def test_a_method_that_fails_keeps_its_row():
    failing = {k: v for k, v in measured(failed="yields two").items() if "real_time" not in k}
    table = cost.cost_table({"a": measured(), "b": failing | {"method": "b"}})
    assert table.set_index("method").failed["b"] == "yields two"


def test_times_of_two_machines_never_share_a_column():
    with pytest.raises(UserError, match="a and b were measured on different machines"):
        cost.cost_table({"a": measured(), "b": measured(threads=1)})


def test_peak_memory_is_that_of_the_process_not_of_the_one_that_started_it():
    held = np.ones(50_000_000)  # 400 MB
    code = "from eval.cost import peak_memory_mb; print(peak_memory_mb())"
    child = float(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )
    assert cost.peak_memory_mb() > held.nbytes / 2**20 > child

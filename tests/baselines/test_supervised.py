"""The supervised baselines: their networks, their losses, their weights, and music of any length."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines._shared.conv_tasnet import ConvTasNet
from baselines._shared.supervised import in_chunks
from tests.helpers import ROOT
from ucr.foundation.errors import UserError
from ucr.foundation.schema import read_yaml
from ucr.methods.registry import find, make_method

NAMES = ["demucs", "htdemucs", "conv_tasnet"]


def n_parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("n_samples", [16000, 16001, 16007])
def test_conv_tasnet_at_the_papers_size(n_samples):
    network = ConvTasNet(2, N=512, L=16, B=128, H=512, Sc=128, P=3, X=8, R=3)
    with torch.no_grad():
        assert network(torch.randn(1, n_samples)).shape == (1, 2, n_samples)


@pytest.mark.parametrize(("name", "millions"), [("demucs", 265.7), ("htdemucs", 26.9), ("conv_tasnet", 5.1)])
def test_networks_of_the_papers_setting_have_their_sizes(name, millions):
    sizes = read_yaml(ROOT / "params" / "paper.yaml")["supervised"][name]["network"]
    with torch.device("meta"):
        network = find(name).method.make_network(2, 24000, **sizes)
    assert round(n_parameters(network) / 1e6, 1) == millions


def test_conv_tasnet_sees_the_papers_receptive_field():
    """1 + R (P - 1) (2^X - 1) frames: a change outside of it changes normalisation only, here switched off."""
    network = ConvTasNet(1, N=4, L=2, B=4, H=4, Sc=4, P=3, X=3, R=2)
    for block in network.blocks:
        block.inside[2] = block.inside[5] = torch.nn.Identity()
    network.enter[0] = torch.nn.Identity()
    mixture = torch.randn(1, 200, requires_grad=True)
    network(mixture)[0, 0, 100].backward()
    seen = mixture.grad[0].nonzero()[:, 0]
    half = 2 * (2**3 - 1)
    # two frames lie over a sample, each two samples long
    assert (seen.min(), seen.max()) == (100 - half - 1, 100 + half + 1)


def test_an_odd_filter_length_is_refused():
    with pytest.raises(ValueError, match="L = 15 is odd"):
        ConvTasNet(2, N=4, L=15, B=4, H=4, Sc=4, P=3, X=1, R=1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_sources", [2, 3])
def test_gradients_reach_the_network(name, n_sources):
    sizes = {
        "demucs": {"channels": 4, "depth": 2, "resample": False},
        "htdemucs": {"channels": 8, "nfft": 2048, "t_layers": 1, "t_heads": 2, "bottom_channels": 8},
        "conv_tasnet": {"N": 8, "L": 16, "B": 8, "H": 8, "Sc": 8, "P": 3, "X": 2, "R": 1},
    }[name]
    method = find(name).method
    torch.manual_seed(0)
    network = method.make_network(n_sources, 24000, **sizes)
    sources = 0.1 * torch.randn(2, n_sources, 24000)
    estimates = network(sources.mean(dim=1))
    assert estimates.shape == sources.shape
    method.loss(estimates, sources).backward()
    reached = [
        parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters()
    ]
    assert sum(reached) > 0.9 * len(reached)


@pytest.mark.parametrize("name", ["demucs", "htdemucs"])
def test_demucs_minimises_the_absolute_error(name):
    loss = find(name).method.loss
    assert loss(torch.ones(1, 2, 10), torch.full((1, 2, 10), 0.75)).item() == pytest.approx(0.25)


def test_conv_tasnet_minimises_scale_invariant_noise():
    loss = find("conv_tasnet").method.loss
    time = torch.arange(1000) / 1000
    source, noise = torch.sin(2 * torch.pi * 5 * time), 0.1 * torch.cos(2 * torch.pi * 5 * time)
    noisy = (source + noise)[None, None]
    assert loss(noisy, source[None, None]).item() == pytest.approx(-20, abs=1e-3)
    assert loss(-3 * noisy + 1, source[None, None]).item() == pytest.approx(-20, abs=1e-3)


@pytest.mark.parametrize("n_samples", [90, 100, 101, 174, 175, 176, 1000])
def test_chunks_join_without_a_seam(n_samples):
    mixtures = torch.randn(3, n_samples)
    sizes = []

    def network(piece: torch.Tensor) -> torch.Tensor:
        sizes.append(piece.shape[-1])
        return torch.stack([piece, 2 * piece], dim=1)

    estimates = in_chunks(network, mixtures, chunk=100)
    torch.testing.assert_close(estimates, torch.stack([mixtures, 2 * mixtures], dim=1))
    assert set(sizes) == {min(n_samples, 100)}


@pytest.mark.parametrize("name", NAMES)
def test_long_music_is_cut(name, build, params, pretend_music, tmp_path):
    whole = build(name)
    cut = make_method(name, {"chunk_seconds": 1.0})[1]
    cut.__dict__ |= {key: value for key, value in vars(whole).items() if key != "chunk_seconds"}
    mixture = pretend_music(2, 60000).mean(axis=0)
    estimates = cut.separate(mixture, 24000, 2)
    assert estimates.shape == (2, 60000)
    assert np.isfinite(estimates).all()


def test_estimates_of_conv_tasnet_have_the_scale_that_explains_the_mixture(build, pretend_music):
    mixture = pretend_music(2, 24000).mean(axis=0)
    for estimate in build("conv_tasnet").separate(mixture, 24000, 2):
        assert estimate @ estimate == pytest.approx(2 * (mixture @ estimate), rel=1e-4)


def test_weights_of_another_method_or_task_are_refused(params, tmp_path):
    from ucr.foundation.checkpoints import save_model

    network = find("conv_tasnet").method.make_network(2, 24000, N=8, L=16, B=8, H=8, Sc=8, P=3, X=1, R=1)
    config = {"method": "conv_tasnet", "sources": ["bass", "piano"], "sample_rate": 24000, "network": {}}
    save_model(tmp_path, network, config, {})
    with pytest.raises(UserError, match=r"separates bass\+piano, not drums\+bass"):
        make_method("conv_tasnet", {})[1].load(tmp_path, params.sources)
    with pytest.raises(UserError, match="holds no weights of demucs"):
        make_method("demucs", {})[1].load(tmp_path, params.sources)
    with pytest.raises(UserError, match="does not exist"):
        make_method("demucs", {})[1].load(tmp_path / "absent", params.sources)


def test_other_rates_are_refused(build):
    with pytest.raises(ValueError, match="24000 Hz, the mixture has 44100 Hz"):
        build("conv_tasnet").separate(np.zeros(44100, dtype=np.float32), 44100, 2)

import pytest
import torch

from tests.helpers import PARAMS, ROOT
from ucr.foundation.network_params import UNetParams
from ucr.foundation.params import check_params
from ucr.foundation.schema import merge, read_yaml
from ucr.model.networks import Encoder, UNet

SMALL = UNetParams(channels=[16, 32], kernels=[3, 3], strides=[2, 3], attention=[False, True], dropout=0.0)


def millions(*modules):
    return sum(p.numel() for module in modules for p in module.parameters()) / 1e6


def test_the_papers_setting_has_the_papers_sizes():
    values = merge(read_yaml(PARAMS), read_yaml(ROOT / "params" / "paper.yaml"))
    paper = check_params(values).decomposition
    encoders = [Encoder(128, paper.encoder) for _ in range(2)]
    assert millions(*encoders) == pytest.approx(5.81, abs=0.005)
    assert millions(UNet(128, 1, paper.denoiser)) == pytest.approx(10.48, abs=0.005)


@pytest.mark.parametrize("frames", [6, 7, 11, 24])
def test_any_number_of_frames_comes_back(frames):
    net = UNet(8, 1, SMALL)
    out = net(torch.randn(2, 8, frames), torch.rand(2), torch.randn(2, 1, frames))
    assert out.shape == (2, 8, frames)


def test_every_input_changes_the_output():
    torch.manual_seed(0)
    net = UNet(8, 1, SMALL).eval()
    x, alpha, latent = torch.randn(1, 8, 24), torch.tensor([0.3]), torch.randn(1, 1, 24)
    out = net(x, alpha, latent)
    assert not torch.allclose(out, net(x + 1, alpha, latent))
    assert not torch.allclose(out, net(x, alpha + 0.3, latent))
    assert not torch.allclose(out, net(x, alpha, latent + 1))


def test_items_of_a_batch_do_not_mix():
    torch.manual_seed(0)
    net = UNet(8, 1, SMALL).eval()
    x, alpha, latent = torch.randn(3, 8, 24), torch.rand(3), torch.randn(3, 1, 24)
    together = net(x, alpha, latent)
    alone = torch.cat([net(x[i : i + 1], alpha[i : i + 1], latent[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)

"""The mask network that learns from pseudo-labels: what it gives, what it is taught, what its training reads."""

import numpy as np
import pytest
import torch

from baselines import bootstrap as baseline
from baselines.bootstrap import MaskNetwork
from tests.helpers import PARAMS
from ucr.foundation.errors import UserError
from ucr.foundation.params import check_params
from ucr.foundation.schema import merge, read_yaml
from ucr.training import bootstrap
from ucr.training.remixes import labelled_crops
from ucr.training.trainer import train

SIZES = {"channels": [16], "kernels": [3], "strides": [2], "attention": [False], "dropout": 0.0}
BANDS = 16


class Store:
    """Stands for a latent store: three songs with a noise below and one above, whose levels change at random."""

    frames = 40
    names = ("Track00001_0", "Track00002_0", "Track00003_0")
    meta = {"channels": BANDS, "fingerprint": "0"}  # noqa: RUF012

    def __init__(self):
        sources = np.random.default_rng(0).random((3, 2, BANDS, self.frames), np.float32)
        sources[:, 0, 8:] = sources[:, 1, :8] = 0.01
        self.labels = sources.astype(np.float16)
        self.mixtures = np.sqrt((sources**2).sum(axis=1))

    def __len__(self):
        return 3

    def mixture(self, i):
        return self.mixtures[i]

    def crop(self, i, start, length):
        return self.mixtures[i][:, start : start + length]


def make_params(**changes):
    optim = {"steps": 60, "batch": 4, "crop": 32, "lr": 1e-2, "weight_decay": 0.0, "warmup": 0, "clip": 1.0}
    optim |= {"ema": 0.5, "validate_every": 30, "schedule": "constant"}
    rival = {"bootstrap": {"network": SIZES | changes, "optim": optim}}
    return check_params(merge(read_yaml(PARAMS), {"unsupervised": rival}))


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_the_magnitudes_of_its_sources_add_up_to_the_mixtures(power):
    torch.manual_seed(0)
    mixtures = torch.rand(2, BANDS, 21)
    sources = MaskNetwork(3, BANDS, power, **SIZES)(mixtures)
    assert sources.shape == (2, 3, BANDS, 21)
    torch.testing.assert_close((sources ** (1 / power)).sum(dim=1), mixtures ** (1 / power))


def test_its_masks_do_not_depend_on_the_level():
    torch.manual_seed(0)
    network, mixtures = MaskNetwork(2, BANDS, 0.5, **SIZES), torch.rand(2, BANDS, 20)
    torch.testing.assert_close(network(100 * mixtures), 100 * network(mixtures), rtol=1e-3, atol=1e-3)


def test_it_learns_its_pseudo_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bootstrap, "pseudo_labels", lambda params, store, power: store.labels)
    job, config, _ = bootstrap.make_job(baseline.Method, make_params(), Store(), Store())
    history = train(job, torch.device("cpu"))
    assert history[-1]["validation_loss"] < 0.2 * history[0]["loss"]
    below, above = job.module(torch.from_numpy(Store().mixtures)).unbind(dim=1)
    assert below[:, :8].mean() > 5 * below[:, 8:].mean()
    assert above[:, 8:].mean() > 5 * above[:, :8].mean()
    assert config["codec"]["name"] == "mel"


def test_sizes_that_build_no_network_are_one_sentence(monkeypatch):
    monkeypatch.setattr(bootstrap, "pseudo_labels", lambda params, store, power: store.labels)
    with pytest.raises(UserError, match=r"unsupervised\.bootstrap\.network"):
        bootstrap.make_job(baseline.Method, make_params(no_such_size=1), Store(), Store())


def test_remixed_crops_come_first_and_add_up():
    store, rng = Store(), np.random.default_rng(0)
    places = [(i % 3, slice(i, i + 30)) for i in range(4)]
    mixtures, labels = labelled_crops(store, store.labels, places, 0.5, 0.5, 4.0, rng)
    torch.testing.assert_close(labels.square().sum(dim=1).sqrt(), mixtures, atol=2e-3, rtol=2e-3)
    as_they_are = torch.from_numpy(np.stack([store.mixtures[i][:, at] for i, at in places]))
    torch.testing.assert_close(mixtures[2:], as_they_are[2:])
    assert (mixtures[:2] - as_they_are[:2]).abs().max() > 0.1


def test_a_codec_without_magnitudes_is_refused():
    other = {"codec": {"name": "encodec_24khz"}, "decomposition": {"composition": "mean", "guided": 0.0}}
    values = merge(read_yaml(PARAMS), other)
    with pytest.raises(UserError, match=r"unsupervised\.bootstrap: pseudo-labels are magnitudes"):
        check_params(values)

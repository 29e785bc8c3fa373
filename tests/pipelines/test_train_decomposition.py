import contextlib

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from pipelines import data, latents, segments, train_decomposition
from tests.helpers import PARAMS, TEN_SECONDS
from ucr.data.segments import SegmentStore
from ucr.foundation.checkpoints import FIRST_TRAINING
from ucr.foundation.errors import UserError
from ucr.foundation.params import check_params, load_params
from ucr.foundation.schema import merge, read_yaml
from ucr.model.decomposition import load_decomposition
from ucr.training import decomposition
from ucr.training.decomposition import own_estimates
from ucr.training.remixes import REMIX_DB, remix, remix_consistency


class Splitter:
    """Stands for a model: shares each mixture out by fixed masks over the bands."""

    power = 0.5
    additive = True

    def __init__(self, masks):
        self.masks = torch.as_tensor(masks, dtype=torch.float32)[None, :, :, None]

    def separate(self, mixtures, steps):
        return mixtures[:, None] * self.masks.sqrt()

    def reconstruct(self, components):
        return (components**2).sum(dim=1).sqrt()


@pytest.fixture
def mixtures():
    return torch.rand(4, 8, 20, generator=torch.Generator().manual_seed(0))


def test_a_model_that_finds_its_components_again_is_consistent(mixtures):
    halves = torch.eye(2).repeat_interleave(4, dim=1)
    assert remix_consistency(Splitter(halves), mixtures) > 60


@pytest.mark.parametrize("share", [1.0, 0.5], ids=["all to one component", "the same to both"])
def test_a_model_that_does_not_separate_is_inconsistent(mixtures, share):
    masks = torch.tensor([share, 1 - share])[:, None].expand(2, 8)
    assert remix_consistency(Splitter(masks), mixtures) < 8


def test_a_remix_takes_every_component_from_another_mixture():
    labels = torch.arange(1.0, 7.0).view(3, 2, 1, 1).expand(3, 2, 4, 5)
    ratios = (remix(labels, 0.5, 0.0, np.random.default_rng(0)) / labels)[:, :, 0, 0]
    limit = 10 ** (REMIX_DB / 20 / 2)
    assert ((ratios[:, 0] >= 1 / limit) & (ratios[:, 0] <= limit)).all()
    before = labels[:, 1, 0, 0].roll(1)
    second = ratios[:, 1] * labels[:, 1, 0, 0] / before
    assert ((second >= 1 / limit) & (second <= limit)).all()
    assert len(set(second.tolist())) == 3


def test_a_remix_changes_the_tone_of_every_component_and_keeps_its_envelope():
    labels = torch.ones(2, 2, 64, 3)
    gains = 20 * 2 * torch.log10(remix(labels, 0.5, 4.0, np.random.default_rng(0)))
    torch.testing.assert_close(gains[..., 0], gains[..., 2])
    assert (gains[..., 0].std(dim=2) > 1).all()
    assert (gains.mean(dim=(2, 3)).abs() <= REMIX_DB + 1e-3).all()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with segments and latents of five short songs."""
    folder = tmp_path_factory.mktemp("prepared")
    tracks = {"train": 3, "validation": 1, "test": 1}
    values = merge(read_yaml(PARAMS), {"data": {"tracks": tracks, "seconds": TEN_SECONDS}})
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    with contextlib.chdir(folder):
        for stage in (data, segments, latents):
            stage.main()
    return folder


@pytest.fixture
def link_latents(prepared, monkeypatch):
    """Put the prepared segments and latents into a folder; trainings there validate on few crops."""
    monkeypatch.setattr(decomposition, "VALIDATION_CROPS", 4)

    def link(folder):
        for name in ("segments", "latents"):
            (folder / name).symlink_to(prepared / name)

    return link


def tiny_trainings(first):
    """Parameters of a first training, `first`, and one that it guides, of two steps each."""
    values = load_params(PARAMS).decomposition.model_dump()
    tiny = {"channels": [16], "kernels": [3], "strides": [1], "attention": [False], "dropout": 0.0}
    optim = values["optim"] | {"steps": 2, "batch": 2, "validate_every": 1}
    return values | {"first": first, "denoiser": tiny, "optim": optim}


@pytest.mark.slow
def test_a_second_training_is_guided_by_the_first(project, link_latents):
    folder = project(decomposition=tiny_trainings({}))
    link_latents(folder)
    train_decomposition.main()
    history = pd.read_csv(folder / "models/decomposition/training.csv")
    assert list(history["step"]) == [1, 2, 3, 4]
    assert history["seconds"].is_monotonic_increasing
    assert not list((folder / "runs").glob("decomposition*"))

    model, setting, _ = load_decomposition(folder / "models/decomposition")
    store = SegmentStore("segments", "train")
    codec = setting.make_codec(folder / "models/decomposition", torch.device("cpu"))
    labels = torch.from_numpy(own_estimates(model, codec, store)).float()
    mixtures = codec.encode(torch.from_numpy(np.stack([each.mixture for each in store])))
    assert labels.shape == (len(store), 2, *mixtures.shape[1:])
    assert (model.compose(labels) - mixtures).norm() < 0.2 * mixtures.norm()


@pytest.mark.slow
def test_a_first_training_with_parameters_of_its_own_takes_the_grouping_s_place(
    project, link_latents, monkeypatch
):
    first = {
        "guided": 0.0,
        "independence": 0.1,
        "encoder": {"width": [1, 4], "pool": [1, 4]},
        "optim": {"steps": 3},
    }
    changed = tiny_trainings(first)
    folder = project(decomposition=changed)
    link_latents(folder)
    monkeypatch.setattr(decomposition, "group", None)  # would fail
    train_decomposition.main()
    history = pd.read_csv(folder / "models/decomposition/training.csv")
    assert list(history["step"]) == [1, 2, 3, 4, 5]
    model, setting, _ = load_decomposition(folder / "models/decomposition")
    assert setting.params["first"] == first
    assert model.latent_sizes == [(changed["encoder"]["channels"][-1], 1)] * 2
    model, setting, card = load_decomposition(folder / "models/decomposition" / FIRST_TRAINING)
    assert model.latent_sizes == [(1, 1), (4, 4)]
    assert (setting.params["guided"], card["identity"]["iteration"]) == (0.0, 0)
    assert not list((folder / "runs").glob("decomposition*"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"guided": 0.0, "first": {}},
            "with first, a model's estimates guide the next: it needs guided above 0",
        ),
        ({"first": {"guide": 0.0}}, "first.guide: "),
        ({"first": {"optim": {"lr": "high"}}}, "first.optim.lr: "),
    ],
)
def test_a_mistake_in_the_first_training_is_named(changes, says):
    with pytest.raises(UserError, match=says):
        check_params(merge(read_yaml(PARAMS), {"decomposition": changes}))


class Mixtures:
    """Stands for a latent store: noise of two tracks."""

    names = ("Track00001_0", "Track00001_1", "Track00002_0")

    def __len__(self):
        return len(self.names)

    def mixture(self, index):
        return np.random.default_rng(index).random((16, 40), np.float32)


def test_the_grouping_is_told_the_songs_and_how_to_cluster(monkeypatch):
    told = {}

    def group(mixtures, songs, power, n_components, percussive, how, seed):
        told.update(n=len(mixtures), songs=songs, percussive=percussive, how=how, seed=seed)

    monkeypatch.setattr(decomposition, "group", group)
    params = check_params(
        merge(read_yaml(PARAMS), {"seed": 7, "decomposition": {"grouping": {"within": "split"}}})
    )
    decomposition.pseudo_labels(params, Mixtures(), 0.5)
    assert told["songs"] == ["Track00001", "Track00001", "Track00002"]
    assert (told["n"], told["percussive"], told["seed"]) == (3, True, 7)
    assert told["how"] == params.decomposition.grouping
    assert told["how"].within == "split"

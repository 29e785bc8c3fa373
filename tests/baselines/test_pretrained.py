"""Published four-source models: random weights in their real networks, files, downloads and what is refused."""

from __future__ import annotations

import json
import os
import pickle
import threading
import time
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch
from safetensors.torch import save_file

from baselines._shared import pretrained
from tests.baselines.helpers import published_htdemucs, published_openunmix
from ucr.foundation.errors import UserError
from ucr.foundation.hashes import file_hash
from ucr.foundation.without_torchaudio import torchaudio_or_an_empty_module
from ucr.methods.contract import Baseline, NotAvailable
from ucr.methods.registry import make_method

RATE = 24000
NAMES = ["htdemucs_pretrained", "openunmix_pretrained"]
NOWHERE = Path("segments")


def loaded(name: str, weights: str | None, sources: tuple[str, ...] = ("drums", "bass")) -> Baseline:
    method = make_method(name, {"weights": weights})[1]
    method.load(NOWHERE, list(sources))
    return method


class Halves(pretrained.Pretrained):
    """Half of the mixture is drums, a quarter bass, an eighth each of the others."""

    names = pretrained.SOURCES

    def open_model(self):
        return torch.nn.Identity()

    def stems(self, mixtures):
        return torch.stack([mixtures * share for share in (0.5, 0.25, 0.125, 0.125)], dim=1)


@pytest.mark.parametrize(
    ("sources", "shares"),
    [
        (["drums", "bass"], [0.5, 0.25]),
        (["bass", "drums"], [0.25, 0.5]),
        (["piano", "bass"], [0.125, 0.25]),
        (["drums", "bass", "other"], [0.5, 0.25, 0.25]),
        (["vocals", "drums", "other"], [0.125, 0.5, 0.375]),
        (["vocals", "drums", "other", "bass"], [0.125, 0.5, 0.125, 0.25]),
    ],
)
@pytest.mark.parametrize("rate", [22050, RATE, 44100])
def test_sources_are_found_by_name_and_keep_time_and_scale(sources, shares, rate):
    method = Halves()
    method.load(NOWHERE, sources)
    time = np.arange(rate + 7) / rate
    mixture = np.float32(np.sin(2 * np.pi * 440 * time) * np.hanning(len(time)))
    estimates = method.separate(mixture, rate, len(sources))
    for estimate, share in zip(estimates, shares, strict=True):
        np.testing.assert_allclose(estimate, len(sources) * share * mixture, atol=1e-3)


def test_sources_that_it_does_not_tell_apart():
    with pytest.raises(NotAvailable, match="does not tell piano from guitar"):
        Halves().load(NOWHERE, ["drums", "piano", "guitar"])


def test_the_published_htdemucs_gives_what_the_package_gives(tmp_path, pretend_music):
    from demucs.apply import apply_model
    from demucs.hf import load_safetensors_model

    path = published_htdemucs(tmp_path, bottom_channels=512, dconv_mode=3)
    mixture = pretend_music(2, RATE).mean(axis=0)
    method = loaded("htdemucs_pretrained", path)
    assert sum(p.numel() for p in method.model.parameters()) > 40e6
    estimates = method.separate(mixture, RATE, 2)
    fast = torch.from_numpy(soxr.resample(mixture, RATE, 44100))
    stereo = ((fast - fast.mean()) / (fast.std() + 1e-8)).expand(1, 2, -1)
    stems = apply_model(load_safetensors_model(path), stereo, shifts=0)[0, :2].mean(dim=1)
    expected = 2 * (stems * (fast.std() + 1e-8) + fast.mean()).numpy()
    for estimate, true in zip(estimates, expected, strict=True):
        np.testing.assert_allclose(estimate, soxr.resample(true, 44100, RATE)[:RATE], atol=1e-4)


def test_the_published_openunmix_gives_what_the_package_gives(tmp_path, pretend_music):
    with torchaudio_or_an_empty_module():
        from openunmix.model import OpenUnmix, Separator

    path = published_openunmix(tmp_path)
    mixture = pretend_music(2, RATE).mean(axis=0)
    networks = {}
    for source in ("vocals", "drums", "bass", "other"):  # umxhq's order
        networks[source] = OpenUnmix(2049, 2, 512, max_bin=1487)
        state = torch.load(tmp_path / f"{source}-00000000.pth")
        networks[source].load_state_dict(state, strict=False)
    separator = Separator(networks, niter=1, n_fft=4096, n_hop=1024, nb_channels=2, wiener_win_len=300).eval()
    fast = torch.from_numpy(soxr.resample(mixture, RATE, 44100))
    method = loaded("openunmix_pretrained", path)
    with torch.no_grad():
        stems = separator(fast.expand(1, 2, -1))[0, 1:3].mean(dim=1).numpy()
        found = method.estimate(fast[None]).numpy()[0]
    n_samples = min(stems.shape[1], found.shape[1])
    np.testing.assert_allclose(found[:, :n_samples], 2 * stems[:, :n_samples], atol=1e-4)
    assert method.separate(mixture, RATE, 2).shape == (2, RATE)


class Bomb:
    """Leaves a folder behind where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def bad_weights(folder: Path, kind: str) -> str:
    """A file or folder that is not the published one."""
    pickled = pickle.dumps({"state": Bomb()})
    path = folder / "955717e8.safetensors"
    if kind == "openunmix pickle":
        for source in pretrained.SOURCES:
            (folder / f"{source}.pth").write_bytes(pickled)
        return str(folder)
    if kind == "openunmix without files":
        return str(folder)
    if kind == "pickle":
        path.write_bytes(pickled)
    if kind == "a call":
        described = {"klass": "os.mkdir", "args": json.dumps(["ran"]), "kwargs": "{}"}
        save_file({"weight": torch.zeros(1)}, path, metadata=described)
    if kind == "no description":
        save_file({"weight": torch.zeros(1)}, path)
    if kind == "other sizes":
        described = {
            "klass": "demucs.htdemucs.HTDemucs",
            "args": "[]",
            "kwargs": json.dumps({"sources": ["a"]}),
        }
        save_file({"weight": torch.zeros(1)}, path, metadata=described)
    if kind == "cut short":
        published_htdemucs(folder, channels=8, t_layers=1, t_heads=2, bottom_channels=16)
        os.truncate(path, path.stat().st_size // 2)
    return str(path)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("missing", "does not exist: fix the path"),
        ("pickle", "no whole file of demucs's weights"),
        ("a call", "says nothing of a demucs.htdemucs.HTDemucs"),
        ("no description", "says nothing of a demucs.htdemucs.HTDemucs"),
        ("other sizes", "no whole file of demucs's weights"),
        ("cut short", "no whole file of demucs's weights"),
        ("openunmix pickle", "is damaged or holds something else than tensors"),
        ("openunmix without files", r"must be a folder with one drums\*\.pth"),
    ],
)
def test_other_files_are_refused_and_no_code_of_theirs_runs(kind, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "openunmix_pretrained" if kind.startswith("openunmix") else "htdemucs_pretrained"
    with pytest.raises(UserError, match=sentence) as refused:
        loaded(name, bad_weights(tmp_path, kind))
    assert not isinstance(refused.value, NotAvailable)
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server for the files in `published/`; downloads are kept in `torch/`."""
    (tmp_path / "published").mkdir()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "published"))
    running = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def test_a_download_is_kept_and_checked(server, tmp_path):
    (tmp_path / "published" / "a-1234.pth").write_bytes(b"weights")
    url = f"http://127.0.0.1:{server.server_port}/a-1234.pth"
    with pytest.raises(NotAvailable, match="not the file that was published"):
        pretrained.download(url, sha256="1234")
    kept = tmp_path / "torch" / "hub" / "checkpoints"
    assert not list(kept.iterdir())
    path = pretrained.download(url, sha256=file_hash(tmp_path / "published" / "a-1234.pth")[:8])
    assert path.read_bytes() == b"weights"
    (tmp_path / "published" / "a-1234.pth").unlink()
    assert pretrained.download(url) == path
    with pytest.raises(NotAvailable, match=r"can't be downloaded \(HTTPError\): give `weights` a file"):
        pretrained.download(f"{url}.gone")


@pytest.mark.parametrize("name", NAMES)
def test_without_network_the_reason_comes_at_once(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    module = __import__(f"baselines.{name}", fromlist=["URL"])
    monkeypatch.setattr(module, "URL", "http://127.0.0.1:9/")  # a port that nothing answers on
    began = time.monotonic()
    with pytest.raises(NotAvailable, match="can't be downloaded"):
        loaded(name, None)
    assert time.monotonic() - began < 60

"""Primitive grouping: pseudo-labels of the components of mixtures, from how music's spectra move.

Two cues are averaged, or one of them is taken, as `GroupingParams` say. Percussive sounds spread along frequency and
sustained ones along time, so that median filters part them (Fitzgerald, *Harmonic/percussive separation using median
filtering*, DAFx 2010). And a sound recurs with its spectrum: non-negative matrix factorisation finds such spectra,
which cluster by timbre (Spiertz & Gnann, *Source-filter based clustering for monaural blind source separation*, DAFx
2009): percussive ones over all mixtures at once, so that a component is the same kind of sound in every one, the
others within each song, where fewer sounds are to be told apart, by their spectral centroid too (streams form by
register, Bregman, *Auditory Scene Analysis*, 1990), and low ones come first. An ensemble of such cues can teach a
network that then exceeds them (Seetharaman, Wichern, Le Roux & Pardo, *Bootstrapping deep music separation from
primitive auditory grouping principles*, ICASSP 2019).

Everything comes from mixtures and from one word: whether a source is percussive, which the task's name says.
The sizes below were chosen where the two cues agree most, which takes no true source.
"""

from __future__ import annotations

import joblib
import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor
from tqdm import tqdm

from ucr.foundation.checkpoints import default_device
from ucr.foundation.params import GroupingParams
from ucr.signal.medians import median_filter
from ucr.signal.nmf import factorise, random_factors
from ucr.training.trainer import is_first

TIME_FRAMES = 31  # librosa's default length of the filter along time, here 0.41 s
BANDS = 9  # along frequency: about 110 Hz where bass and kick drum lie, more above
SPECTRA = 64  # of each factorisation
RESTARTS = 3  # factorisations of each mixture, from other random starts
UPDATES = 100
BATCH = 16  # mixtures factorised at once
CEPSTRUM = slice(1, 13)  # what describes a timbre: cepstral coefficients without the 0th, the level
TINY = 1e-9


def group(
    mixtures: np.ndarray,
    songs: list[str],
    power: float,
    n_components: int,
    percussive: bool,
    how: GroupingParams,
    seed: int = 0,
) -> np.ndarray:
    """Split mixtures' power-compressed magnitudes into components.

    Parameters
    ----------
    mixtures : float32[n_mixtures, bands, frames]
        Non-negative, magnitudes to the power `power`.
    songs
        Which song each mixture is of.
    power
        The codec's compression exponent.
    n_components
        How many components.
    percussive
        Whether one of them is percussive (drums); without, the median filters and percussive spectra have no say.
    how
        Which cues tell percussive sounds from the others, and how these cluster.
    seed
        Of the factorisations' starts and of the clustering.

    Returns
    -------
    float16[n_mixtures, n_components, bands, frames]
        A percussive component first, then from low to high; their magnitudes add up to the mixture's.
    """
    magnitudes = mixtures.astype(np.float32) ** (1 / power)
    places = None
    if percussive:
        jobs = (joblib.delayed(percussive_share)(each) for each in magnitudes)
        places = np.stack(joblib.Parallel(prefer="threads", n_jobs=-1)(jobs))
    shares = recurring_shares(magnitudes, np.array(songs), places, n_components, how, seed)
    if places is not None:
        rest = shares[:, 1:] / np.maximum(shares[:, 1:].sum(axis=1, keepdims=True), TINY)
        filtered = np.concatenate([places[:, None], (1 - places[:, None]) * rest], axis=1)
        shares = {"filters": filtered, "clusters": shares, "both": (shares + filtered) / 2}[how.cues]
    return ((shares * magnitudes[:, None]) ** power).astype(np.float16)


def percussive_share(magnitudes: np.ndarray) -> np.ndarray:
    """The share of float32[bands, frames] that median filters find percussive, in [0, 1]."""
    sustained = median_filter(magnitudes, TIME_FRAMES, axis=-1) ** 2
    percussive = median_filter(magnitudes, BANDS, axis=-2) ** 2
    total = sustained + percussive
    return np.divide(percussive, total, out=np.full_like(percussive, 0.5), where=total > 0)


def name_components(sources: list[str], components: np.ndarray) -> list[str] | None:
    """Which source each component is, by how it sounds: drums are the most percussive, bass the lowest of the others.

    Parameters
    ----------
    sources
        Of the task.
    components : float32[n_mixtures, n_components, bands, frames]
        Magnitudes of separated mixtures.

    Returns
    -------
    list of str or None
        A source for each component; None where these two rules leave more than one source without a name.
    """
    n_components = components.shape[1]
    energy = components.sum(axis=(0, 2, 3))
    left, names = list(range(n_components)), [""] * n_components
    if "drums" in sources:
        shares = np.stack([[percussive_share(each) for each in parts] for parts in components])
        percussive = (shares * components).sum(axis=(0, 2, 3)) / np.maximum(energy, TINY)
        names[left.pop(int(np.argmax(percussive)))] = "drums"
    if "bass" in sources:
        bands = np.arange(components.shape[2])[:, None]
        centroid = (bands * components).sum(axis=(0, 2, 3)) / np.maximum(energy, TINY)
        names[left.pop(int(np.argmin(centroid[left])))] = "bass"
    others = [source for source in sources if source not in ("drums", "bass")]
    if len(others) > 1:
        return None
    for place, source in zip(left, others, strict=True):
        names[place] = source
    return names


def recurring_shares(
    magnitudes: np.ndarray,
    songs: np.ndarray,
    percussive: np.ndarray | None,
    n_components: int,
    how: GroupingParams,
    seed: int,
) -> np.ndarray:
    """Shares by clustered factorisations, averaged over restarts.

    Parameters
    ----------
    magnitudes : float32[n_mixtures, bands, frames]
        The mixtures.
    songs : str[n_mixtures]
        Which song each mixture is of.
    percussive : float32[n_mixtures, bands, frames] or None
        How percussive each place of them is, in [0, 1]; with it, the first component is the most percussive cluster
        of all songs' spectra.
    n_components
        Number of clusters.
    how
        The others cluster: `within` and `spectral_centroid` count here.
    seed
        Of the starts and of the clustering.

    Returns
    -------
    float32[n_mixtures, n_components, bands, frames]
        They add up to 1.
    """
    device = default_device()
    factors: list[tuple[slice, Tensor, Tensor]] = []
    found: dict[str, list[np.ndarray]] = {"timbre": [], "centroid": [], "song": []}
    percussiveness: list[np.ndarray] = []
    starts = [(restart, i) for restart in range(RESTARTS) for i in range(0, len(magnitudes), BATCH)]
    quiet = len(magnitudes) <= BATCH or not is_first()
    for restart, i in tqdm(starts, desc="grouping mixtures", unit="batch", leave=None, disable=quiet):
        at = slice(i, i + BATCH)
        generator = torch.Generator().manual_seed(seed * RESTARTS + restart)
        part = torch.from_numpy(magnitudes[at]).to(device)
        spectra, activations = factorise(part, *random_factors(part, SPECTRA, generator), UPDATES)
        if percussive is not None:
            places = torch.from_numpy(percussive[at]).to(device)
            percussiveness.append(_percussiveness(part, places, spectra, activations).cpu().numpy().ravel())
        factors.append((at, spectra.cpu(), activations.cpu()))
        found["timbre"].append(_timbre(spectra.cpu().numpy()).reshape(-1, CEPSTRUM.stop - 1))
        found["centroid"].append(_spectral_centroid(spectra).cpu().numpy().ravel())
        found["song"].append(np.repeat(songs[at], SPECTRA))
    labels = cluster(
        **{name: np.concatenate(parts) for name, parts in found.items()},
        percussiveness=np.concatenate(percussiveness) if percussiveness else None,
        n_components=n_components,
        how=how,
        seed=seed,
    )
    members = torch.from_numpy((labels == np.arange(n_components)[:, None]).astype(np.float32))
    shares = np.zeros((len(magnitudes), n_components, *magnitudes.shape[1:]), dtype=np.float32)
    first = 0
    for at, spectra, activations in factors:
        own = members[:, first : first + spectra.shape[0] * SPECTRA].view(n_components, -1, 1, SPECTRA)
        clusters = torch.stack([(spectra * each) @ activations for each in own], dim=1) + TINY
        shares[at] += (clusters / clusters.sum(dim=1, keepdim=True)).numpy() / RESTARTS
        first += spectra.shape[0] * SPECTRA
    return shares


def cluster(
    timbre: np.ndarray,
    centroid: np.ndarray,
    percussiveness: np.ndarray | None,
    song: np.ndarray,
    n_components: int,
    how: GroupingParams,
    seed: int,
) -> np.ndarray:
    """Cluster spectra by k-means: those of all songs into percussive ones and others, then the others.

    Parameters
    ----------
    timbre : float32[n, 12]
        Cepstral coefficients.
    centroid : float32[n]
        The spectral centroid; all features are scaled here.
    percussiveness : float32[n] or None
        How percussive they are; None if no cluster is the percussive one.
    song : str[n]
        Which song each spectrum is of.
    n_components
        How many clusters a song has.
    how
        The others cluster: within each song or all together, by timbre alone or by spectral centroid too.
    seed
        Of the clusters' start.

    Returns
    -------
    int[n]
        The cluster of each: the percussive one first, then from low to high.
    """
    from sklearn.cluster import KMeans

    def scaled(values: np.ndarray) -> np.ndarray:
        return values / max(values.std(axis=0).max(), TINY)

    def clusters(features: list[np.ndarray], n: int, order: np.ndarray) -> np.ndarray:
        found = KMeans(n, n_init=10, random_state=seed).fit_predict(np.column_stack(features))
        means = np.bincount(found, order, n) / np.maximum(np.bincount(found, minlength=n), 1)
        return np.argsort(np.argsort(means))[found]

    timbre, centroid = scaled(timbre), scaled(centroid)
    labels, first = np.zeros(len(timbre), dtype=int), 0
    if percussiveness is not None:
        labels, first = clusters([timbre, scaled(percussiveness)], 2, -percussiveness), 1
    others = n_components - first
    if others > 1:
        parts = song if how.within == "song" else np.zeros_like(song)
        for part in np.unique(parts):
            at = (parts == part) & (labels == first)
            if at.sum() > others:
                features = [timbre[at], centroid[at]] if how.spectral_centroid else [timbre[at]]
                labels[at] += clusters(features, others, centroid[at])
    return labels


def _percussiveness(magnitudes: Tensor, percussive: Tensor, spectra: Tensor, activations: Tensor) -> Tensor:
    """How percussive each spectrum's part of the mixtures is: float32[n, n_spectra], in [0, 1]."""
    ratio = magnitudes / (spectra @ activations + TINY)
    share = (spectra * ((percussive * ratio) @ activations.mT)).sum(dim=1)
    return share / ((spectra * (ratio @ activations.mT)).sum(dim=1) + TINY)


def _spectral_centroid(spectra: Tensor) -> Tensor:
    """The spectral centroid of spectra float32[n, bands, n_spectra], in bands: float32[n, n_spectra]."""
    bands = torch.arange(spectra.shape[1], device=spectra.device)[:, None]
    return (spectra * bands).sum(dim=1) / (spectra.sum(dim=1) + TINY)


def _timbre(spectra: np.ndarray) -> np.ndarray:
    """Cepstral coefficients of spectra float32[n, bands, n_spectra]: float32[n, n_spectra, 12]."""
    peak = np.maximum(np.linalg.norm(spectra, axis=1, keepdims=True), TINY)
    levels = 20 * np.log10(np.maximum(spectra / peak, 1e-4))
    return dct(levels, axis=1, norm="ortho").transpose(0, 2, 1)[..., CEPSTRUM]

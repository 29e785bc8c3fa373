"""Primitive grouping: a blind first guess at the components of mixtures, from how music's spectra move.

Two cues are averaged. Struck sounds spread along frequency and sustained ones along time, so that median
filters part them (Fitzgerald, *Harmonic/percussive separation using median filtering*, DAFx 2010). And
a sound recurs with its spectrum: non-negative matrix factorisation finds such spectra, which cluster
by timbre (Spiertz & Gnann, *Source-filter based clustering for monaural blind source separation*, DAFx
2009), here over all mixtures at once, so that a component is the same kind of sound in every one. An
ensemble of such cues can teach a network that then exceeds them (Seetharaman, Wichern, Le Roux & Pardo,
*Bootstrapping deep music separation from primitive auditory grouping principles*, ICASSP 2019).

Everything comes from mixtures alone. The sizes below were chosen where the two cues agree most, which
takes no true source.
"""

from __future__ import annotations

import joblib
import numpy as np
import torch
from scipy.fft import dct
from scipy.ndimage import median_filter
from torch import Tensor
from tqdm import tqdm

from ucr.training import is_first

TIME_FRAMES = 31  # librosa's default length of the filter along time, here 0.41 s
BANDS = 9  # along frequency: about 110 Hz where bass and kick drum lie, more above
SPECTRA = 64  # of each factorisation
RESTARTS = 3  # factorisations of each mixture, from other random starts
UPDATES = 100
BATCH = 16  # mixtures factorised at once
CEPSTRUM = slice(1, 13)  # what describes a timbre: cepstral coefficients without the 0th, the level
TINY = 1e-9


def group(mixtures: np.ndarray, power: float, n_components: int, struck: bool, seed: int = 0) -> np.ndarray:
    """Split mixtures' power-compressed magnitudes into components.

    Parameters
    ----------
    mixtures : float32[n_mixtures, bands, frames]
        Non-negative, magnitudes to the power `power`.
    power
        The codec's compression exponent.
    n_components
        How many components.
    struck
        Whether one of them is struck (drums); without, the median filters have no say.
    seed
        Of the factorisations' starts and of the clustering.

    Returns
    -------
    float16[n_mixtures, n_components, bands, frames]
        The most struck component first; their magnitudes add up to the mixture's.
    """
    magnitudes = mixtures.astype(np.float32) ** (1 / power)
    jobs = (joblib.delayed(struck_share)(each) for each in magnitudes)
    percussive = np.stack(joblib.Parallel(prefer="threads", n_jobs=-1)(jobs))
    shares = recurring_shares(magnitudes, percussive, n_components, seed)
    if struck:
        rest = shares[:, 1:] / np.maximum(shares[:, 1:].sum(axis=1, keepdims=True), TINY)
        filtered = np.concatenate([percussive[:, None], (1 - percussive[:, None]) * rest], axis=1)
        shares = (shares + filtered) / 2
    return ((shares * magnitudes[:, None]) ** power).astype(np.float16)


def struck_share(magnitudes: np.ndarray) -> np.ndarray:
    """The share of float32[bands, frames] that median filters find struck, in [0, 1]."""
    sustained = median_filter(magnitudes, (1, TIME_FRAMES)) ** 2
    struck = median_filter(magnitudes, (BANDS, 1)) ** 2
    total = sustained + struck
    return np.divide(struck, total, out=np.full_like(struck, 0.5), where=total > 0)


def name_components(sources: list[str], components: np.ndarray) -> list[str] | None:
    """Which source each component is, by how it sounds: drums are the most struck, bass the lowest of the others.

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
        shares = np.stack([[struck_share(each) for each in parts] for parts in components])
        struck = (shares * components).sum(axis=(0, 2, 3)) / np.maximum(energy, TINY)
        names[left.pop(int(np.argmax(struck)))] = "drums"
    if "bass" in sources:
        bands = np.arange(components.shape[2])[:, None]
        height = (bands * components).sum(axis=(0, 2, 3)) / np.maximum(energy, TINY)
        names[left.pop(int(np.argmin(height[left])))] = "bass"
    others = [source for source in sources if source not in ("drums", "bass")]
    if len(others) > 1:
        return None
    for place, source in zip(left, others, strict=True):
        names[place] = source
    return names


def recurring_shares(
    magnitudes: np.ndarray, percussive: np.ndarray, n_components: int, seed: int
) -> np.ndarray:
    """Shares by clustered factorisations, averaged over restarts.

    Parameters
    ----------
    magnitudes, percussive : float32[n_mixtures, bands, frames]
        The mixtures and how struck each place of them is, in [0, 1].
    n_components
        Number of clusters.
    seed
        Of the starts and of the clustering.

    Returns
    -------
    float32[n_mixtures, n_components, bands, frames]
        They add up to 1; the most struck cluster comes first.
    """
    from sklearn.cluster import KMeans

    starts = [
        (restart, slice(i, i + BATCH))
        for restart in range(RESTARTS)
        for i in range(0, len(magnitudes), BATCH)
    ]
    parts = []
    for restart, at in tqdm(starts, desc="grouping mixtures", unit="batch", disable=not is_first()):
        generator = torch.Generator().manual_seed(seed * RESTARTS + restart)
        part = torch.from_numpy(magnitudes[at])
        spectra, activations = factorise(part, SPECTRA, UPDATES, generator)
        parts.append(
            (spectra, activations, _struck(part, torch.from_numpy(percussive[at]), spectra, activations))
        )
    timbre = np.concatenate(
        [_timbre(spectra.numpy()).reshape(-1, CEPSTRUM.stop - 1) for spectra, *_ in parts]
    )
    struck = np.concatenate([struck.numpy().ravel() for *_, struck in parts])
    features = np.column_stack(
        [timbre / max(timbre.std(axis=0).max(), TINY), struck / max(struck.std(), TINY)]
    )
    labels = KMeans(n_components, n_init=10, random_state=seed).fit_predict(features)
    order = np.argsort([-struck[labels == label].mean() for label in range(n_components)])
    members = torch.from_numpy((labels == order[:, None]).astype(np.float32))
    shares = np.zeros((len(magnitudes), n_components, *magnitudes.shape[1:]), dtype=np.float32)
    first = 0
    for (_, at), (spectra, activations, _) in zip(starts, parts, strict=True):
        own = members[:, first : first + spectra.shape[0] * SPECTRA].view(n_components, -1, 1, SPECTRA)
        clusters = torch.stack([(spectra * each) @ activations for each in own], dim=1) + TINY
        shares[at] += (clusters / clusters.sum(dim=1, keepdim=True)).numpy() / RESTARTS
        first += spectra.shape[0] * SPECTRA
    return shares


def factorise(
    magnitudes: Tensor, n_spectra: int, updates: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Non-negative factors W H of many matrices at once, for the Kullback-Leibler divergence.

    The updates are theorem 2 of Lee & Seung, *Algorithms for non-negative matrix factorization* (2000).

    Parameters
    ----------
    magnitudes : float32[n, bands, frames]
    n_spectra
        Columns of W.
    updates
        Of W and of H.
    generator
        Of the random start.

    Returns
    -------
    W : float32[n, bands, n_spectra]
    H : float32[n, n_spectra, frames]
    """
    n, bands, frames = magnitudes.shape
    spectra = torch.rand(n, bands, n_spectra, generator=generator) + 0.1
    activations = torch.rand(n, n_spectra, frames, generator=generator) + 0.1
    activations *= magnitudes.mean(dim=(1, 2), keepdim=True)
    for _ in range(updates):
        ratio = magnitudes / (spectra @ activations + TINY)
        activations = activations * (spectra.mT @ ratio) / (spectra.sum(dim=1)[..., None] + TINY)
        ratio = magnitudes / (spectra @ activations + TINY)
        spectra = spectra * (ratio @ activations.mT) / (activations.sum(dim=2)[:, None] + TINY)
    return spectra, activations


def _struck(magnitudes: Tensor, percussive: Tensor, spectra: Tensor, activations: Tensor) -> Tensor:
    """How struck each spectrum's part of the mixtures is: float32[n, n_spectra], in [0, 1]."""
    ratio = magnitudes / (spectra @ activations + TINY)
    struck = (spectra * ((percussive * ratio) @ activations.mT)).sum(dim=1)
    return struck / ((spectra * (ratio @ activations.mT)).sum(dim=1) + TINY)


def _timbre(spectra: np.ndarray) -> np.ndarray:
    """Cepstral coefficients of spectra float32[n, bands, n_spectra]: float32[n, n_spectra, 12]."""
    peak = np.maximum(np.linalg.norm(spectra, axis=1, keepdims=True), TINY)
    levels = 20 * np.log10(np.maximum(spectra / peak, 1e-4))
    return dct(levels, axis=1, norm="ortho").transpose(0, 2, 1)[..., CEPSTRUM]

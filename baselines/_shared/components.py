"""From many small components of a spectrogram to few sources, without labels."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from threadpoolctl import threadpool_limits

from ucr.methods.contract import Baseline
from ucr.signal.masks import ratio_masks
from ucr.signal.spectrogram import apply_masks, stft

MEL_BANDS = 40
COEFFICIENTS = slice(1, 13)  # without the 0th, which says how loud a component is
# For matrices so small that threads wait for each other most of the time.
in_one_thread = threadpool_limits.wrap(limits=1)


class Subspaces(Baseline):
    """Split the magnitude frames into components, cluster these by timbre, and mask the mixture.

    A source is the sum of its components, and its magnitude to a power its share of the mask.

    Parameters
    ----------
    components
        How many.
    power
        Exponent of the sources' magnitudes in the masks.
    seed
        Of the components' start, where it is random, and of the clustering.
    n_fft, hop
        Length of the Hann window and step between windows, in samples.
    """

    def __init__(
        self, components: int = 8, power: float = 1.0, seed: int = 0, n_fft: int = 2048, hop: int = 512
    ):
        self.components, self.power, self.seed = components, power, seed
        self.n_fft, self.hop = n_fft, hop

    def products(self, n_samples: int) -> int:
        """See `Baseline.products`: of adding up the components of each source."""
        return (1 + self.n_fft // 2) * (1 + n_samples // self.hop) * self.components

    @abstractmethod
    def split(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Split float32[frames, bins] into spectra, float[bins, components], and activations, [components, frames]."""

    def separate(self, mixture: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """See `Baseline.separate`."""
        spectrogram = stft(mixture, self.n_fft, self.hop)
        frames = np.abs(spectrogram).T
        if not frames.any():  # Silence has no timbre to cluster.
            return np.zeros((n_sources, len(mixture)), dtype=np.float32)
        sources = source_magnitudes(*self.split(frames), sample_rate, n_sources, self.seed)
        return apply_masks(spectrogram, ratio_masks(sources, self.power), len(mixture), self.n_fft, self.hop)


@in_one_thread
def source_magnitudes(
    spectra: np.ndarray, activations: np.ndarray, sample_rate: int, n_sources: int, seed: int
) -> np.ndarray:
    """Cluster components by the timbre of their spectra and add up each cluster.

    Components whose spectra have similar mel-frequency cepstral coefficients are taken to be of one
    source, as in Spiertz & Gnann (2009), "Source-filter based clustering for monaural blind source
    separation", DAFx; the clusters are those of k-means.

    Parameters
    ----------
    spectra : float[bins, n_components]
        Each component's spectrum.
    activations : float[n_components, frames]
        Its strength over time.
    sample_rate
        In Hz.
    n_sources
        Number of clusters.
    seed
        Of k-means.

    Returns
    -------
    float32[n_sources, bins, frames]
        Magnitude of the sum of each cluster's components.

    Raises
    ------
    ValueError
        If there are fewer components than sources.
    """
    from sklearn.cluster import KMeans

    n_components = spectra.shape[1]
    if n_components < n_sources:
        raise ValueError(f"{n_components} components cannot make {n_sources} sources")
    timbres = mfcc(np.abs(spectra), sample_rate)
    labels = KMeans(n_sources, n_init=10, random_state=seed).fit_predict(timbres)
    members = labels == np.arange(n_sources)[:, None]
    return np.abs([spectra[:, own] @ activations[own] for own in members]).astype(np.float32)


def mfcc(spectra: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mel-frequency cepstral coefficients 1 to 12 of magnitude spectra.

    Parameters
    ----------
    spectra : float[bins, n]
    sample_rate
        In Hz.

    Returns
    -------
    float[n, 12]
        The same for a spectrum of any loudness.
    """
    import librosa
    from scipy.fft import dct

    filters = librosa.filters.mel(sr=sample_rate, n_fft=2 * (len(spectra) - 1), n_mels=MEL_BANDS)
    power = filters @ (spectra / np.maximum(np.linalg.norm(spectra, axis=0), 1e-12)) ** 2
    return dct(librosa.power_to_db(power, top_db=80), axis=0, norm="ortho")[COEFFICIENTS].T

"""How well one part of a song goes with another: onsets, tempo and key."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HOP = 512
TEMPO_TOLERANCE = 0.08  # MIREX's second measure also accepts the double, the half, three times and a third
TEMPO_FACTORS = (1.0, 2.0, 0.5, 3.0, 1 / 3)
# Krumhansl & Kessler, Psychological Review 89(4), 1982: how well each pitch class fits C major and C minor.
MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])


@dataclass(frozen=True)
class Part:
    """What is compared of one part.

    Attributes
    ----------
    onsets : float32[frames]
        Onset strength.
    tempo
        In beats per minute.
    key
        0 to 11 for C major to B major, 12 to 23 for C minor to B minor.
    """

    onsets: np.ndarray
    tempo: float
    key: int


def describe(audio: np.ndarray, sample_rate: int) -> Part:
    """Describe one part, float32[n_samples], by librosa's onset strength, tempo and chroma."""
    import librosa

    onsets = librosa.onset.onset_strength(y=audio, sr=sample_rate, hop_length=HOP)
    tempo = librosa.feature.tempo(onset_envelope=onsets, sr=sample_rate, hop_length=HOP)[0]
    chroma = librosa.feature.chroma_stft(
        y=audio, sr=sample_rate, n_fft=8192, hop_length=4 * HOP, tuning=0.0, norm=None
    )
    return Part(onsets, float(tempo), find_key(chroma.sum(axis=1)))


def find_key(chroma: np.ndarray) -> int:
    """The key whose profile correlates best with float[12], from C on: Krumhansl's algorithm (1990)."""
    profiles = np.array([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])
    return int(np.argmax([_correlation(chroma, profile) for profile in profiles]))


def agreement(a: Part, b: Part) -> dict[str, float]:
    """How well two parts go together.

    Returns
    -------
    onset_agreement
        Correlation of the onset strengths, -1 to 1.
    tempo_agreement
        1 where the tempi differ by at most 8 %, up to a factor of 2 or 3; else 0.
    key_agreement
        MIREX's weights: 1 the same key, 0.5 a fifth apart, 0.3 relative, 0.2 parallel; else 0.
    """
    frames = min(len(a.onsets), len(b.onsets))
    near = any(abs(a.tempo * factor / b.tempo - 1) <= TEMPO_TOLERANCE for factor in TEMPO_FACTORS)
    return {
        "onset_agreement": _correlation(a.onsets[:frames], b.onsets[:frames]),
        "tempo_agreement": float(near),
        "key_agreement": key_score(a.key, b.key),
    }


def key_score(a: int, b: int) -> float:
    """MIREX's score of two keys, the same for either order."""
    (mode_a, tonic_a), (mode_b, tonic_b) = divmod(a, 12), divmod(b, 12)
    if mode_a == mode_b:
        return {0: 1.0, 5: 0.5, 7: 0.5}.get((tonic_a - tonic_b) % 12, 0.0)
    major, minor = (tonic_a, tonic_b) if mode_a == 0 else (tonic_b, tonic_a)
    return {0: 0.2, 9: 0.3}.get((minor - major) % 12, 0.0)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's; 0 where one is constant."""
    a, b = a - a.mean(), b - b.mean()
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / size) if size > 1e-12 else 0.0

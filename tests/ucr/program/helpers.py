"""Short songs."""

from pathlib import Path

import numpy as np
import soundfile


def make_song(path: Path, seconds: float = 9.0, rate: int = 44100, channels: int = 2, seed: int = 0) -> Path:
    """Clicks and a changing tone, in any format that soundfile writes."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    clicks = 0.2 * rng.normal(size=len(time)) * np.exp(-25 * (time % 0.5))
    tone = 0.15 * np.sin(2 * np.pi * np.cumsum(rng.choice([65, 82, 98], 40).repeat(rate)[: len(time)]) / rate)
    gains = np.linspace(1, 0.6, channels)
    soundfile.write(str(path), np.outer(clicks + tone, gains), rate)
    return path


def make_speech(seconds: float, rate: int) -> np.ndarray:
    """A voice in words with pauses between them: pulses at a pitch that rises and falls, through vowels' resonances."""
    time = np.arange(round(seconds * rate)) / rate
    word, place = np.divmod(time, 0.7)
    pitch = 120 * 2 ** (np.random.default_rng(0).uniform(-0.3, 0.3, 1 + int(word[-1]))[word.astype(int)])
    pitch *= 2 ** (0.2 * np.sin(2 * np.pi * place / 0.5))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    vowel = np.array([[700, 1200], [300, 2200], [500, 900]])[word.astype(int) % 3].T
    voice = sum(
        np.cos(k * phase) * sum(1 / (1 + ((k * pitch - formant) / 150) ** 2) for formant in vowel)
        for k in range(1, 25)
    )
    return 0.05 * voice * np.sin(np.pi * np.minimum(place / 0.5, 1)) ** 0.5

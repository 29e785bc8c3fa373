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

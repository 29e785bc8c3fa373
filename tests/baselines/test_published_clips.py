"""Known figures on the authors' published clips, and what must hold of any music: also of some made here."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from tests.baselines.helpers import pretend_music
from ucr.foundation.files import read_audio
from ucr.methods.registry import make_method

CLIPS = Path(__file__).resolve().parents[2] / ".." / "shared" / "published" / "drums+bass"
published = pytest.mark.skipif(not CLIPS.is_dir(), reason="the published clips are not here")


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Scale-invariant SDR in dB (Le Roux et al. 2019)."""
    reference, estimate = reference.astype(np.float64), estimate.astype(np.float64)
    target = (reference @ estimate) / (reference @ reference) * reference
    return 10 * np.log10((target @ target) / ((estimate - target) @ (estimate - target)))


def read_clip(clip: int) -> np.ndarray:
    """The true drums and bass of a published clip; 0 is one made here."""
    if not clip:
        return pretend_music(2, 5 * 24000)
    return np.stack([read_audio(CLIPS / str(clip) / f"{source}.wav")[0][0] for source in ("drums", "bass")])


def scores(name: str, clip: int) -> list[float]:
    """SI-SDR of drums and bass in the best order."""
    sources = read_clip(clip)
    meta, method = make_method(name, {})
    estimates = method.separate(sources.mean(axis=0), 24000, sources if meta.kind == "oracle" else 2)
    orders = [
        [si_sdr(s, e) for s, e in zip(sources, order, strict=True)] for order in permutations(estimates)
    ]
    return max(orders, key=sum)


@published
@pytest.mark.parametrize(("clip", "expected"), [(1, (6.3, 4.85)), (2, (5.44, 4.97)), (3, (5.63, 14.63))])
def test_hpss(clip, expected):
    assert scores("hpss", clip) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("clip", [0, *(pytest.param(clip, marks=published) for clip in (1, 2, 3))])
def test_the_ideal_mask_is_over_hpss_is_over_the_mixture(clip):
    assert np.mean(scores("irm", clip)) > np.mean(scores("hpss", clip)) + 3
    assert np.mean(scores("hpss", clip)) > np.mean(scores("mixture", clip)) + 3

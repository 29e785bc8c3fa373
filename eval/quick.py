"""Mean SI scores of a method on a whole split at once, for cards and ablations: nothing is written."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from eval.scores import si_scores

BATCH = 8


def mean_si_scores(
    separate: Callable[[np.ndarray, int, int], np.ndarray], store
) -> tuple[dict[str, dict[str, float]], float]:
    """Separate every segment, in the components' best order, and average over segments.

    Parameters
    ----------
    separate
        float32[b, n_samples], sample rate, n -> float32[b, n, n_samples], such as `Baseline.separate_batch`.
    store
        The split, a `ucr.data.segments.SegmentStore`.

    Returns
    -------
    means
        In dB, by metric and source; NaN where a source is silent.
    seconds
        That separating took.
    """
    parts: list[dict[str, np.ndarray]] = []
    seconds = 0.0
    for start in tqdm(range(0, len(store), BATCH), desc="separating", unit="batch"):
        batch = [store[i] for i in range(start, min(start + BATCH, len(store)))]
        mixtures = np.stack([segment.mixture for segment in batch])
        began = time.perf_counter()
        estimates = separate(mixtures, store.sample_rate, len(store.sources))
        seconds += time.perf_counter() - began
        parts.append(si_scores(np.stack([segment.sources for segment in batch]), estimates, mixtures))
    means = {metric: np.concatenate([part[metric] for part in parts]).mean(axis=0) for metric in parts[0]}
    return {
        metric: {source: round(float(value), 3) for source, value in zip(store.sources, values, strict=True)}
        for metric, values in means.items()
    }, seconds

"""What limits a neural codec of 24 kbit/s: how much its rate allows, its transform keeps and its codebooks keep.

    python -m benchmarks.codec [WEIGHTS]

Prints a table in dB SI-SDR, mean over the validation split's segments, of each source and the mixture. `rate` and
`rate_per_frame` are what a Gaussian source allows (reverse water-filling, Cover and Thomas, Elements of Information
Theory, section 10.3.3) on the MDCT with the codec's windows, with bits shared over the segment or the same number in
every frame, as a quantiser of fixed size has. The variances are those of 25 bands a frame and cost no bits, so that
both are more than a codec can have that must send them. `transform` is without a quantiser; `N codebooks` with the
first N.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import conv_transpose1d

from eval.scores import si_scores
from ucr.codecs.encodec_mini import HOP, SAMPLE_RATE, load_mini, mdct
from ucr.data.segments import SegmentStore
from ucr.foundation.errors import command
from ucr.weights import FOLDER

SEGMENTS = Path("segments")
KBIT_PER_SECOND = 24
STEP = 1.15  # ratio of a band's edges, which are at least 4 coefficients (150 Hz) apart
CODEBOOKS = (10, 20, 30, 40)


def distortion(variances: np.ndarray, counts: np.ndarray, bits: float) -> np.ndarray:
    """Least mean squared error, summed over coefficients, at which `bits` describe Gaussian coefficients.

    Parameters
    ----------
    variances : float64[..., groups]
    counts : float64[groups]
        Coefficients that have each variance.
    bits
        For all groups together.

    Returns
    -------
    float64[...]
    """
    low = np.full(variances.shape[:-1], 1e-20)
    high = variances.max(axis=-1) + 1e-20
    for _ in range(60):
        level = np.sqrt(low * high)
        rate = (0.5 * np.log2(np.maximum(variances / level[..., None], 1)) * counts).sum(axis=-1)
        low, high = np.where(rate > bits, level, low), np.where(rate > bits, high, level)
    return (np.minimum(variances, high[..., None]) * counts).sum(axis=-1)


def band_edges() -> np.ndarray:
    """First coefficient of each band, and the end of the last: int[26]."""
    edges = [0]
    while edges[-1] < HOP:
        edges.append(min(HOP, max(edges[-1] + 4, round(edges[-1] * STEP))))
    return np.array(edges)


def bounds(audio: np.ndarray) -> tuple[float, float]:
    """`rate` and `rate_per_frame` of float32[n_samples], in dB."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(audio, HOP // 2), 2 * HOP)[::HOP]
    edges = band_edges()
    counts = np.diff(edges)
    power = np.square(frames @ mdct().numpy().T, dtype=float)
    variances = np.add.reduceat(power, edges[:-1], axis=1) / counts + 1e-12
    bits = 1000 * KBIT_PER_SECOND * HOP / SAMPLE_RATE
    shared = distortion(variances.ravel(), np.tile(counts, len(frames)), bits * len(frames))
    alone = distortion(variances, counts, bits).sum()
    return 10 * np.log10(power.sum() / shared), 10 * np.log10(power.sum() / alone)


@torch.no_grad()
def measure(weights: Path, store: SegmentStore) -> pd.DataFrame:
    """The table, with a row for each signal."""
    model: Any = load_mini(weights, store.sample_rate)
    rows = []
    for segment in store:
        true = np.concatenate([segment.sources, segment.mixture[None]])
        latents = model.encoder(torch.from_numpy(true)[:, None])
        codes = model.quantizer.vq.encode(latents)
        whole = conv_transpose1d(latents, model.encoder.transform.weight, stride=HOP)[:, 0, HOP // 2 :]
        decoded = [model.decoder(model.quantizer.vq.decode(codes[:n]))[:, 0] for n in CODEBOOKS]
        kept = {"transform": whole} | {
            f"{n} codebooks": each for n, each in zip(CODEBOOKS, decoded, strict=True)
        }
        table = pd.DataFrame([bounds(signal) for signal in true], columns=["rate", "rate_per_frame"])
        for name, found in kept.items():
            scored = found[None, :, : true.shape[1]].numpy()
            table[name] = si_scores(true[None], scored, segment.mixture[None], ordered=True)["si_sdr"][0]
        rows.append(table.assign(signal=[*store.sources, "mixture"]))
    return pd.concat(rows).groupby("signal", sort=False).mean()


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.codec", description=__doc__.split("\n")[0])
    parser.add_argument("weights", nargs="?", type=Path, default=FOLDER / "encodec_mini")
    print(measure(parser.parse_args().weights, SegmentStore(SEGMENTS, "validation")).round(1).to_string())


if __name__ == "__main__":
    main()

"""How often intervals over tracks cover the truth, and how many tracks find a difference of half a decibel.

    python -m benchmarks.coverage [--tables reports/tables]

Samples of tracks are drawn from normal data, and with replacement from the track means in the tables: a population per
method, source and metric, and for differences a population per pair of methods that compete. Writes
`benchmarks/coverage.csv`, a row per kind of population, interval and number of tracks, and `benchmarks/power.csv`, a
row per pair.
"""

from __future__ import annotations

import argparse
import itertools
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from eval.statistics import ALPHA, CONFIDENCE, mean_interval, median_interval, resampled_counts
from eval.tables import LIMITS, UNSUPERVISED, of_first_set
from ucr.foundation.errors import command
from ucr.foundation.files import read_table, write_csv

FOLDER = Path(__file__).parent
METRICS = ("si_sdr", "si_sir", "si_sar")
MEDIAN_METRIC = "v4_sdr_median_windows"
TRACKS = (14, 28, 56, 247)
SAMPLES, NORMAL_SAMPLES, RESAMPLES = 2000, 20_000, 1000
SEGMENTS = (1, 4)  # of a track, in the population of unequal tracks
DIFFERENCE, POWER = 0.5, 0.8  # in dB; how often it is to be found
NEAR = 2.0  # dB: pairs whose means differ by more need no power

Interval = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
Sampler = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


def percentile(sums: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap of a mean (Efron & Tibshirani 1993, ch. 13), tracks resampled."""
    draws = resampled_counts(sums.shape[1], RESAMPLES, 0)
    return _quantiles((sums @ draws.T) / (counts @ draws.T))


def studentised(sums: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap t (Efron & Tibshirani 1993, ch. 12.5) of a mean over tracks, for tracks of equal counts."""
    values, n = sums / counts, sums.shape[1]
    draws = resampled_counts(n, RESAMPLES, 0)
    means, squares = values @ draws.T / n, values**2 @ draws.T / n
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = (means - values.mean(1, keepdims=True)) / np.sqrt(
            np.maximum(squares - means**2, 0) / (n - 1)
        )
    low, high = _quantiles(np.where(np.isfinite(ratios), ratios, 0))
    error = values.std(1, ddof=1) / np.sqrt(n)
    return values.mean(1) - high * error, values.mean(1) - low * error


def percentile_of_median(sums: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap of a median over tracks."""
    drawn = np.random.default_rng(0).integers(sums.shape[1], size=(RESAMPLES, sums.shape[1]))
    return _quantiles(np.stack([np.median(row[drawn], axis=1) for row in sums / counts]))


def _quantiles(estimates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(estimates, [tail, 1 - tail], axis=1)
    return low, high


OF_MEAN: dict[str, Interval] = {
    "Student's t": mean_interval,
    "studentised bootstrap": studentised,
    "percentile bootstrap": percentile,
}
OF_MEDIAN: dict[str, Interval] = {
    "order statistics": lambda sums, counts: median_interval(sums / counts),
    "percentile bootstrap": percentile_of_median,
}


def normal(rng: np.random.Generator, n_tracks: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples of normal tracks: sums and counts, float64[NORMAL_SAMPLES, n_tracks]; the truth is 0."""
    return rng.normal(size=(NORMAL_SAMPLES, n_tracks)), np.ones((NORMAL_SAMPLES, n_tracks))


def unequal(rng: np.random.Generator, n_tracks: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of tracks that differ as much as the segments in them, of which they have unequal numbers."""
    counts = rng.integers(*SEGMENTS, size=(NORMAL_SAMPLES, n_tracks), endpoint=True)
    return rng.normal(size=counts.shape) * counts + rng.normal(size=counts.shape) * np.sqrt(counts), counts


def resampled(population: np.ndarray, centre: float) -> Sampler:
    """Samples from a population of tracks, its `centre` moved to 0."""
    return lambda rng, n: (rng.choice(population - centre, (SAMPLES, n)), np.ones((SAMPLES, n)))


def coverage_table(populations: dict[str, tuple[list[Sampler], dict[str, Interval]]]) -> pd.DataFrame:
    """How often intervals cover 0.

    Parameters
    ----------
    populations
        By name, samplers of what is alike, and the intervals to try.

    Returns
    -------
    DataFrame
        `coverage` is the mean over the populations of a name, `least` and `most` its extremes.
    """
    rows = []
    for name, (samplers, intervals) in populations.items():
        for n_tracks in TRACKS:
            rng = np.random.default_rng(0)
            samples = [sampler(rng, n_tracks) for sampler in samplers]
            for interval, bounds in intervals.items():
                if n_tracks > TRACKS[0] and interval != next(iter(intervals)):
                    continue  # the first is the one in use
                found = [bounds(*sample) for sample in samples]
                covered = [np.mean((low <= 0) & (high >= 0)) for low, high in found]
                rows.append(
                    (name, len(samplers), interval, n_tracks, np.mean(covered), min(covered), max(covered))
                )
    columns = ["population", "populations", "interval", "tracks", "coverage", "least", "most"]
    return pd.DataFrame(rows, columns=columns).round(4)


def read_populations(tracks: pd.DataFrame, kinds: dict[str, str]) -> dict[str, tuple[list[Sampler], dict]]:
    """What `coverage_table` takes: normal data, and the track means of the tables against the waveforms."""
    by_method = {key: group for key, group in tracks.groupby(["method", "source"], sort=False)}
    found: dict[str, tuple[list[Sampler], dict]] = {
        "normal": ([normal], OF_MEAN),
        f"normal, {SEGMENTS[0]} to {SEGMENTS[1]} segments per track": (
            [unequal],
            {name: interval for name, interval in OF_MEAN.items() if interval is not studentised},
        ),
    }
    for metric in METRICS:
        values = [group[metric].dropna().to_numpy() for group in by_method.values()]
        found[f"{metric} of a method"] = (
            [resampled(x, x.mean()) for x in values if len(x) > 1 and np.ptp(x) > 0],
            OF_MEAN,
        )
    differences = [pair.to_numpy() for pair in paired_differences(tracks, kinds).values()]
    found["si_sdr, difference of two methods"] = ([resampled(x, x.mean()) for x in differences], OF_MEAN)
    values = [group[MEDIAN_METRIC].dropna().to_numpy() for group in by_method.values()]
    medians = [resampled(x, float(np.median(x))) for x in values if len(x) > 1 and np.ptp(x) > 0]
    found["normal, median"] = ([normal], OF_MEDIAN)
    return found | {f"{MEDIAN_METRIC} of a method": (medians, OF_MEDIAN)}


def paired_differences(tracks: pd.DataFrame, kinds: dict[str, str]) -> dict[tuple[str, str, str], pd.Series]:
    """SI-SDR of method A less B on each track, by source, A and B, of methods that are neither oracle nor bound."""
    scores = tracks.set_index(["source", "track", "method"])["si_sdr"].unstack("method")
    methods = [method for method in kinds if method in scores and kinds[method] not in LIMITS]
    return {
        (str(source), a, b): pair
        for source, of_source in scores.groupby("source", sort=False)
        for a, b in itertools.combinations(methods, 2)
        if len(pair := (of_source[a] - of_source[b]).dropna()) > 1 and np.ptp(pair) > 0
    }


def tracks_needed(spread: float, alpha: float = ALPHA) -> int:
    """Tracks on which Wilcoxon's signed-rank test finds a true mean difference of `DIFFERENCE` with power `POWER`.

    Of the paired t test, from the noncentral t distribution, times its asymptotic efficiency beside Wilcoxon's on
    normal data, pi / 3 (Lehmann, Nonparametrics, 1975, ch. 4).

    Parameters
    ----------
    spread
        Standard deviation over tracks of the paired differences, in dB.
    alpha
        Of the two-sided test.
    """

    def power(n: int) -> float:
        critical, shift = stats.t.ppf(1 - alpha / 2, n - 1), DIFFERENCE / spread * np.sqrt(n)
        return stats.nct.sf(critical, n - 1, shift) + stats.nct.cdf(-critical, n - 1, shift)

    enough = next(n for n in (2**i for i in itertools.count(1)) if power(n) >= POWER)
    n = 2 + bisect_left(range(2, enough), POWER, key=power)
    return int(np.ceil(n * np.pi / 3))


def power_table(tracks: pd.DataFrame, kinds: dict[str, str]) -> pd.DataFrame:
    """The spread of each pair's differences, and the tracks that find `DIFFERENCE`: alone, and corrected.

    Corrected is at the significance that Holm's method asks of the clearest of an unsupervised method's comparisons
    with all of its rivals.
    """
    scored = set(tracks.loc[tracks["si_sdr"].notna(), "method"])
    rivals = sum(kinds[method] not in (*LIMITS, UNSUPERVISED) for method in scored)
    rows = []
    for key, pair in paired_differences(tracks, kinds).items():
        spread = float(pair.std())
        needed = tracks_needed(spread), tracks_needed(spread, ALPHA / max(1, rivals))
        rows.append((*key, len(pair), pair.mean(), spread, *needed))
    columns = [
        "source",
        "method_a",
        "method_b",
        "n_tracks",
        "difference",
        "spread",
        "tracks",
        "tracks_corrected",
    ]
    return pd.DataFrame(rows, columns=columns).round({"difference": 4, "spread": 4})


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    remedy = "run `dvc repro tables`, or name its folder with --tables"
    table = read_table(path, [*columns, "reference"], remedy=remedy)
    return table[table["reference"] == "waveform"]


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument(
        "--tables", type=Path, default=Path("reports/tables"), help="(default: reports/tables)"
    )
    folder = parser.parse_args().tables
    tracks = of_first_set(
        _read(folder / "tracks.csv", ["method", "source", "track", *METRICS, MEDIAN_METRIC])
    )
    about = _read(folder / "separation.csv", ["method", "kind"]).drop_duplicates("method")
    kinds = dict(zip(about["method"], about["kind"], strict=True))
    table, power = coverage_table(read_populations(tracks, kinds)), power_table(tracks, kinds)
    write_csv(FOLDER / "coverage.csv", table)
    write_csv(FOLDER / "power.csv", power)
    print(table.to_string(index=False))
    near = power[power["difference"].abs() < NEAR]
    print(
        f"{DIFFERENCE} dB with power {POWER}: pairs of means nearer than {NEAR} dB ({len(near)} of {len(power)}), "
        f"median spread {near['spread'].median():.2f} dB: {near['tracks'].median():.0f} tracks, "
        f"corrected {near['tracks_corrected'].median():.0f}"
    )


if __name__ == "__main__":
    main()

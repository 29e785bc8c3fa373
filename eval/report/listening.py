"""What the report lets one hear and see: segments chosen by a rule, their audio and spectrograms."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import soxr
from matplotlib.colors import Colormap
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from scipy.fft import next_fast_len, rfft

from eval.report.results import Results
from eval.scores import best_order
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_audio

AUDIO_RATE = 24000
BITRATES = (64, 48, 40, 32, 24)  # kbit/s, of MPEG-2 Layer III
AUDIO_BUDGET = 6e6  # bytes of MP3: with base64's third on top, and all else, the page stays under 15 MB
PEAK = 10 ** (-1 / 20)
IMAGE_SIZE = (440, 132)  # pixels, width x height
DYNAMIC_RANGE = 70.0  # dB
FREQUENCIES = (40.0, 11000.0)  # Hz, of the lowest and the highest row


@dataclass(frozen=True)
class Choice:
    """A segment to hear: its name, why it was chosen, and its score in dB."""

    segment: str
    rank: str
    score: float


@dataclass(frozen=True)
class Clip:
    """One sound of a segment.

    Attributes
    ----------
    audio
        MP3, base64.
    image
        Spectrogram as WebP, base64.
    score
        SI-SDR against the true source in dB; NaN where there is none.
    note
        What must be said of it, such as `matched with component_1`.
    """

    label: str
    audio: str
    image: str
    score: float = np.nan
    note: str = ""


@dataclass(frozen=True)
class Row:
    """The clips of one method (or of the mixture, or of the true sources); `note` says why there is none."""

    name: str
    kind: str
    clips: list[Clip]
    note: str = ""


@dataclass(frozen=True)
class Group:
    """Sounds that are heard against each other, all of one length in seconds."""

    title: str
    rank: str
    score: float
    seconds: float
    rows: list[Row]


# --- which segments -------------------------------------------------------------------------------


def leading_method(kinds: dict[str, str]) -> str:
    """The method whose scores choose the segments: `ucr`, or the first that the report lists."""
    return "ucr" if "ucr" in kinds else next(iter(kinds))


def audible_segments(results: Results) -> list[str]:
    """Test segments whose true sources are at hand."""
    folder = results.root / "references" / "waveform"
    return [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def choose_segments(rows: pd.DataFrame, method: str, count: int, available: Iterable[str]) -> list[Choice]:
    """Choose segments at even ranks of a method's SI-SDR: best, median and worst when `count` is 3.

    Parameters
    ----------
    rows
        Raw scores. A segment's score is the mean over its sources of SI-SDR against the waveforms;
        a segment with a silent or failed source has none.
    count
        How many; fewer are returned where fewer have a score.
    available
        Segments whose audio is at hand.
    """
    mine = rows[(rows["method"] == method) & (rows["metric"] == "si_sdr") & (rows["reference"] == "waveform")]
    scores = mine.groupby("segment")["value"].agg(lambda values: values.mean(skipna=False)).dropna()
    scores = scores[scores.index.isin(set(available))]
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    count = min(count, len(ranked))
    if count == 0:
        return []
    fractions = np.linspace(0, 1, count) if count > 1 else np.array([0.5])
    return [
        Choice(str(ranked[place][0]), _rank_name(fraction), float(ranked[place][1]))
        for fraction in fractions
        for place in [round(fraction * (len(ranked) - 1))]
    ]


def _rank_name(fraction: float) -> str:
    names = {0.0: "best", 0.5: "median", 1.0: "worst"}
    return names.get(round(float(fraction), 6), f"{100 * (1 - fraction):.0f}th percentile")


# --- sound and picture ----------------------------------------------------------------------------


def encode_audio(audio: np.ndarray, sample_rate: int, bitrate: int) -> str:
    """MP3 of float32[n_samples] at 24 kHz, base64; `bitrate` in kbit/s."""
    if sample_rate != AUDIO_RATE:
        audio = soxr.resample(audio, sample_rate, AUDIO_RATE)
    buffer = io.BytesIO()
    level = (160 - bitrate) / (160 - 8)  # libsndfile maps 0..1 to the layer's 160..8 kbit/s
    soundfile.write(
        buffer, np.clip(audio, -1, 1), AUDIO_RATE, format="MP3", subtype="MPEG_LAYER_III",
        bitrate_mode="CONSTANT", compression_level=level,
    )  # fmt: skip
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def choose_bitrate(seconds: float) -> int | None:
    """The highest bitrate in kbit/s at which so many seconds of sound stay within the budget; None if none does."""
    return next((rate for rate in BITRATES if rate * 125 * seconds <= AUDIO_BUDGET), None)


def spectrogram(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Power spectrogram on a logarithmic frequency axis in dB, float[height, width], low frequencies last."""
    width, height = IMAGE_SIZE
    window = np.hanning(next_fast_len(int(0.085 * sample_rate))).astype(np.float32)
    padded = np.pad(audio, len(window) // 2 + 1)
    starts = np.linspace(0, len(padded) - len(window), width).astype(int)
    frames = sliding_window_view(padded, len(window))[starts] * (window / window.sum())
    power = (np.abs(rfft(frames)) ** 2).T
    spacing = sample_rate / len(window)
    position = (np.geomspace(FREQUENCIES[1], FREQUENCIES[0], height) / spacing).clip(max=len(power) - 1)
    low = np.floor(position).astype(int).clip(0, len(power) - 2)
    share = (position - low)[:, None]
    decibels = 10 * np.log10(power + 1e-12)
    return (1 - share) * decibels[low] + share * decibels[low + 1]


def encode_image(decibels: np.ndarray, top: float, colours: Colormap) -> str:
    """WebP of a spectrogram, base64; `top` in dB is the brightest colour."""
    scaled = np.clip(1 + (decibels - top) / DYNAMIC_RANGE, 0, 1)
    buffer = io.BytesIO()
    Image.fromarray(colours(scaled, bytes=True)[..., :3]).save(buffer, format="WEBP", quality=40, method=4)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


# --- what is heard together -----------------------------------------------------------------------


class Studio:
    """Turns signals that are heard together into clips.

    One gain makes the loudest of the true signals peak at -1 dB; an estimate that would clip is turned
    down. Spectrograms share one colour scale, its top the loudest point of the true signals.

    Parameters
    ----------
    truth : float32[n, n_samples]
        The mixture and its sources, or whatever the others are heard against.
    """

    def __init__(self, truth: np.ndarray, sample_rate: int, bitrate: int, pool: ThreadPoolExecutor) -> None:
        import seaborn as sns

        self.sample_rate, self.bitrate, self.pool = sample_rate, bitrate, pool
        self.gain = PEAK / max(float(np.abs(truth).max()), 1e-6)
        self.top = max(spectrogram(self.gain * signal, sample_rate).max() for signal in truth)
        self.colours = sns.color_palette("mako", as_cmap=True)

    def clip(self, label: str, audio: np.ndarray, score: float = np.nan, note: str = "") -> Future[Clip]:
        """Make a clip of float32[n_samples], in another thread."""
        return self.pool.submit(self._clip, label, audio, score, note)

    def _clip(self, label: str, audio: np.ndarray, score: float, note: str) -> Clip:
        audio = self.gain * audio
        audio = audio / max(1.0, float(np.abs(audio).max()))
        image = encode_image(spectrogram(audio, self.sample_rate), self.top, self.colours)
        return Clip(label, encode_audio(audio, self.sample_rate, self.bitrate), image, score, note)


def read_mono(path: Path, n_samples: int | None = None) -> tuple[np.ndarray, int]:
    """Read float32[n_samples], cut or padded to `n_samples` if given, and its rate in Hz."""
    audio, rate = read_audio(path)
    mono = audio.mean(axis=0)
    if n_samples is not None:
        mono = np.pad(mono[:n_samples], (0, max(0, n_samples - len(mono))))
    return mono, rate


def read_estimates(folder: Path, sources: list[str], references: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Read a method's estimates of one segment.

    Returns
    -------
    estimates : float32[n_sources, n_samples]
        In the order of the sources; components in the best permutation.
    notes
        Which component each estimate is; empty for a method that names its sources.
    """
    length = references.shape[1]
    if not (folder / "component_0.wav").is_file():
        estimates = np.stack([read_mono(folder / f"{source}.wav", length)[0] for source in sources])
        return estimates, [""] * len(sources)
    paths = [folder / f"component_{i}.wav" for i in range(len(sources))]
    components = np.stack([read_mono(path, length)[0] for path in paths])
    (order,) = best_order(references[None], components[None])
    return components[order], [f"component {i}" for i in order]


def make_group(
    results: Results, choice: Choice, sources: list[str], bitrate: int, pool: ThreadPoolExecutor
) -> Group:
    """The mixture, the true sources and every method's estimates of one segment."""
    folder = results.root / "references" / "waveform" / choice.segment
    mixture, rate = read_mono(folder / "mixture.wav")
    references = np.stack([read_mono(folder / f"{source}.wav", len(mixture))[0] for source in sources])
    studio = Studio(np.vstack([mixture, references]), rate, bitrate, pool)
    rows = [
        ("mixture", "", [studio.clip("mixture", mixture)], ""),
        ("true sources", "", [studio.clip(*each) for each in zip(sources, references, strict=True)], ""),
    ]
    scores, reasons = _segment_scores(results.rows, choice.segment)
    for method, kind in results.kinds.items():
        if method == "mixture":  # already the first row
            continue
        try:
            folder = results.root / "estimates" / method / choice.segment
            estimates, notes = read_estimates(folder, sources, references)
        except UserError:
            rows.append((method, kind, [], reasons.get(method) or "no estimate of this segment"))
            continue
        values = [scores.get((method, source), np.nan) for source in sources]
        clips = [studio.clip(*each) for each in zip(sources, estimates, values, notes, strict=True)]
        rows.append((method, kind, clips, ""))
    made = [Row(name, kind, [clip.result() for clip in clips], note) for name, kind, clips, note in rows]
    return Group(choice.segment, choice.rank, choice.score, len(mixture) / rate, made)


def _segment_scores(rows: pd.DataFrame, segment: str) -> tuple[dict, dict]:
    """SI-SDR by (method, source), and the reason by method where there is no score."""
    mine = rows[
        (rows["segment"] == segment) & (rows["metric"] == "si_sdr") & (rows["reference"] == "waveform")
    ]
    scores = {(row.method, row.source): row.value for row in mine.itertuples()}
    faults = mine[mine["status"] != "ok"]
    reasons = {row.method: f"{row.status}: {row.reason}" for row in faults.itertuples()}
    return scores, reasons

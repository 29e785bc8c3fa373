"""Music of any length through methods that see a few seconds at once: windows, kept in order and cross-faded."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

from ucr.foundation.audio import check_read, cut_short, damaged, one_channel, open_audio
from ucr.foundation.errors import UserError
from ucr.foundation.files import replacing
from ucr.signal.masks import ratio_masks
from ucr.signal.overlap import Read, joined, windows
from ucr.signal.spectrogram import magnitudes

WINDOW = 7.0  # seconds that a method sees at once: the benchmark's segments
OVERLAP = 1.75  # seconds that two windows share: a quarter, as in Demucs
SHORTEST = 1.0  # seconds: shorter songs are followed by silence while a method sees them
MASK_WINDOW = 0.085  # seconds of a mask's Fourier transform: the mel codec's
AUDIBLE = 0.45  # of its sample rate: up to there a method's estimates survive resampling
OFFSET = 0.003  # mean of a window, beside its standard deviation, over which it is no sound's
LONG_ENOUGH = 8192  # samples in which an offset can be told from a slow sound
WAV_LIMIT = 4e9  # bytes of samples that a WAV file can hold; beyond, RF64 is written
REMEDY = "free space on its disk or choose another folder"


class AudioReader:
    """An audio file that is read piece by piece.

    Parameters
    ----------
    path
        Anything that libsndfile (WAV, FLAC, OGG, MP3) or FFmpeg reads (M4A, WebM, WMA and others); of a stem file
        its mixture.
    allow_truncated
        Read what there is of a file that ends earlier than it announces, with a warning on stderr.
    counted
        Whether an MP3 is decoded once before, so that what it holds is known.

    Attributes
    ----------
    sample_rate, channels, n_samples
        Of what the file holds; of an MP3 that was not counted, `n_samples` is what it announces.

    Raises
    ------
    UserError
        If the file is missing, empty, not audio or cut short; later, by `read`, if it is damaged or holds NaN.
    """

    def __init__(self, path: str | Path, allow_truncated: bool = False, counted: bool = True) -> None:
        self.path = Path(path)
        self._opened = opened = open_audio(self.path, counted=counted)
        self._file = opened.file
        self._uncounted = not counted and self._file.format == "MP3"
        self._n_read = 0
        self.sample_rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.n_samples: int = opened.n_samples
        self._warning = cut_short(self.path, opened) if opened.cut else ""
        self._told = False
        if opened.cut and not allow_truncated:
            self._file.close()
            raise UserError(f"{self._warning}: get it whole, or allow it (--allow-truncated)")

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, n_samples: int) -> np.ndarray:
        """The next float32[channels, at most n_samples]; none at the end."""
        self._warn()
        try:
            audio = self._file.read(n_samples, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise damaged(self.path, error) from None
        self._n_read += len(audio)
        if len(audio) < n_samples:
            if self._uncounted:
                self._uncounted, self._opened.n_samples = False, self._n_read
                self._warning = cut_short(self.path, self._opened) if self._opened.cut else ""
                self._warn()
            check_read(self.path, self._opened, self._n_read)
        if not np.isfinite(audio).all():
            raise UserError(f"{self.path} holds samples that are not finite numbers: replace it")
        return np.ascontiguousarray(audio.T)

    def _warn(self) -> None:
        if self._warning:
            print(f"warning: {self._warning}", file=sys.stderr)
            self._warning = ""

    def heard(self, audio: np.ndarray) -> np.ndarray:
        """What a method hears of float32[channels, n_samples]: one channel, float32[n_samples]."""
        heard, cancels = one_channel(audio)
        if cancels and not self._told:
            self._told = True
            print(
                f"warning: {self.path}: the channels are opposite and cancel in their mean: "
                "where they do, the louder one is heard instead",
                file=sys.stderr,
            )
        return heard

    def mono(self, sample_rate: int) -> Read:
        """What reads one channel (see `heard`) at another rate: n -> float32[1, at most n]."""
        resampler = soxr.ResampleStream(self.sample_rate, sample_rate, 1, dtype="float32")
        held, ended = np.zeros(0, np.float32), False

        def read(n_samples: int) -> np.ndarray:
            nonlocal held, ended
            while len(held) < n_samples and not ended:
                piece = self.read(self.sample_rate)
                ended = not piece.shape[1]
                audio = piece[0] if ended else self.heard(piece)
                held = np.concatenate([held, resampler.resample_chunk(audio, last=ended)])
            audio, held = held[:n_samples], held[n_samples:]
            return audio[None]

        return read


def stems(
    song: AudioReader,
    separate: Callable[[np.ndarray], np.ndarray],
    sample_rate: int,
    *,
    mask: bool = True,
    ordered: bool = True,
    window: float = WINDOW,
    overlap: float = OVERLAP,
) -> Iterator[np.ndarray]:
    """Separate a song of any length, rate and number of channels; memory does not grow with its length.

    A constant offset of a channel, which nobody hears, is left out of the stems.

    Parameters
    ----------
    song
        Freshly opened.
    separate
        float32[n_samples] -> float32[n_stems, n_samples], mono, at `sample_rate`. Its estimates add up to
        about `n_stems` times what it was given, as the benchmark's contract has it.
    sample_rate
        In Hz, of the method; windows are resampled to it and back.
    mask
        Let the estimates' magnitudes share the song's own spectrogram, every channel's by the same
        masks, so that the stems add up to the song. Otherwise the estimates themselves are given, mono
        and divided by `n_stems`.
    ordered
        As in `joined`.
    window, overlap
        In seconds.

    Yields
    ------
    float32[n_stems, channels, any length]
        At the song's rate, with the song's channels if `mask`, else one.
    """
    rate = song.sample_rate
    size, hop = round(window * rate), round((window - overlap) * rate)
    highest = AUDIBLE * sample_rate if rate > sample_rate else rate

    def part(mixture: np.ndarray) -> np.ndarray:
        n_samples = mixture.shape[1]
        heard = song.heard(mixture)
        heard = heard - (heard.mean() if mask else offsets(heard[None])[0])  # no mask is told by 0 Hz
        mono = _fitted(heard[None], max(n_samples, round(SHORTEST * rate)))
        estimates = separate(_resampled(mono[0], rate, sample_rate))
        estimates = _fitted(_resampled(estimates.T, sample_rate, rate).T, n_samples)
        if mask:
            return split_by_masks(mixture - offsets(mixture), estimates, rate, highest)
        return estimates[:, None] / len(estimates)

    return joined(((step, part(mixture)) for step, mixture in windows(song.read, size, hop)), ordered)


def offsets(audio: np.ndarray) -> np.ndarray:
    """The constant offset of each channel, float32[channels, 1]; 0 where it is no more than a sound's mean may be."""
    n_samples = audio.shape[1]
    if n_samples < LONG_ENOUGH:
        return np.zeros((len(audio), 1), np.float32)
    means, deviations = audio.mean(axis=1, keepdims=True), audio.std(axis=1, keepdims=True)
    return np.where(np.abs(means) > max(OFFSET, 4 / math.sqrt(n_samples)) * deviations, means, 0)


def _resampled(audio: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    audio = np.ascontiguousarray(audio, dtype=np.float32)
    return audio if rate == new_rate else soxr.resample(audio, rate, new_rate)


def _fitted(audio: np.ndarray, n_samples: int) -> np.ndarray:
    missing = n_samples - audio.shape[-1]
    return np.pad(audio, ((0, 0), (0, missing))) if missing > 0 else audio[:, :n_samples]


def split_by_masks(
    mixture: np.ndarray, estimates: np.ndarray, sample_rate: int, highest: float
) -> np.ndarray:
    """Share a mixture among estimates by their magnitudes, every channel by the same masks.

    Parameters
    ----------
    mixture : float32[channels, n_samples]
    estimates : float32[n_stems, n_samples]
        Of its mono sum, on any common scale.
    sample_rate
        In Hz.
    highest
        Frequency in Hz up to which the estimates can be trusted. What lies above is shared as the
        quarter below it is, frame by frame.

    Returns
    -------
    float32[n_stems, channels, n_samples]
        Adding up to the mixture.
    """
    n_samples = mixture.shape[1]
    n_fft = 2 ** round(math.log2(MASK_WINDOW * sample_rate))
    transform = {"n_fft": n_fft, "hop_length": n_fft // 4, "window": torch.hann_window(n_fft)}

    def spectra(audio: np.ndarray) -> torch.Tensor:
        signal = torch.from_numpy(np.ascontiguousarray(audio, dtype=np.float32))
        return torch.stft(signal, **transform, pad_mode="constant", return_complex=True)

    found = magnitudes(spectra(estimates))
    above = int(highest * n_fft / sample_rate)
    found[:, above:] = found[:, above * 3 // 4 : above].mean(dim=1, keepdim=True)
    shares = ratio_masks(found)[:-1, None] * spectra(mixture)  # the last stem is what the others leave
    stems = inverse(shares, n_samples).numpy()
    return np.concatenate([stems, (mixture - stems.sum(axis=0))[None]])


def inverse(spectra: torch.Tensor, n_samples: int) -> torch.Tensor:
    """The inverse of `torch.stft` with Hann windows that step by a quarter, in about half of `torch.istft`'s time.

    Parameters
    ----------
    spectra : complex64[..., n_fft / 2 + 1, frames]
        Of frames that are centred.
    n_samples

    Returns
    -------
    float32[..., n_samples]
    """
    n_fft = 2 * (spectra.shape[-2] - 1)
    window = torch.hann_window(n_fft)

    def added(frames: torch.Tensor) -> torch.Tensor:
        """Frames [..., count, n_fft], each a quarter later than the one before, added up."""
        quarters = frames.unflatten(-1, (4, -1))
        count = frames.shape[-2]
        whole = frames.new_zeros(*frames.shape[:-2], count + 3, n_fft // 4)
        for quarter in range(4):
            whole[..., quarter : quarter + count, :] += quarters[..., quarter, :]
        return whole.flatten(-2)[..., n_fft // 2 : n_fft // 2 + n_samples]

    frames = torch.fft.irfft(spectra.transpose(-1, -2)) * window
    return added(frames).div_(added(window.square().expand(frames.shape[-2], n_fft)))


@contextmanager
def writing(
    paths: Sequence[Path], sample_rate: int, channels: int, n_samples: int
) -> Iterator[Callable[[np.ndarray], None]]:
    """Write several audio files at once, piece by piece; they take their places together at the end.

    Parameters
    ----------
    paths
        Of 32-bit float WAV files.
    sample_rate, channels
        Of each.
    n_samples
        How long each will be, or nearly: files too long for WAV become RF64.

    Yields
    ------
    function
        Takes the next float32[len(paths), channels, any length].
    """
    container = "WAV" if 4 * channels * n_samples < WAV_LIMIT else "RF64"
    written = 0

    def write(audio: np.ndarray) -> None:
        nonlocal written
        written += 4 * audio[0].size
        for file, own in zip(files, audio, strict=True):
            file.write(own.T)

    with ExitStack() as placing:
        temporary = [placing.enter_context(replacing(path)) for path in paths]
        try:
            with ExitStack() as closing:
                files = [
                    closing.enter_context(
                        soundfile.SoundFile(str(path), "w", sample_rate, channels, "FLOAT", format=container)
                    )
                    for path in temporary
                ]
                yield write
        except soundfile.LibsndfileError as error:
            raise UserError(f"{paths[0].parent} can't be written ({error}): {REMEDY}") from None
        if any(path.stat().st_size < written for path in temporary):  # libsndfile may pass over a full disk
            raise UserError(f"{paths[0].parent} can't be written: {REMEDY}")

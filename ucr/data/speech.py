"""What is no music in a song: speech, told by its pauses and its pitch, which glides where an instrument's stays."""

from __future__ import annotations

import numpy as np
import soxr

RATE = 8000  # Hz: pitch and pauses of speech are heard in a telephone's band
FRAME, HOP = 400, 80  # samples: 50 ms, so three periods of the lowest voice, every 10 ms
SHORTEST = 4.0  # seconds: some words and pauses
LOWEST, HIGHEST = 70, 400  # Hz: pitch of speaking voices
PERIODIC = 0.6  # autocorrelation at the pitch, beside that at 0, from which on a frame is voiced
LOUD, PAUSE = 20.0, 25.0  # dB below the loud frames (their 95th percentile)
APART = 2  # frames between which pitch is compared: 20 ms
GLIDE, JUMP = 0.1, 2.0  # semitones within that: more than an instrument's pitch, less than another note
PAUSES, VOICED, GLIDING = 0.03, 0.55, 0.6  # least shares: of all frames, of loud ones, of voiced ones


def is_speech(audio: np.ndarray, sample_rate: int) -> bool:
    """Whether a sound is a speaking voice with nothing under it.

    It is if it has pauses between words (the share of low energy in [1]_), if most of it has a voice's pitch, and if
    that pitch glides rather than stays. A singer alone may be taken for a speaker; a speaker over music is not found.

    Parameters
    ----------
    audio : float32[n_samples]
        What is shorter than four seconds is never taken for speech.
    sample_rate
        In Hz.

    References
    ----------
    .. [1] E. Scheirer and M. Slaney, "Construction and Evaluation of a Robust Multifeature Speech/Music
       Discriminator," ICASSP 1997. The thresholds are this project's own: `docs/sources.md` says what they give.
    """
    sound = soxr.resample(audio.astype(np.float64), sample_rate, RATE)
    if len(sound) < SHORTEST * RATE:
        return False
    frames = np.lib.stride_tricks.sliding_window_view(sound, FRAME)[::HOP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    level = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
    top = np.percentile(level, 95)
    if (level < top - PAUSE).mean() < PAUSES:
        return False
    pitch, periodicity = _pitch(frames)
    loud = level > top - LOUD
    voiced = loud & (periodicity > PERIODIC)
    both = voiced[APART:] & voiced[:-APART]
    moves = 12 * np.abs(np.log2(pitch[APART:] / pitch[:-APART]))[both]
    gliding = (moves > GLIDE) & (moves < JUMP)
    return bool(voiced.sum() > VOICED * loud.sum() and gliding.sum() > GLIDING * len(moves))


def unused(n_segments: int, quiet: int, speech: int) -> str:
    """What is said of a song whose segments are not all music; empty if they are."""
    parts = [f"{count} {what}" for count, what in ((quiet, "too quiet"), (speech, "speech")) if count]
    return f"of {n_segments} segments {', '.join(parts)}" if parts else ""


def _pitch(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pitch in Hz, and how periodic each frame is, by autocorrelation: the shortest of the periods nearly as good."""
    shortest, longest = RATE // HIGHEST, RATE // LOWEST
    window = np.hanning(FRAME)

    def autocorrelation(signal: np.ndarray) -> np.ndarray:
        power = np.abs(np.fft.rfft(signal * window, 2 * FRAME)) ** 2
        return np.fft.irfft(power)[..., : longest + 1]

    found = autocorrelation(frames) / autocorrelation(np.ones(FRAME))
    found = found[:, shortest:] / np.maximum(found[:, :1], 1e-12)
    before, here, after = found[:, :-2], found[:, 1:-1], found[:, 2:]
    peaks = (here >= before) & (here >= after) & (here >= 0.9 * found.max(axis=1, keepdims=True))
    rows, places = np.arange(len(found)), peaks.argmax(axis=1)
    a, b, c = (each[rows, places] for each in (before, here, after))
    bend = np.minimum(a - 2 * b + c, -1e-12)
    place = shortest + 1 + places + np.clip((a - c) / (2 * bend), -0.5, 0.5)  # the top of a parabola
    return RATE / place, np.where(peaks.any(axis=1), b, 0.0)

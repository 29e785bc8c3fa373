"""A constant delay of estimates against references, as encoders leave it: found from spectra that are summed once.

An estimate's delay is the lag at which its smoothed coherence transform with the sum of the references peaks: their
cross-spectrum over the root of both power spectra (Carter, Nuttall and Cable, "The smoothed coherence transform",
Proceedings of the IEEE 61(10), 1973), each averaged over half overlapping Hann frames (Welch 1967). Bins that the two
share count, however quiet; what a mask or a network makes of the magnitudes does not move the peak. A bass may have no
peak of its own: it shares another estimate's delay if it correlates with the references there more than without one.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft, rfft

LONGEST = 0.1  # seconds of delay looked for, either way
FRAME = 0.5  # seconds at least of a frame, several times that
# A peak is a delay if it stands this many times over the root mean square of all lags, and over no delay. Real songs
# masked or filtered, and estimates of other songs, stay under one of the two; delayed drums are above both.
ABOVE_ALL, ABOVE_NONE = 12.0, 4.0
SHARED = (
    0.8  # of its peak that an estimate has at the delay of another, if it shares that: a bass's peak is broad
)


def frame_length(sample_rate: int) -> int:
    """Samples of a frame, a power of two."""
    return 2 ** int(np.ceil(np.log2(FRAME * sample_rate)))


def cross_spectra(total: np.ndarray, estimates: np.ndarray, start: int, stop: int, frame: int) -> np.ndarray:
    """What a stretch of signals adds to the spectra that delays follow from.

    Parameters
    ----------
    total : float[n]
        Sum of the references from sample `start` to `stop + frame`, zeros after the signal's end.
    estimates : float[k, n]
        The same samples of the estimates.
    start, stop
        The stretch, in samples: of frames that begin in it.
    frame
        From `frame_length`.

    Returns
    -------
    complex128[2 k + 1, frame / 2 + 1]
        Cross-spectra of the sum with each estimate, power spectra of the estimates and of the sum.
    """
    k, hop = len(estimates), frame // 2
    sums = np.zeros((2 * k + 1, hop + 1), complex)
    window = np.float32(np.hanning(frame + 1)[:-1])
    for begin in range(-(-start // hop) * hop - start, stop - start, hop):
        first, *others = (rfft(each[begin : begin + frame] * window) for each in (total, *estimates))
        for i, other in enumerate(others):
            sums[i] += first.conj() * other
            sums[k + i] += np.abs(other) ** 2
        sums[-1] += np.abs(first) ** 2
    return sums


def find_delays(spectra: np.ndarray, sample_rate: int) -> np.ndarray:
    """Delay of each estimate in samples, positive if it is late: int[k], 0 where none stands out."""
    k, frame = len(spectra) // 2, 2 * (spectra.shape[1] - 1)
    powers = spectra[k:-1].real * spectra[-1].real
    coherence = np.divide(spectra[:k], np.sqrt(powers), where=powers > 0, out=np.zeros_like(spectra[:k]))
    longest = min(round(LONGEST * sample_rate), frame // 4)
    lags = np.arange(-longest, longest + 1)
    correlation = np.abs(irfft(coherence, frame)[:, lags])
    own, heights = lags[correlation.argmax(axis=1)], correlation.max(axis=1)
    level = np.sqrt(np.mean(correlation**2, axis=1))
    clear = (heights > ABOVE_ALL * level) & (heights > ABOVE_NONE * correlation[:, longest])
    if not clear.any():
        return np.zeros(k, int)
    prominence = np.divide(heights, level, where=clear, out=np.zeros(k))
    common = own[prominence.argmax()]
    shared = (correlation[:, longest + common] >= SHARED * heights) & (np.abs(own - common) < np.abs(own))
    plain = np.abs(irfft(spectra[:k], frame)[:, [common, 0]])  # where little but a few tones is in common
    shared |= ~clear & (plain[:, 0] > plain[:, 1])
    return np.where(shared, common, np.where(clear, own, 0))

"""A working example of a method: copy it to baselines/NAME.py, set META.name to NAME, fill in `separate`.

Then add `NAME: {code: baselines/NAME.py, needs: segments}` under `methods` in params.yaml and run `make repro`. This
one gives what lies below a frequency to the first estimate and the rest to the second. A name with a leading
underscore, like this one's, is left out of the list of methods.
"""

from __future__ import annotations

import numpy as np

from ucr.methods.contract import Baseline, Meta
from ucr.signal.spectrogram import apply_masks, stft

META = Meta(
    name="template",  # the file's name, without a leading underscore
    kind="blind",  # oracle, bound, blind, unsupervised or supervised: see ucr/methods/contract.py
    paper="No paper: an example",
    summary="What lies below a frequency, then the rest",
    n_sources=2,
)


class Method(Baseline):
    """Split the spectrogram at one frequency.

    Parameters
    ----------
    split_hz
        The frequency, in Hz. Options like this one come from params.yaml, as in
        `NAME: {code: baselines/NAME.py, needs: segments, split_hz: 300.0}`.
    n_fft, hop
        Length of the Hann window and step between windows, in samples.
    """

    def __init__(self, split_hz: float = 250.0, n_fft: int = 2048, hop: int = 512):
        self.split_hz, self.n_fft, self.hop = split_hz, n_fft, hop

    # A method with trained weights also has `load(self, weights, sources)`: see ucr/methods/contract.py.

    def separate(self, mixture: np.ndarray, sample_rate: int, n_sources: int) -> np.ndarray:
        """See `Baseline.separate`."""
        spectrogram = stft(mixture, self.n_fft, self.hop)
        frequencies = np.fft.rfftfreq(self.n_fft, 1 / sample_rate)
        low = np.broadcast_to((frequencies < self.split_hz)[:, None], spectrogram.shape)
        masks = np.stack([low, ~low]).astype(np.float32)
        return apply_masks(spectrogram, masks, len(mixture), self.n_fft, self.hop)

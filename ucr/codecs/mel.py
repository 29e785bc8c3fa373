"""Power-compressed magnitudes on a mel-like frequency scale: a codec without weights.

The scale is the mel scale's shape, linear at the bottom and logarithmic above (Slaney, Auditory
Toolbox, 1998), with its corner as low as it can be without a band narrower than one bin of the
Fourier transform. With 128 bands at 24 kHz the corner lies at 323 Hz, against mel's 1 kHz: bands
12 Hz apart where bass and kick drum overlap, 1.6 to the semitone above.

How well the best possible components separate (SI-SDR in dB, drums / bass; components = latents of
the true sources; 16 rendered clips and 2 of real Slakh at 24 kHz, windows of 2048, 75 frames per second):

==================================================  ============  ============
bands and masks                                     rendered      real
==================================================  ============  ============
128, this scale, ratio of squares                   12.3 / 13.8   15.8 / 14.9
128, this scale, ratio of magnitudes                11.6 / 12.9   14.5 / 13.5
128, mel (Slaney), ratio of squares                 10.8 / 12.2   13.3 / 12.4
128, mel (Slaney), ratio of magnitudes              10.2 / 11.3   12.4 / 11.3
64, this scale, ratio of squares                    12.2 / 13.7   15.5 / 14.6
32, this scale, ratio of squares                    12.0 / 13.5   14.4 / 13.4
every bin, ratio of squares                         12.4 / 13.8   15.8 / 14.9
every bin, ratio of magnitudes                      11.7 / 12.9   14.5 / 13.5
==================================================  ============  ============

Windows of 1024, 1536, 3072 and 4096 samples, ratios of other exponents (1.5, 2.5, 3), and ratios
taken after interpolating magnitudes to bins gave at most 0.2 dB more, and mostly less.

The masks are ratios of fourth powers: on 30 rendered segments of drums and bass these keep the SI-SDR of the best
possible components (squares 13.4 / 14.1, cubes 13.4 / 14.1, fourth powers 13.4 / 14.0, sixth 13.3 / 13.9) and let
less of the other source through (SI-SIR 24.7 / 26.4 against 25.9 / 33.3). Sources that seldom overlap part by
masks that are nearly binary (Yilmaz & Rickard, *Blind separation of speech mixtures via time-frequency masking*,
IEEE TSP 52(7), 2004).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ucr.foundation.errors import UserError
from ucr.foundation.hashes import short_hash
from ucr.signal.masks import ratio_masks
from ucr.signal.spectrogram import magnitudes

FRAME_RATE = 75  # EnCodec's at 24 kHz, so that models and crops carry over
WINDOW_SECONDS = 0.085  # 2048 samples at 24 kHz
LEVEL = 500.0  # band magnitudes of music, whose RMS is about 0.1, are near 1 / LEVEL
MASK_EXPONENT = 4.0
ITERATIONS = 16  # of Griffin-Lim
SILENT = 1e-9  # magnitude


class MelCodec:
    """Band magnitudes m of the short-time Fourier transform, as (LEVEL m)^power, at 75 frames per second.

    A full-scale sine has a magnitude of 1 at its bin. Latents are non-negative, and typical values of
    music are near 1 for every power. Frame k is centred on sample k · hop, and silence surrounds the
    audio.

    Parameters
    ----------
    sample_rate
        In Hz, a multiple of 75.
    bands
        Channels of a latent.
    power
        Compression exponent p, in (0, 1].
    device
        Where the codec's arrays lie; audio and latents must lie there too.

    Raises
    ------
    UserError
        If 75 frames per second don't divide the sample rate, or there are more bands than bins.
    """

    name = "mel"
    frame_rate = float(FRAME_RATE)

    def __init__(self, sample_rate: int, bands: int, power: float, device: str = "cpu"):
        if sample_rate % FRAME_RATE:
            raise UserError(
                f"segments.sample_rate: the codec mel makes {FRAME_RATE} frames per second, which does not "
                f"divide {sample_rate} Hz: choose a multiple of {FRAME_RATE}, such as 24000"
            )
        self.sample_rate = sample_rate
        self.channels = bands
        self.power = power
        self.hop = sample_rate // FRAME_RATE
        self.n_fft = 2 ** round(math.log2(WINDOW_SECONDS * sample_rate))
        if bands > self.n_fft // 2:
            raise UserError(
                f"codec.bands: {bands} is more than {sample_rate} Hz allows: choose at most {self.n_fft // 2}"
            )
        window = torch.hann_window(self.n_fft, device=device)
        self.window = 2 * window / window.sum()  # a sine's magnitude is its amplitude
        filters = filter_bank(sample_rate, self.n_fft, bands).to(device)
        self.analysis = filters / filters.sum(dim=1, keepdim=True)
        self.interpolation = filters.T.contiguous()
        self.fingerprint = short_hash(
            {
                "name": self.name,
                "sample_rate": sample_rate,
                "bands": bands,
                "power": power,
                "n_fft": self.n_fft,
                "hop": self.hop,
                "level": LEVEL,
                "scale": "linear-log, corner at one bin",
            }
        )

    def n_frames(self, n_samples: int) -> int:
        """Latent frames of `n_samples` samples of audio: one for each hop begun."""
        return -(-n_samples // self.hop)

    def encode(self, audio: Tensor) -> Tensor:
        """Turn float32[batch, n_samples] into non-negative float32[batch, bands, frames]."""
        spectrum = self._stft(audio)[..., : self.n_frames(audio.shape[-1])]
        return (LEVEL * (self.analysis @ magnitudes(spectrum))) ** self.power

    def decode(self, latents: Tensor, n_samples: int) -> Tensor:
        """Turn float32[batch, bands, frames] into float32[batch, n_samples], phases by Griffin-Lim.

        The fast variant (Perraudin, Balazs and Søndergaard 2013), from random phases that are the same
        in every call. The latents of what it gives differ from those asked for by 18, 14, 12 and 11 % (norm, two
        songs) after 4, 8, 16 and 32 iterations.
        """
        wanted = self._magnitudes(latents, n_samples)
        return self._griffin_lim(wanted, self._random_phases(wanted).expand_as(wanted), n_samples, ITERATIONS)

    def decode_variation(self, latents: Tensor, song: Tensor, strength: float) -> Tensor:
        """Turn the latents of a variation of a song into sound, beginning with the song's phases.

        The less a bin's magnitude is like the song's and the more is varied, the more random its first phase; then
        Griffin-Lim, `strength` times the iterations of `decode`. Eight mixtures of the validation split, in 64 bands,
        have a multi-scale STFT distance of 0.32 from themselves rebuilt so, and of 0.79 by `decode`. The latents of the
        sound differ from those asked for by 11, 11, 11, 12 and 13 % (norm) at strengths of 0.25, 0.5, 0.75, 0.9 and
        0.97 (`decode`: 12, 12, 12, 12 and 13).

        Parameters
        ----------
        latents : float32[batch, bands, frames]
        song : float32[batch, n_samples]
        strength
            From 0, the song itself, to 1, nothing of it: `decode`.

        Returns
        -------
        float32[batch, n_samples]
        """
        n_samples = song.shape[-1]
        if strength == 1:
            return self.decode(latents, n_samples)
        wanted, spectrum = self._magnitudes(latents, n_samples), self._stft(song)
        own = magnitudes(spectrum)
        likeness = torch.minimum(own, wanted) / torch.maximum(own, wanted).clamp(min=SILENT)
        share = (1 - strength * (1 - likeness)) * (own > 0)
        phases = (share * spectrum.sgn() + (1 - share) * self._random_phases(own)).sgn()
        return self._griffin_lim(wanted, phases, n_samples, round(strength * ITERATIONS))

    def _magnitudes(self, latents: Tensor, n_samples: int) -> Tensor:
        """The magnitudes of [batch, bands, frames] in every bin: [batch, bins, frames]."""
        return self._spread(latents.clamp(min=0) ** (1 / self.power) / LEVEL, n_samples)

    def _random_phases(self, like: Tensor) -> Tensor:
        """Numbers of magnitude 1, the same in every call: complex64[1, bins, frames]."""
        generator = torch.Generator().manual_seed(0)
        angles = 2 * math.pi * torch.rand(1, *like.shape[-2:], generator=generator).to(like.device)
        return torch.polar(torch.ones_like(angles), angles)

    def _griffin_lim(self, wanted: Tensor, phases: Tensor, n_samples: int, iterations: int) -> Tensor:
        """Audio of magnitudes and first phases, both [batch, bins, frames]: float32[batch, n_samples]."""
        sounds = []
        for clip, first in zip(
            wanted.split(1), phases.split(1), strict=True
        ):  # one at a time stays in the cache
            spectrum = clip * first
            previous = torch.zeros_like(spectrum)
            for _ in range(iterations):
                projected = self._stft(self._istft(spectrum, n_samples))
                spectrum = clip * projected.lerp(previous, -0.99).sgn()  # phases accelerated
                previous = projected
            sounds.append(self._istft(spectrum, n_samples))
        return torch.cat(sounds)

    def decode_components(self, latents: Tensor, mixture: Tensor) -> Tensor:
        """Filter the mixture by each component's share of every band.

        The shares (of magnitudes to the power `MASK_EXPONENT`) are taken in bands and interpolated to bins,
        where they add up to 1, so that the estimates add up to `n_components` times the mixture.

        Parameters
        ----------
        latents : float32[batch, n_components, bands, frames]
        mixture : float32[batch, n_samples]
            Mean of the sources.

        Returns
        -------
        float32[batch, n_components, n_samples]
        """
        # One at a time stays in a processor's cache.
        clips = zip(latents.split(1), mixture.split(1), strict=True)
        return torch.cat([self._filtered(*clip) for clip in clips])

    def _filtered(self, latents: Tensor, mixture: Tensor) -> Tensor:
        """`decode_components` of one mixture."""
        n_components, n_samples = latents.shape[1], mixture.shape[-1]
        shares = ratio_masks(latents.clamp(min=0), MASK_EXPONENT / self.power, axis=1)
        masks = self._spread(shares, n_samples)
        spectra = masks * self._stft(mixture)[:, None]
        return n_components * self._istft(spectra[0], n_samples)[None]

    def _spread(self, bands: Tensor, n_samples: int) -> Tensor:
        """Interpolate [..., bands, frames] to the bins and frames of the transform of `n_samples` samples."""
        if bands.shape[-1] != self.n_frames(n_samples):
            raise ValueError(f"{bands.shape[-1]} frames are no latent of {n_samples} samples")
        bins = self.interpolation @ bands
        missing = n_samples // self.hop + 1 - bins.shape[-1]
        return torch.cat([bins, bins[..., -1:]], dim=-1) if missing else bins

    def _stft(self, audio: Tensor) -> Tensor:
        return torch.stft(
            audio,
            self.n_fft,
            self.hop,
            window=self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )

    def _istft(self, spectrum: Tensor, n_samples: int) -> Tensor:
        return torch.istft(spectrum, self.n_fft, self.hop, window=self.window, length=n_samples)


def filter_bank(sample_rate: int, n_fft: int, bands: int) -> Tensor:
    """Triangular bands, the first centred on 0 Hz, the last on half the rate, evenly apart on the scale.

    The scale is s(f) = f / c below the corner c, 1 + ln(f / c) above it, with c such that the bands at
    the bottom are one bin apart. Every bin's weights add up to 1.

    Returns
    -------
    float32[bands, n_fft // 2 + 1]
    """
    nyquist, bin_width = sample_rate / 2, sample_rate / n_fft
    low, high = bin_width * 1e-3, nyquist
    for _ in range(60):  # c (1 + ln(nyquist / c)), which grows with c, is the width of all steps together
        corner = (low + high) / 2
        if corner * (1 + math.log(nyquist / corner)) < bin_width * (bands - 1):
            low = corner
        else:
            high = corner
    frequencies = torch.linspace(0, nyquist, n_fft // 2 + 1, dtype=torch.float64) / corner
    positions = torch.where(frequencies < 1, frequencies, 1 + frequencies.clamp(min=1).log())
    centres = torch.linspace(0, positions[-1].item(), bands, dtype=torch.float64)
    weights = (1 - (positions - centres[:, None]).abs() / (centres[1] - centres[0])).clamp(min=0)
    return (weights / weights.sum(dim=0)).float()

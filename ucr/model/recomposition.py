"""Making music of components: songs rebuilt, parts replaced, songs varied, songs put together, and new ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ucr.codecs import Codec
from ucr.foundation.checkpoints import component_names, device_named
from ucr.model.decomposition import DecompositionModel, load_decomposition
from ucr.model.prior import PriorModel, load_prior

BATCH = 16  # clips at once: bounds the memory
GUIDANCE = 2.0  # of shipped models, by how generated components follow kept ones (docs/study.md)


class Recomposer:
    """A decomposition model, its prior and its codec: mono audio in, mono audio out.

    Parameters
    ----------
    model, prior, codec
        All on `device`; the prior is the model's own.
    names
        Of the components.
    device
    decode_steps
        Sampling steps of the decomposition model (the paper: 50).
    guidance
        Of generated components by kept ones (`PriorModel.generate`; the paper: 0).

    Attributes
    ----------
    sample_rate
        Of the audio, in Hz.
    names
    n_components
    """

    def __init__(
        self,
        model: DecompositionModel,
        prior: PriorModel,
        codec: Codec,
        names: list[str],
        device: torch.device,
        decode_steps: int = 1,
        guidance: float = GUIDANCE,
    ) -> None:
        self.model, self.prior, self.codec, self.device = model, prior, codec, device
        self.names, self.decode_steps, self.guidance = names, decode_steps, guidance
        self.sample_rate = codec.sample_rate
        self.n_components = model.n_components

    @classmethod
    def load(
        cls,
        decomposition: Path,
        prior: Path,
        device: str | None = None,
        decode_steps: int = 1,
        guidance: float = GUIDANCE,
    ) -> Recomposer:
        """Read both models.

        Parameters
        ----------
        decomposition, prior
            Folders with `model.safetensors` and `card.json`.
        device
            None: the first GPU, or the CPU.
        decode_steps
            Sampling steps of the decomposition model.
        guidance
            Of generated components by kept ones.

        Raises
        ------
        UserError
            If weights are missing or damaged, the prior belongs to another decomposition model, or the
            codec is another than the model's.
        """
        where = device_named(device)
        model, setting, card = load_decomposition(decomposition)
        return cls(
            model.to(where),
            load_prior(prior, card["sha256"]).to(where),
            setting.make_codec(decomposition, where),
            component_names(card, model.n_components),
            where,
            decode_steps,
            guidance,
        )

    def reconstruct(self, audio: np.ndarray) -> np.ndarray:
        """Take songs apart and compose them again.

        The sound is the codec's decoding of the composition alone: what the two models and the codec keep of a song.
        `mel` has no phases to keep, and takes the song's.

        Parameters
        ----------
        audio : float32[b, n_samples]

        Returns
        -------
        float32[b, n_samples]
        """
        return self.vary(audio, 0.0, steps=1, seed=0)

    def generate(self, count: int, seconds: float, steps: int, seed: int) -> np.ndarray:
        """Make new clips from noise alone, at levels as the training mixtures have.

        Parameters
        ----------
        count
            How many.
        seconds
            Length of each.
        steps
            Sampling steps of the prior.
        seed
            Of the noise.

        Returns
        -------
        float32[count, n_samples]
        """
        n_samples = round(seconds * self.sample_rate)
        frames = self.codec.n_frames(n_samples)
        nothing = torch.zeros(
            count, self.n_components, self.prior.latent_channels, frames, device=self.device
        )
        latents = self.prior.generate(nothing, self._every(count), steps, seed)

        def sounds(latents: Tensor, level: Tensor) -> Tensor:
            return self.codec.decode(self._composed(latents, level, n_samples), n_samples)

        return _in_batches(sounds, latents, self.prior.draw_level(count, seed)).cpu().numpy()

    def vary(self, audio: np.ndarray, strength: float, steps: int, seed: int) -> np.ndarray:
        """Sample the prior from the songs' partly noised latents; a variation is as loud as its song.

        Parameters
        ----------
        audio : float32[b, n_samples]
        strength
            From 0, the song as `reconstruct` makes it, to 1, latents as `generate` makes them.
        steps
            Sampling steps of the prior.
        seed
            Of the noise.

        Returns
        -------
        float32[b, n_samples]

        Raises
        ------
        ValueError
            If the strength lies outside 0 to 1.
        """
        if not 0 <= strength <= 1:
            raise ValueError(f"strength must lie between 0 and 1, not at {strength}")
        songs = self._tensor(audio)
        latents, level = self._encode(songs)
        latents = self.prior.generate(latents, self._every(len(audio)), steps, seed, strength)

        def sounds(latents: Tensor, level: Tensor, songs: Tensor) -> Tensor:
            composed = self._composed(latents, level, songs.shape[1])
            return self.codec.decode_variation(composed, songs, strength)

        return _in_batches(sounds, latents, level, songs).cpu().numpy()

    def fill(self, audio: np.ndarray, generated: np.ndarray, steps: int, seed: int) -> np.ndarray:
        """Replace components of songs by new ones that are generated given the others.

        Parameters
        ----------
        audio : float32[b, n_samples]
        generated : bool[b, n_components]
            Which components of each song are replaced.
        steps
            Sampling steps of the prior.
        seed
            Of the noise.

        Returns
        -------
        float32[b, n_samples]
        """
        return self.fill_parts(audio, generated, steps, seed).mean(axis=1)

    def fill_parts(self, audio: np.ndarray, generated: np.ndarray, steps: int, seed: int) -> np.ndarray:
        """The components whose mean `fill` returns: float32[b, n_components, n_samples], on the sources' scale.

        Those that are kept sound as the song's separation does (for `mel`: a mask on the song, so that a song of
        which all is kept stays as it is); the generated ones are the codec's decoding of their latents.
        """
        songs, marked = self._tensor(audio), torch.as_tensor(generated, dtype=torch.bool, device=self.device)
        latents, level = self._encode(songs)
        made = self.prior.generate(latents, marked, steps, seed, guidance=self.guidance)
        parts = self._stems(songs, latents, level)
        if marked.any():
            n_samples = songs.shape[1]
            new = _in_batches(lambda x, y: self._components(x, y, n_samples), made, level)[marked]
            parts[marked] = _in_batches(lambda each: self._decode_alone(each, n_samples), new)
        return parts.cpu().numpy()

    def recombine(self, a: np.ndarray, b: np.ndarray, take: np.ndarray) -> np.ndarray:
        """Put components of songs `b` in the place of those of songs `a`, each as loud as it was in its own song.

        Parameters
        ----------
        a, b : float32[b, n_samples]
        take : bool[n_components]
            Component i is from `b` where `take[i]` is True.

        Returns
        -------
        float32[b, n_samples]

        Raises
        ------
        ValueError
            If the songs are not equally many and equally long.
        """
        if a.shape != b.shape:
            raise ValueError(f"songs of one shape are needed, not {a.shape} and {b.shape}")
        songs = [self._tensor(a), self._tensor(b)]
        kept, taken = (self._stems(song, *self._encode(song)) for song in songs)
        which = torch.as_tensor(take, dtype=torch.bool, device=self.device)
        return torch.where(which[:, None], taken, kept).mean(dim=1).cpu().numpy()

    def _tensor(self, audio: np.ndarray) -> Tensor:
        return torch.as_tensor(audio, dtype=torch.float32, device=self.device)

    def _every(self, count: int) -> Tensor:
        return torch.ones(count, self.n_components, dtype=torch.bool, device=self.device)

    def _encode(self, songs: Tensor) -> tuple[Tensor, Tensor]:
        """Component latents of songs [b, n_samples], [b, n, c, t], and the songs' levels, [b, 1, 1]."""
        mixtures = _in_batches(self.codec.encode, songs)
        latents = _in_batches(lambda batch: self.model.encode(self.model.normalise(batch)), mixtures)
        return latents, self.model.level(mixtures)

    def _components(self, latents: Tensor, level: Tensor, n_samples: int) -> Tensor:
        """The codec's latents of each component: float32[b, n, channels, frames]."""
        frames = self.codec.n_frames(n_samples)
        return self.model.decode(latents, frames, self.decode_steps) * level[:, None]

    def _composed(self, latents: Tensor, level: Tensor, n_samples: int) -> Tensor:
        """The codec's latents of what components make together: float32[b, channels, frames]."""
        mixtures = self.model.reconstruct(self._components(latents, level, n_samples))
        return self.prior.calibrate(mixtures / level) * level

    def _decode_alone(self, components: Tensor, n_samples: int) -> Tensor:
        """Sounds of components' own latents [k, channels, frames], on the sources' scale: float32[k, n_samples]."""
        # Where magnitudes add up to the mixture, which is the mean of the sources, a component is 1 / n of its source.
        gain = self.n_components if self.model.additive else 1
        return gain * self.codec.decode(components, n_samples)

    def _stems(self, songs: Tensor, latents: Tensor, level: Tensor) -> Tensor:
        """The songs' separation: float32[b, n, n_samples]."""

        def sounds(songs: Tensor, latents: Tensor, level: Tensor) -> Tensor:
            return self.codec.decode_components(self._components(latents, level, songs.shape[1]), songs)

        return _in_batches(sounds, songs, latents, level)


@torch.no_grad()
def _in_batches(function: Callable[..., Tensor], *items: Tensor) -> Tensor:
    return torch.cat([function(*batch) for batch in zip(*(each.split(BATCH) for each in items), strict=True)])

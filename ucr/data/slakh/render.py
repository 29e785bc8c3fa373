"""Rendering songs into Slakh2100's layout: SoundFont samples, stems of equal loudness, 16-bit FLAC, metadata.

Slakh2100 was mixed so (Manilow et al., "Cutting music source separation some Slakh", WASPAA 2019): every
stem is brought to the same integrated loudness (ITU-R BS.1770-4), and one gain for the whole song puts the
peak of the mix at -1 dB.
"""

from __future__ import annotations

import importlib.util
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
import scipy.signal
import yaml

from ucr.data.slakh.patches import VOICES
from ucr.data.slakh.song import TICKS_PER_BEAT, Patch, Song, Stem
from ucr.data.slakh.soundfont import DRUMS, presets
from ucr.foundation.errors import UserError
from ucr.foundation.files import encode_audio, replacing
from ucr.foundation.hashes import bytes_hash

SAMPLE_RATE = 44100
LOUDNESS = -13.0  # LUFS of every stem before the overall gain
TARGET_PEAK = -1.0  # dB of the mix
LOUDEST = 1000.0  # peak of a stem, full scale being 1, over which what was rendered is no sound
RING = 1.5  # seconds that a percussion instrument sounds which is no voice of the kit
ROOM = 0.6  # seconds in which the drums' room falls by 60 dB
LAYERS = np.array([40, 64, 84, 104, 127])  # velocities at which a sample's brightness is made


def default_soundfont() -> Path:
    """The General MIDI SoundFont that pretty_midi ships."""
    spec = importlib.util.find_spec("pretty_midi")
    if spec is None or spec.origin is None:
        raise UserError("pretty_midi is not installed, whose SoundFont renders the songs: run `make install`")
    return Path(spec.origin).parent / "TimGM6mb.sf2"


class Sampler:
    """Renders stems with one SoundFont, fixed for symusic.

    The synthesiser plays single notes; velocity, tone, envelope and tuning are applied here, since it knows
    neither velocity nor controllers nor decay, and cuts a drum's sample at its note's end.
    """

    def __init__(self, soundfont: Path) -> None:
        self.soundfont = soundfont
        self.presets = presets(soundfont)
        self.synthesizers: dict[tuple, Any] = {}

    def sample(
        self, program: int, is_drum: bool, pitch: int, seconds: float, tune: float = 0.0
    ) -> np.ndarray:
        """One note at full velocity, tuned up by `tune` semitones: float32[n_samples].

        A drum kit that the SoundFont lacks is played by its first, as General MIDI has it; a `UserError` names any
        other program that it lacks.
        """
        import symusic

        if is_drum and (DRUMS, program) not in self.presets:
            program = min(number for bank, number in self.presets if bank == DRUMS)
        elif not is_drum and (0, program) not in self.presets:
            raise UserError(
                f"{self.soundfont.name} has no program {program}: choose a General MIDI SoundFont as data.soundfont"
            )

        rate = round(
            SAMPLE_RATE * 2 ** (-tune / 12)
        )  # heard at 44.1 kHz, what was made at another rate is tuned
        which = (
            rate,
            is_drum,
            program,
        )  # since one keeps samples by key, and takes another program's for them
        if which not in self.synthesizers:
            try:
                self.synthesizers[which] = symusic.Synthesizer(
                    str(self.soundfont), sample_rate=rate, quality=0
                )
            except Exception as error:  # the extension raises bare RuntimeErrors
                raise UserError(f"{self.soundfont} can't be loaded ({error}): fix data.soundfont") from None
        score = symusic.Score(TICKS_PER_BEAT)
        score.tempos.append(symusic.Tempo(0, qpm=60))
        track = symusic.Track(program=program, is_drum=is_drum)
        length = math.ceil(seconds * SAMPLE_RATE / rate * TICKS_PER_BEAT)
        track.notes.append(symusic.Note(0, length, pitch, 127))
        score.tracks.append(track)
        return self.synthesizers[which].render(score, stereo=False)[0]

    def stem(self, notes: np.ndarray, patch: Patch, is_drum: bool, n_samples: int) -> np.ndarray:
        """Render one stem.

        Parameters
        ----------
        notes : float64[n_notes, 4]
            Start and length in seconds, pitch, velocity. A drum rings as long as its voice's decay, whatever its
            note's length.
        patch
            Its program, tone and envelope.
        is_drum
            Whether the program is a drum kit.
        n_samples
            Length of the stem.

        Returns
        -------
        float32[n_samples]
        """
        voices = {
            int(pitch): patch.voices.get(VOICES.get(int(pitch), "other"), (0.0, RING))
            for pitch in notes[:, 2]
        }
        rings = np.array([voices[int(pitch)][1] for pitch in notes[:, 2]])
        lengths = rings if is_drum else notes[:, 1] + patch.release
        longest: dict[int, float] = {}
        for pitch, length in zip(notes[:, 2].astype(int), lengths, strict=True):
            longest[pitch] = max(longest.get(pitch, 0.0), length)
        layers = np.abs(notes[:, 3, None] - LAYERS).argmin(axis=1)
        raw: dict[int, np.ndarray] = {}
        samples: dict[tuple[int, int], np.ndarray] = {}
        fall = _fall(patch.release, round(patch.release * SAMPLE_RATE))
        audio = np.zeros(n_samples, np.float32)
        for (start, length, key, velocity), layer in zip(notes, layers, strict=True):
            pitch, first = int(key), round(start * SAMPLE_RATE)
            if first >= n_samples:
                continue
            if pitch not in raw:
                sound = self.sample(patch.program, is_drum, pitch, longest[pitch], patch.tune)
                raw[pitch] = _shape(sound, patch, voices[pitch][1] if is_drum else patch.decay)
            if (pitch, layer) not in samples:
                samples[pitch, layer] = _filter(raw[pitch], patch, LAYERS[layer])
            sound = samples[pitch, layer][: n_samples - first]
            if not is_drum:
                held = round(length * SAMPLE_RATE)
                sound = sound[: held + len(fall)].copy()
                sound[held:] *= fall[: max(len(sound) - held, 0)]
            level = 10 ** (voices[pitch][0] / 20) if is_drum else 1.0
            audio[first : first + len(sound)] += np.float32(level * (velocity / 127) ** 2) * sound
        return audio


def _fall(decay: float, n_samples: int) -> np.ndarray:
    """An exponential fall by 60 dB in `decay` seconds."""
    return np.exp(-np.log(1000) / (decay * SAMPLE_RATE) * np.arange(n_samples)).astype(np.float32)


def _shape(sample: np.ndarray, patch: Patch, decay: float) -> np.ndarray:
    """Apply a patch's envelope, and the reverberation of its room: noise that falls by 60 dB in `ROOM` seconds."""
    sample = sample * _fall(decay, len(sample))
    rise = min(round(patch.attack * SAMPLE_RATE), len(sample))
    sample[:rise] *= np.linspace(0, 1, rise, endpoint=False, dtype=np.float32)
    if not patch.room:
        return sample
    n = round(ROOM * SAMPLE_RATE)
    echoes = np.random.default_rng(0).normal(size=n).astype(np.float32) * _fall(ROOM, n)
    echoes *= patch.room / np.sqrt(np.sum(echoes**2))
    echoes[0] += 1
    return scipy.signal.oaconvolve(sample, echoes).astype(np.float32)


def _filter(sample: np.ndarray, patch: Patch, velocity: float) -> np.ndarray:
    """Apply a patch's tone; a soft stroke is darker, by three quarters of an octave at half velocity."""
    corner = round(min(patch.cutoff * 2 ** (1.5 * (velocity / 127 - 1)), 0.45 * SAMPLE_RATE))
    filters = np.vstack([_butter("low", corner), _butter("high", patch.low_cut)])
    return scipy.signal.sosfilt(filters, sample).astype(np.float32)


@lru_cache(maxsize=4096)
def _butter(kind: str, corner: float) -> np.ndarray:
    return scipy.signal.butter(2, corner, kind, fs=SAMPLE_RATE, output="sos").astype(np.float32)


def loudness(audio: np.ndarray) -> float:
    """Integrated loudness in LUFS of float32[n_samples] at 44.1 kHz (ITU-R BS.1770-4, on spectra of 100 ms)."""
    hop = SAMPLE_RATE // 10
    spectra = scipy.fft.rfft(audio[: len(audio) // hop * hop].reshape(-1, hop), axis=1)
    power = (spectra.real**2 + spectra.imag**2) @ _k_weighting(hop).astype(np.float32) * 2 / hop**2
    blocks = np.convolve(power, np.full(4, 0.25), "valid")
    loud = blocks[blocks > 10 ** ((-70 + 0.691) / 10)]
    if not loud.size:
        return -math.inf
    gated = loud[loud > loud.mean() / 10]
    return float(-0.691 + 10 * np.log10(gated.mean()))


@lru_cache
def _k_weighting(n: int) -> np.ndarray:
    """Squared response of BS.1770-4's two filters (annex 1, tables 1 and 2) at the bins of an FFT of n samples."""
    shelf = (
        [1.53512485958697, -2.69169618940638, 1.19839281085285],
        [1, -1.69065929318241, 0.73248077421585],
    )
    high = ([1, -2, 1], [1, -1.99004745483398, 0.99007225036621])
    angles = 2 * np.pi * np.fft.rfftfreq(n, 1 / SAMPLE_RATE) / 48000  # the tables are for 48 kHz
    return np.prod([np.abs(scipy.signal.freqz(b, a, angles)[1]) ** 2 for b, a in (shelf, high)], axis=0)


def score_of(song: Song):
    """The song as a symusic Score in ticks, a track per stem."""
    import symusic

    score = symusic.Score(TICKS_PER_BEAT)
    score.time_signatures.append(symusic.TimeSignature(0, *song.metre))
    for beat, qpm in song.tempos:
        score.tempos.append(symusic.Tempo(round(beat * TICKS_PER_BEAT), qpm=qpm))
    for stem in song.stems:
        track = symusic.Track(name=_title(stem), program=stem.patch.program, is_drum=stem.is_drum)
        for note in stem.notes:
            ticks = round(note.start * TICKS_PER_BEAT), max(round(note.length * TICKS_PER_BEAT), 1)
            track.notes.append(symusic.Note(*ticks, note.pitch, note.velocity))
        score.tracks.append(track)
    return score


def _title(stem: Stem) -> str:
    from pretty_midi import program_to_instrument_name

    return "Drums" if stem.is_drum else program_to_instrument_name(stem.patch.program)


def render_song(song: Song, folder: Path, soundfont: Path, seconds: float | None = None) -> str:
    """Render a song into `folder` (`.../TrackNNNNN`), whole or not at all.

    Parameters
    ----------
    song, folder
        What to render and where.
    soundfont
        As `fix_soundfont` wrote it.
    seconds
        Length of each file; None takes the song's.

    Returns
    -------
    str
        SHA-256 over the PCM of its stems.

    Raises
    ------
    UserError
        If the SoundFont lacks a program, or what it makes is not finite or beyond all measure.
    """
    sampler = Sampler(soundfont)
    score = score_of(song)
    timed = score.to("second")
    n_samples = round((seconds or timed.end() + RING) * SAMPLE_RATE)
    stems, levels = [], []
    for stem, track in zip(song.stems, timed.tracks, strict=True):
        if not stem.rendered:
            continue
        notes = np.array([(note.start, note.duration, note.pitch, note.velocity) for note in track.notes])
        audio = sampler.stem(notes.reshape(-1, 4), stem.patch, stem.is_drum, n_samples)
        if not np.abs(audio).max() < LOUDEST:
            raise UserError(
                f"{song.origin}: {soundfont.name} makes no sound of the program {stem.patch.program}, "
                f"{_title(stem)}, but numbers up to {np.abs(audio).max():g}: choose another SoundFont as data.soundfont"
            )
        level = loudness(audio)
        stems.append(audio * np.float32(10 ** ((LOUDNESS - level) / 20)) if math.isfinite(level) else audio)
        levels.append(level)
    mix = np.sum(stems, axis=0)
    peak = max(float(np.abs(audio).max()) for audio in [mix, *stems])
    gain = 10 ** (TARGET_PEAK / 20) / (peak or 1.0)
    sound: list[bytes] = []
    with replacing(folder) as temporary:
        (temporary / "stems").mkdir(parents=True)
        (temporary / "MIDI").mkdir()
        (temporary / "all_src.mid").write_bytes(score.dumps_midi())
        rendered = iter(zip(stems, levels, strict=True))
        entries = {}
        for i, stem in enumerate(song.stems):
            name = f"S{i:02d}"
            entries[name] = entry = {
                "audio_rendered": stem.rendered,
                "inst_class": stem.inst_class,
                "is_drum": stem.is_drum,
                "midi_program_name": _title(stem),
                "midi_saved": stem.rendered,
                "plugin_name": stem.patch.name if stem.rendered else "None",
                "program_num": 128 if stem.is_drum else stem.patch.program,
            }
            if stem.rendered:
                audio, level = next(rendered)
                entry["integrated_loudness"] = level
                pcm = _pcm(audio * np.float32(gain))
                sound.append(pcm.tobytes())
                (temporary / "stems" / f"{name}.flac").write_bytes(_flac(pcm))
                alone = score.copy()
                alone.tracks = [score.tracks[i]]
                (temporary / "MIDI" / f"{name}.mid").write_bytes(alone.dumps_midi())
        (temporary / "mix.flac").write_bytes(_flac(_pcm(mix * np.float32(gain))))
        metadata = {
            "UUID": song.uuid,
            "audio_dir": f"{folder.name}/stems",
            "lmd_midi_dir": song.origin,
            "midi_dir": f"{folder.name}/MIDI",
            "normalization_factor": LOUDNESS,
            "normalized": True,
            "overall_gain": gain,
            "stems": entries,
            "target_peak": TARGET_PEAK,
        }
        (temporary / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    return bytes_hash(sound)


def _pcm(audio: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(audio * 32767), -32768, 32767).astype(np.int16)


def _flac(pcm: np.ndarray) -> bytes:
    return encode_audio(pcm, SAMPLE_RATE, format="FLAC", subtype="PCM_16", compression_level=0.0)

"""What whole files of the field hold: any level and offset, any encoding and header, any MIDI event."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import soundfile
import yaml
from hypothesis import strategies as st

from tests.midi_bytes import BASS, DRUMS, NOTE, Event, midi, track

RATE = 24000
Sound = np.ndarray  # float64[n_samples, channels]


def with_sample(sound: Sound, share: float, value: float) -> Sound:
    sound = sound.copy()
    place = int(share * len(sound))
    sound[place : place + 1] = value
    return sound


SOUNDS: dict[str, Callable[[Sound, float], Sound]] = {
    "gain": lambda sound, share: sound * 10 ** (12 * share - 9),
    "offset": lambda sound, share: sound + share,
    "opposite channels": lambda sound, share: sound[:, :1] * [[1, -1]],
    "one silent channel": lambda sound, share: sound[:, :1] * [[1, 0]],
    "many channels": lambda sound, share: np.repeat(sound[:, :1], 3 + int(6 * share), axis=1),
    "mono": lambda sound, share: sound[:, :1],
    "silence": lambda sound, share: sound * 0,
    "dither": lambda sound, share: np.sign(sound) / 2**15,
    "not a number": lambda sound, share: with_sample(sound, share, np.nan),
    "infinity": lambda sound, share: with_sample(sound, share, -np.inf),
    "a huge sample": lambda sound, share: with_sample(sound, share, 1e30),
    "late": lambda sound, share: np.roll(sound, int(2400 * share), axis=0),
    "short": lambda sound, share: sound[: int(share**4 * len(sound))],
}


def libsndfile(kind: str, subtype: str, rate: int = RATE) -> Callable[[Sound, float], bytes]:
    def encode(sound: Sound, share: float) -> bytes:
        if subtype not in ("FLOAT", "DOUBLE"):  # encoders may end the process where a sample is no number
            sound = np.clip(np.nan_to_num(sound), -1, 1)
        target = io.BytesIO()
        soundfile.write(target, sound, rate, format=kind, subtype=subtype)
        return target.getvalue()

    return encode


def ffmpeg(codec: str, kind: str, form: str = "fltp", streams: int = 1) -> Callable[[Sound, float], bytes]:
    """The first channel, at 48 kHz, in some streams; cut off after a share of over a half."""

    def encode(sound: Sound, share: float) -> bytes:
        target = io.BytesIO()
        audio = np.clip(np.nan_to_num(sound[:, :1].T), -1, 1).astype(np.float32)
        with av.open(target, "w", format=kind) as container:
            for stream in [container.add_stream(codec, rate=48000, layout="mono") for _ in range(streams)]:
                frame = av.AudioFrame.from_ndarray(audio, format="fltp", layout="mono")
                frame.sample_rate = 48000
                resampler = av.AudioResampler(form, "mono", 48000, frame_size=stream.frame_size or 1024)
                for part in [*resampler.resample(frame), *resampler.resample(None)] if audio.size else []:
                    container.mux(stream.encode(part))
                container.mux(stream.encode(None))
        data = target.getvalue()
        return data[: int(2 * share * len(data))] if share > 0.5 else data

    return encode


def header(sound: Sound, share: float, sizes: tuple[int, int]) -> bytes:
    """A WAV whose header gives these sizes, of the file and of the samples."""
    data = bytearray(libsndfile("WAV", "PCM_16")(sound, share))
    data[4:8], data[40:44] = (struct.pack("<I", size) for size in sizes)
    return bytes(data)


def header_of_less(kind: str, name: bytes, form: str) -> Callable[[Sound, float], bytes]:
    """A header whose length of the samples, after `name`, is a share of what there is."""

    def encode(sound: Sound, share: float) -> bytes:
        data = bytearray(libsndfile(kind, "PCM_16")(sound, share))
        place = data.find(name) + 4
        struct.pack_into(form, data, place, int(share * struct.unpack_from(form, data, place)[0]))
        return bytes(data)

    return encode


def without_length(sound: Sound, share: float) -> bytes:
    data = bytearray(libsndfile("FLAC", "PCM_16")(sound, share))
    if data:
        data[21] &= 0xF0
        data[22:26] = bytes(4)
    return bytes(data)


def twice(encode: Callable[[Sound, float], bytes]) -> Callable[[Sound, float], bytes]:
    """Two files one after the other."""
    return lambda sound, share: encode(sound, share) + encode(sound[: len(sound) // 2], share)


def cut(encode: Callable[[Sound, float], bytes]) -> Callable[[Sound, float], bytes]:
    """A share of a file, and a tag after it."""

    def encoded(sound: Sound, share: float) -> bytes:
        data = encode(sound, share)
        return data[: int(share * len(data))] + b"TAG" + bytes(125)

    return encoded


def chunked(sound: Sound, share: float) -> bytes:
    """A WAV with a chunk of odd size before its samples, and bytes after them."""
    data = libsndfile("WAV", "PCM_24")(sound, share)
    return data[:12] + struct.pack("<4sI", b"bext", 3) + b"abc\0" + data[12:] + b"ID3 and more"


FILES: dict[str, Callable[[Sound, float], bytes]] = {
    **{f"WAV {s}": libsndfile("WAV", s) for s in ("PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")},
    **{f"WAV {s}": libsndfile("WAV", s) for s in ("ULAW", "ALAW", "IMA_ADPCM", "GSM610")},
    **{f"{kind} {s}": libsndfile(kind, s) for kind, s in (("FLAC", "PCM_S8"), ("FLAC", "PCM_24"), ("AIFF", "FLOAT"))},
    **{f"{kind} {s}": libsndfile(kind, s) for kind, s in (("W64", "PCM_16"), ("CAF", "ALAC_24"), ("AU", "PCM_16"))},
    "ogg": libsndfile("OGG", "VORBIS"),
    "opus": libsndfile("OGG", "OPUS"),
    "mp3": libsndfile("MP3", "MPEG_LAYER_III"),
    "a cut mp3": lambda sound, share: libsndfile("MP3", "MPEG_LAYER_III")(sound, share)[: 100 + int(4000 * share)],
    **{f"{rate} Hz": libsndfile("WAV", "FLOAT", rate) for rate in (1, 7, 8000, 11025, 44100, 192000, 10**6, 10**9)},
    **{f"two {s}": twice(libsndfile("OGG", s)) for s in ("VORBIS", "OPUS")},
    "two mp3": twice(libsndfile("MP3", "MPEG_LAYER_III")),
    "two flac": twice(libsndfile("FLAC", "PCM_16")),
    "two rates": lambda sound, share: ffmpeg("aac", "adts")(sound, 0) + ffmpeg("ac3", "ac3")(sound, share),
    **{f"a cut {kind}": cut(libsndfile(kind, "PCM_16")) for kind in ("FLAC", "W64", "CAF", "AU", "RF64")},
    "aac": ffmpeg("aac", "adts"),
    "m4a": ffmpeg("aac", "mp4"),
    "a stem file": ffmpeg("aac", "mp4", streams=3),
    "mp2": ffmpeg("mp2", "mp2", "s16"),
    "webm": ffmpeg("libopus", "webm", "flt"),
    "wma": ffmpeg("wmav2", "asf"),
    "a header of 0 bytes": lambda sound, share: header(sound, share, (0, 0)),
    "a header of a pipe": lambda sound, share: header(sound, share, (2**32 - 1, 2**32 - 1)),
    "a header that says more": lambda sound, share: header(sound, share, (10**6, 10**6)),
    **{
        f"{kind}, a header that says less": header_of_less(kind, name, form)
        for kind, name, form in (("WAV", b"data", "<I"), ("AIFF", b"SSND", ">I"), ("AU", b"\0\0\0\x18", ">I"))
    },
    "no length": without_length,
    "chunks": chunked,
}  # fmt: skip
share = st.floats(0, 1)
sounds = st.tuples(
    st.lists(st.tuples(st.sampled_from(sorted(SOUNDS)), share), max_size=2),
    st.sampled_from(sorted(FILES)),
    share,
)


def sound_file(drawn: tuple[list[tuple[str, float]], str, float]) -> bytes:
    """A second of stereo noise that these ways have changed and encoded; WAV where a format can't hold it."""
    changes, file, extent = drawn
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (RATE, 2))
    for name, much in changes:
        sound = SOUNDS[name](sound, much)
    try:
        return FILES[file](sound, extent)
    except (soundfile.LibsndfileError, ValueError, av.FFmpegError):
        return libsndfile("WAV", "FLOAT")(sound, extent)


TEMPO, METRE, KEY = 0x51, 0x58, 0x59


def meta(kind: int, *data: int) -> Event:
    return 0, [0xFF, kind, len(data), *data]


EVENTS: dict[str, list[Event]] = {
    "bass": BASS,
    "drums": DRUMS,
    "piano": NOTE,
    "a tempo": [meta(TEMPO, 0x0F, 0x42, 0x40)],
    "no tempo": [meta(TEMPO, 0, 0, 0)],
    "a slow tempo": [meta(TEMPO, 0xFF, 0xFF, 0xFF)],
    "half a tempo": [meta(TEMPO, 7)],
    "a metre of nothing": [meta(METRE, 0, 2, 24, 8)],
    "a metre in 256ths": [meta(METRE, 4, 8, 24, 8)],
    "an empty metre": [meta(METRE)],
    "a bad key": [meta(KEY, 99, 7)],
    "text": [meta(1, 0xFF, 0xFE, 0)],
    "a port": [meta(0x21, 3)],
    "no port": [meta(0x21)],
    "strokes without length": [(120, [0x99, 36, 90]), (0, [0x89, 36, 0])] * 3,
    "a note that nothing ends": [(0, [0x91, 40, 90])],
    "an end without a note": [(9, [0x81, 41, 0])],
    "a long pause": [(0x0FFFFFFF, [0x81, 41, 0])],
    "a whistle": [(0, [0xC2, 78]), (0, [0x92, 50, 127]), (480, [0x82, 50, 0])],
    "running status": [(0, [0x93, 50, 90]), (240, [50, 0])],
    "a system exclusive": [(0, [0xF0, 3, 1, 2, 0xF7])],
    "drums on another channel": [
        (0, [0xB4, 0, 120]),
        (0, [0xC4, 0]),
        (0, [0x94, 36, 90]),
        (120, [0x84, 36, 0]),
    ],
    "rhythm by GS": [(0, [0xF0, 10, 0x41, 16, 0x42, 0x12, 0x40, 0x15, 0x15, 2, 0x14, 0xF7]), *NOTE],
    "rhythm by XG": [(0, [0xF0, 8, 0x43, 16, 0x4C, 8, 1, 7, 2, 0xF7]), *BASS],
    "half an exclusive": [(0, [0xF0, 100, 0x43, 16])],
    "a pedal": [(0, [0xB1, 64, 127]), (0, [0x91, 45, 90]), (10, [0x81, 45, 0]), (900, [0xB1, 64, 0])],
    "all notes off": [(100, [0xB1, 123, 0])],
    "all sound off": [(100, [0xB1, 120, 0])],
    "controllers reset": [(100, [0xB1, 121, 0])],
    "a pedal that nothing lifts": [(0, [0xB1, 64, 127]), *BASS],
    "a bend": [(0, [0xE1, 0, 64])],
    "a real-time message": [(0, [0xF8])],
    "an early end": [(0, [0xFF, 0x2F, 0])],
}
DIVISIONS = (480, 1, 0x7FFF, 0, 0xE728, 0xE350, 0xE700)
songs = st.tuples(
    st.lists(st.lists(st.sampled_from(sorted(EVENTS)), max_size=6), min_size=1, max_size=4),
    st.sampled_from(DIVISIONS),
    st.sampled_from((0, 1, 1, 1, 2, 9)),
    st.sampled_from((None, None, 0, 1, 65535)),
)


def midi_file(drawn: tuple[list[list[str]], int, int, int | None]) -> bytes:
    """A MIDI file of these events."""
    tracks, division, kind, n_tracks = drawn
    chunks = [track(*(event for name in names for event in EVENTS[name])) for names in tracks]
    return midi(*chunks, division=division, kind=kind, n_tracks=n_tracks)


STEMS: dict[str, object] = {
    "drums": {"inst_class": "Drums", "audio_rendered": True},
    "upper case": {"inst_class": "BASS", "audio_rendered": True},
    "not rendered": {"inst_class": "Bass", "audio_rendered": False},
    "another class": {"inst_class": "Gongs", "audio_rendered": True},
    "a class of null": {"inst_class": None, "audio_rendered": True},
    "a number": {"inst_class": 7, "audio_rendered": True},
    "rendered by word": {"inst_class": "Bass", "audio_rendered": "yes"},
    "no class": {},
    "a list": ["Bass"],
    "null": None,
}
metadata = st.dictionaries(
    st.sampled_from(["S00", "S01", "S02", "S99", ".S00", "S 0", ""]),
    st.sampled_from(sorted(STEMS)),
    max_size=4,
)


def metadata_file(drawn: dict[str, str]) -> bytes:
    """A track's metadata of these stems."""
    return yaml.safe_dump({"stems": {name: STEMS[kind] for name, kind in drawn.items()}}).encode()


def beside(path: Path) -> None:
    """Put what systems leave behind beside a file."""
    (path.parent / ".ipynb_checkpoints").mkdir()
    (path.parent / ".ipynb_checkpoints" / path.name).write_bytes(b"")
    (path.parent / f"._{path.name}").write_bytes(b"\0\5\x16\7")
    (path.parent / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")


ODD: dict[str, tuple[st.SearchStrategy, Callable[..., bytes]]] = {
    "wav": (sounds, sound_file),
    "flac": (sounds, sound_file),
    "estimate": (sounds, sound_file),
    "stem": (sounds, sound_file),
    "midi": (songs, midi_file),
    "metadata": (metadata, metadata_file),
}

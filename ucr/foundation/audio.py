"""Audio files of any format: by libsndfile, and where it can't or no length is given, by FFmpeg's libraries."""

from __future__ import annotations

import json
import math
import mmap
import re
import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import soundfile

from ucr.foundation.chunks import STREAMED, seconds_after
from ucr.foundation.errors import UserError, check_name, vanished

if TYPE_CHECKING:  # the library is loaded when a file needs it
    import av

CANCELLED = 1 / 4  # energy of the channels' mean, beside what it is of channels that have nothing in common
PADDING = 0.2  # seconds by which encoders' padding may make a file shorter than it announces
BLOCK = 65536  # samples
LOWEST_RATE = 1000  # Hz, so that windows of a twelfth of a second have something to transform
HIGHEST_RATE = 1_500_000  # Hz, so that some seconds fit in memory; there is no music over 768 kHz
UNKNOWN = 2**40  # samples, and beyond: libsndfile's way to say that a header gives no length
OGG_PAGE = 65307  # bytes at most
ASF_PROPERTIES = UUID("8cabdca1-a947-11cf-8ee4-00c00c205365").bytes_le
ASF_BROADCAST = 1  # flag of a file that was written as it was made, before its length was known
STREAMED_LONG = 2**62  # as STREAMED, where a format has room for it
# In libsndfile's notes: what a header says of its samples (of W64 and RF64 of the whole file), and what there is
CUT = re.compile(r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
WAVES = ("WAV", "WAVEX", "RF64")
FLAC = b"fLaC\0\0\0\x22"  # how a FLAC file begins
CHAINED = "Junk after the last page"  # in its notes: another stream follows the one that it reads
STEM_FILES = (".stem.mp4", ".stem.m4a")
# Of the files in a folder that are taken for audio
ENDINGS = {
    ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".ape", ".au", ".caf", ".flac", ".m4a", ".mka", ".mkv", ".mov", ".mp2",
    ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".rf64", ".w64", ".wav", ".webm", ".wma", ".wv",
}  # fmt: skip


class Forward(soundfile.SoundFile):
    """A file read from start to end: soundfile seeks after each read, at which the MP3 decoder loses its state."""

    def seekable(self) -> bool:
        return False


@dataclass
class Opened:
    """An audio file at its first sample.

    Attributes
    ----------
    file
        Reads it; for what libsndfile can't read, a copy that it can.
    n_samples
        How many there are.
    announced
        How many the file says there are; `n_samples` where it says nothing, infinity where it says only that more
        follow.
    """

    file: Forward
    n_samples: int
    announced: float

    @property
    def cut(self) -> bool:
        """Whether the file ends earlier than it says, by more than padding."""
        return self.n_samples < self.announced - PADDING * self.file.samplerate


def open_audio(path: str | Path, stream: int = 0, counted: bool = True) -> Opened:
    """Open an audio file, or one of the audio streams of a file that has several.

    The samples of an MP3, whose header may say more than there are, are counted by decoding it; or else its header is
    taken at its word.

    Raises
    ------
    UserError
        If the file is missing, empty or not audio.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist or is no file: fix the path")
    check_name(path)
    try:
        return _opened(path, stream, counted)
    except (OSError, soundfile.LibsndfileError):
        if path.is_file():
            raise
        raise vanished(path) from None


def _opened(path: Path, stream: int, counted: bool) -> Opened:
    import av

    trouble: Exception | None = None
    file: Forward | None = None
    try:
        if stream == 0:
            file = Forward(str(path))
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        trouble = error
    opened: Opened | None
    frames = file.frames if file is not None and file.frames < UNKNOWN else 0
    if file is not None and file.format in ("AIFF", "AU", "CAF") and (more := _more(path, file)):
        raise UserError(
            f"{path} holds {more:.1f} s more than its header says: convert it by a program that reads it"
        )
    if file is not None and frames and _read_whole(path, file):
        found = _counted(path) if counted and file.format == "MP3" else frames
        announced = _announced(file) if file.format != "OGG" or _ends(path) else math.inf
        opened = Opened(file, found, announced)
    else:
        try:
            opened = _decoded(path, stream, frames, "" if file is None else file.format)
        except (av.FFmpegError, IndexError) as error:
            if file is not None and file.format == "OGG":
                raise UserError(
                    f"{path} holds several streams one after the other, of different rates or channels: "
                    "convert it to one"
                ) from None
            raise damaged(path, error if isinstance(error, av.FFmpegError) else trouble or error) from None
    if opened is None:
        raise damaged(path, trouble) if trouble else UserError(f"{path} holds no audio: replace it")
    if not LOWEST_RATE <= opened.file.samplerate <= HIGHEST_RATE:
        raise UserError(
            f"{path} has a sample rate of {opened.file.samplerate} Hz, which carries no music: replace it"
        )
    return opened


def damaged(path: Path, error: Exception) -> UserError:
    """What to say of a file that turns out to be none, or is gone."""
    if not path.is_file():
        return vanished(path)
    reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or error
    return UserError(f"{path} can't be read as audio ({reason}): it is damaged or not an audio file")


def cut_short(path: Path, opened: Opened) -> str:
    """The sentence on a file that is cut, without a remedy."""
    found, announced = (n / opened.file.samplerate for n in (opened.n_samples, opened.announced))
    if math.isinf(announced):
        return f"{path} breaks off after {found:.1f} s, without the mark of its end"
    return f"{path} holds {found:.1f} of the {announced:.1f} s that it announces"


def check_read(path: Path, opened: Opened, n_samples: int) -> None:
    """Raise `UserError` if reading gave fewer samples than there should be: what is lost may be in the middle."""
    rate = opened.file.samplerate
    if n_samples < opened.n_samples - PADDING * rate:
        raise UserError(
            f"{path} gives {n_samples / rate:.1f} of the {opened.n_samples / rate:.1f} s that it should hold: it is "
            "damaged, replace it"
        )


def own_stems(path: str | Path) -> dict[str, int]:
    """The stems that a stem file (.stem.mp4, .stem.m4a) holds beside its mixture: names, and numbers for `open_audio`.

    A file with several audio streams is one, the first being the mixture. Their names stand in the file, as JSON.
    """
    import av

    try:
        with av.open(str(path), metadata_errors="replace") as container:
            titles = [_title(stream) for stream in container.streams.audio]
    except av.FFmpegError:
        return {}
    if len(titles) < 3:
        return {}
    data = Path(path).read_bytes()
    place = data.find(b"stem{")  # the box `stem` of Native Instruments' format
    names = list(titles)
    if place >= 0:
        try:
            described = json.JSONDecoder().raw_decode(data[place + 4 :].decode("utf-8", "replace"))[0]
            names[1:] = [str(stem["name"]) for stem in described["stems"]][: len(names) - 1]
        except (ValueError, KeyError, TypeError):
            pass
    found: dict[str, int] = {}
    for i in range(1, len(titles)):
        name = re.sub(r"[^a-z0-9_]+", "_", names[i].lower() if i < len(names) else "").strip("_")
        found[name if name and name not in found else f"stem_{i}"] = i
    return found


def _title(stream: av.AudioStream) -> str:
    """The name that a program gave a stream of its file, if it did."""
    handler = stream.metadata.get("handler_name", "")
    return stream.metadata.get("title", "") or (handler if handler != "SoundHandler" else "")


def _read_whole(path: Path, file: Forward) -> bool:
    """Whether libsndfile can read all there is in a file that it has opened.

    It reads the first of several Ogg streams one after the other, of others as much as their headers say, which may be
    less than there is; of FLAC files that are cut, or followed by something else, it can't read the end.
    """
    import av

    if file.format in WAVES:
        return not _more(path, file)

    if file.format == "OGG":
        return CHAINED not in file.extra_info
    try:
        if file.format == "FLAC":
            with path.open("rb") as data, mmap.mmap(data.fileno(), 0, access=mmap.ACCESS_READ) as held:
                if held.find(FLAC, len(FLAC)) > 0:
                    return False
            with Forward(str(path)) as again:
                again.seek(again.frames - 1)
                if len(again.read(2)) != 1:
                    return False
        if file.format in ("FLAC", "MP3"):
            with av.open(str(path), metadata_errors="replace") as container:
                (stream, *_) = container.streams.audio
                ticks = sum(packet.duration or 0 for packet in container.demux(stream))
            return float(ticks * (stream.time_base or 0)) < file.frames / file.samplerate + PADDING
    except (soundfile.LibsndfileError, av.FFmpegError):
        return file.format != "FLAC"
    return True


def _more(path: Path, file: Forward) -> float:
    """Seconds of samples that a header doesn't tell of, 0 if there is hardly anything."""
    seconds = seconds_after(path, file.format, file.frames / file.samplerate)
    return seconds if seconds > PADDING else 0.0


def _announced(file: Forward) -> int:
    """What a header says of samples that are stored as they are; libsndfile corrects it by the file's size."""
    noted = CUT.search(file.extra_info)
    streamed = STREAMED_LONG if file.format in ("W64", "RF64") else STREAMED
    if not noted or int(noted[1]) >= streamed or int(noted[2]) == 0:
        return file.frames
    return round(file.frames * int(noted[1]) / int(noted[2]))


def _ends(path: Path) -> bool:
    """Whether the last page of an Ogg file has the mark of the last one (RFC 3533)."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2 * OGG_PAGE))
        data = file.read()
    return bool(data[data.rfind(b"OggS") + 5] & 4)


def _counted(path: Path) -> int:
    with Forward(str(path)) as file:
        try:
            total = 0
            while n_samples := len(file.read(BLOCK)):
                total += n_samples
            return total
        except soundfile.LibsndfileError as error:
            raise damaged(path, error) from None


def _decoded(path: Path, number: int, frames: int, form: str) -> Opened | None:
    """Decode into a file that is gone when it is closed; None if there is nothing in it.

    `frames` and `form` are libsndfile's length and format, 0 and empty where it can't tell.
    """
    import av

    options = {"ignore_length": "1"} if form in WAVES else {}
    announced = frames if form == "FLAC" else 0
    with (
        av.open(str(path), metadata_errors="replace", options=options) as container,
        NamedTemporaryFile(suffix=".wav") as copy,
    ):
        stream = container.streams.audio[number]
        rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
        if not rate or not channels:
            return None
        duration = _duration(path, container, stream, rate)
        blocks = _trimmed(_blocks(container, stream), duration, round(PADDING * rate))
        written = write_blocks(Path(copy.name), rate, channels, blocks)
        if not written:
            return None
        cut = container.format.name == "ogg" and not _ends(path)
        if (
            number == 0 and len(container.streams.audio) == 2
        ):  # with more, the first is the mixture of a stem file
            _warn_once(f"{path} has two audio streams: the first is read")
        return Opened(Forward(copy.name), written, math.inf if cut else announced or duration or written)


@cache
def _warn_once(sentence: str) -> None:
    """Files are opened more than once, to check them and to read them."""
    print(f"warning: {sentence}", file=sys.stderr)


def write_blocks(path: Path, sample_rate: int, channels: int, blocks: Iterable[np.ndarray]) -> int:
    """Write float32[any length, channels] after each other as RF64; returns how many samples.

    Raises
    ------
    UserError
        If the disk is full, which libsndfile may pass over.
    """
    written = 0
    with soundfile.SoundFile(path, "w", sample_rate, channels, "FLOAT", format="RF64") as file:
        for block in blocks:
            file.write(block)
            written += len(block)
    if path.stat().st_size < 4 * written * channels:
        raise UserError(f"{path} can't be written: free space on its disk, or set TMPDIR to another folder")
    return written


def _trimmed(blocks: Iterable[np.ndarray], announced: int, padding: int) -> Iterator[np.ndarray]:
    """The blocks without what the last packet pads them by beyond the samples that are announced, 0 if none are."""
    kept = 0
    for block in blocks:
        over = kept + len(block) - announced
        if announced and 0 < over < padding:
            block = block[: max(len(block) - over, 0)]
        kept += len(block)
        yield block


def _duration(path: Path, container: av.container.InputContainer, stream: av.AudioStream, rate: int) -> int:
    """Samples, as a container with an index or a length says; 0 for others, whose length would be a guess."""
    import av

    kinds = set(container.format.name.split(","))
    if "caf" in kinds:
        return round(_caf_share(path) * float((stream.duration or 0) * (stream.time_base or 0)) * rate)
    if kinds & {"mov", "wv", "tta", "ape"} and stream.duration and stream.time_base:
        return round(float(stream.duration * stream.time_base) * rate)
    if "asf" in kinds:
        return round(_asf_seconds(path) * rate)
    if kinds & {"matroska", "flv"} and container.duration:
        return round(container.duration / av.time_base * rate)
    return 0


def _caf_share(path: Path) -> float:
    """How much there should be of a CAF file's samples, beside what there is; FFmpeg tells the latter's duration."""
    size = path.stat().st_size
    with path.open("rb") as file:
        place = 8
        while place + 12 <= size:
            file.seek(place)
            name, length = struct.unpack(">4sq", file.read(12))
            if name == b"data":
                return max(1.0, length / (size - place - 12))
            if length < 0:
                break
            place += 12 + length
    return 1.0


def _asf_seconds(path: Path) -> float:
    """How long a WMA file says it is, 0 if it doesn't; of one that is cut FFmpeg guesses from its size.

    From the file properties object (Microsoft, Advanced Systems Format specification, 2004, 3.2).
    """
    with path.open("rb") as file:
        data = file.read(BLOCK)
    place = data.find(ASF_PROPERTIES)
    if place < 0 or place + 92 > len(data):
        return 0.0
    played, _, preroll, flags = struct.unpack_from("<QQQI", data, place + 64)
    return 0.0 if flags & ASF_BROADCAST else max(0.0, played / 1e7 - preroll / 1e3)


def _blocks(container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[np.ndarray]:
    """float32[any length, channels], at the stream's first rate and with its first channels, whatever follows."""
    import av

    rate, layout = stream.codec_context.sample_rate, stream.codec_context.layout
    resampler, form = None, None
    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                if container.format.name == "mp3":  # tags, where files were joined
                    continue
                break
            for frame in frames:
                found = (frame.format.name, frame.layout.name, frame.sample_rate)
                if found != form:  # at the beginning, and where files of different kinds were joined
                    yield from _resampled(resampler, None)
                    resampler, form = av.AudioResampler(format="flt", layout=layout, rate=rate), found
                yield from _resampled(resampler, frame)
    except av.InvalidDataError:
        pass  # the file is cut there
    yield from _resampled(resampler, None)


def _resampled(resampler: av.AudioResampler | None, frame: av.AudioFrame | None) -> Iterator[np.ndarray]:
    """What a resampler gives for a frame, or at the end."""
    if resampler is None or (frame is None and resampler.is_passthrough):  # type: ignore[attr-defined]
        return
    for block in resampler.resample(frame):
        yield block.to_ndarray().reshape(block.samples, -1)


def one_channel(audio: np.ndarray) -> tuple[np.ndarray, bool]:
    """One channel of float32[channels, n_samples]: their mean, or the loudest one where they cancel in it.

    Returns
    -------
    float32[n_samples]
    bool
        Whether they cancel.
    """
    if len(audio) == 1:
        return audio[0], False
    mean = audio.mean(axis=0)
    energies = np.square(audio, dtype=np.float64).sum(axis=1)
    unrelated = energies.sum() / len(audio) ** 2
    cancels = bool(np.square(mean, dtype=np.float64).sum() < CANCELLED * unrelated)
    return (audio[energies.argmax()] if cancels else mean), cancels

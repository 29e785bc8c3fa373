"""What real files do, through the program: levels, offsets, opposite channels, files cut short, FFmpeg's formats."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from tests.ucr.program.helpers import make_song
from tests.ucr.program.test_program import read, run
from ucr.foundation.files import read_audio

RATE = 44100


def sources(seconds: float = 7.0) -> np.ndarray:
    """Clicks, and a tone that changes: float64[2, n_samples]."""
    rng = np.random.default_rng(0)
    time = np.arange(round(seconds * RATE)) / RATE
    clicks = 0.2 * rng.normal(size=len(time)) * np.exp(-25 * (time % 0.5))
    tone = 0.15 * np.sin(2 * np.pi * np.cumsum(rng.choice([65, 82, 98], 40).repeat(RATE)[: len(time)]) / RATE)
    return np.stack([clicks, tone])


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    target = (reference @ estimate) / (reference @ reference) * reference
    return 10 * np.log10((target @ target) / ((estimate - target) @ (estimate - target)))


def scores(folder: Path, channels: np.ndarray, method: str = "ucr_pretrained") -> list[float]:
    """SI-SDR of the stems of float64[channels, n_samples], through the command line, of the first channel."""
    soundfile.write(str(folder / "song.wav"), channels.T, RATE, subtype="FLOAT")
    arguments = ["separate", folder / "song.wav", "-o", folder / "stems", "--method", method]
    assert run(*arguments, "--task", "drums+bass") == 0
    stems = [read(path)[0][:, 0].astype(float) for path in sorted((folder / "stems" / "song").iterdir())]
    stems = stems if method != "ucr_pretrained" else stems[::-1]  # bass, drums
    return max(
        ([si_sdr(*pair) for pair in zip(sources(), order, strict=True)] for order in (stems, stems[::-1])),
        key=sum,
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> list[float]:
    found = scores(tmp_path_factory.mktemp("plain"), sources().sum(axis=0)[None])
    assert min(found) > 8
    return found


@pytest.mark.parametrize("level", [-100, -80, 20])
def test_quality_does_not_depend_on_level(tmp_path, plain, level):
    assert scores(tmp_path, 10 ** (level / 20) * sources().sum(axis=0)[None]) == pytest.approx(
        plain, abs=0.01
    )


@pytest.mark.parametrize("offset", [0.02, -0.05, 0.1])
def test_a_constant_offset_changes_no_score(tmp_path, plain, offset):
    assert scores(tmp_path, sources().sum(axis=0)[None] + offset) == pytest.approx(plain, abs=0.1)


def test_opposite_channels_are_separated_and_named(tmp_path, plain, capsys):
    song = sources().sum(axis=0)
    assert scores(tmp_path, np.stack([song, -song])) == pytest.approx(plain, abs=0.1)
    assert capsys.readouterr().err.count("song.wav: the channels are opposite and cancel in their mean") == 1
    left, right = read(tmp_path / "stems" / "song" / "drums.wav")[0].T
    np.testing.assert_allclose(left, -right, atol=1e-6)


def test_ordinary_stereo_is_heard_in_its_mean(tmp_path, capsys):
    song = sources().sum(axis=0)
    scores(tmp_path, np.stack([song, np.random.default_rng(1).permutation(song)]))
    scores(tmp_path, np.stack([song, 0 * song]))
    assert "opposite" not in capsys.readouterr().err


def encode(path: Path, *streams: np.ndarray, codec: str, **options) -> Path:
    """Write float64[channels, n_samples] each as an audio stream, by FFmpeg's libraries."""
    with av.open(str(path), "w", options=options) as container:
        outputs = [container.add_stream(codec, rate=RATE, layout="stereo") for _ in streams]
        for audio, output in zip(streams, outputs, strict=True):
            output.bit_rate = 192_000
            planes = np.ascontiguousarray(np.broadcast_to(audio, (2, audio.shape[-1])), dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            resampler = av.AudioResampler(
                output.format.name, "stereo", RATE, frame_size=output.codec_context.frame_size or 1024
            )
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(output.encode(part))
            container.mux(output.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("song.m4a", "aac"),
        ("song.mka", "aac"),
        ("song.wma", "wmav2"),
        ("song.aac", "aac"),
    ],
)
def test_what_ffmpeg_reads_is_separated(tmp_path, name, codec):
    audio = sources(3.0).sum(axis=0)
    path = encode(tmp_path / name, audio[None], codec=codec)
    assert run("separate", path, "-o", tmp_path / "stems") == 0
    (drums, rate), (bass, _) = (
        read(tmp_path / "stems" / "song" / f"{stem}.wav") for stem in ("drums", "bass")
    )
    assert rate == RATE
    heard = (drums + bass)[:, 0]
    assert abs(len(heard) - len(audio)) < 0.1 * RATE
    lag = int(np.correlate(heard[RATE : 2 * RATE], audio[RATE : 2 * RATE], "full").argmax()) - RATE + 1
    assert abs(lag) <= 2048
    assert si_sdr(audio[RATE : 2 * RATE], heard[RATE + lag : 2 * RATE + lag].astype(float)) > 8


def test_an_m4a_has_the_song_s_length(tmp_path):
    audio = sources(3.0).sum(axis=0)
    assert read_audio(encode(tmp_path / "song.m4a", audio[None], codec="aac"))[0].shape == (2, len(audio))


def cut(path: Path, share: float = 0.5) -> Path:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    return path


@pytest.mark.parametrize("ending", ["mp3", "wav", "aiff", "m4a"])
def test_a_song_cut_short_is_refused_unless_that_is_allowed(tmp_path, capfd, ending):
    if ending == "m4a":
        path = encode(tmp_path / "song.m4a", sources().sum(axis=0)[None], codec="aac", movflags="+faststart")
    else:
        path = make_song(tmp_path / f"song.{ending}", 7.0)
    cut(path)
    assert run("separate", path, "-o", tmp_path / "stems") == 1
    error = capfd.readouterr().err
    assert f"song.{ending} holds 3." in error
    assert "of the 7.0 s that it announces: get it whole, or allow it (--allow-truncated)" in error
    assert not (tmp_path / "stems").exists()
    assert run("separate", path, "-o", tmp_path / "stems", "--allow-truncated") == 0
    error = capfd.readouterr().err
    assert error.count("warning: ") == 1
    assert "that it announces" in error
    assert 3 < len(read(tmp_path / "stems" / "song" / "drums.wav")[0]) / RATE < 4


@pytest.mark.parametrize("ending", ["w64", "au", "rf64", "caf", "flac"])
def test_every_format_that_says_how_long_it_is_tells_that_it_is_cut(tmp_path, capfd, ending):
    path = tmp_path / f"song.{ending}"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, (3 * 8000, 2)), 8000, "PCM_16")
    cut(path, 0.6)
    assert run("separate", path, "-o", tmp_path / "stems") == 1
    assert f"song.{ending} holds 1." in (error := capfd.readouterr().err)
    assert "of the 3.0 s that it announces: get it whole, or allow it" in error
    assert run("separate", path, "-o", tmp_path / "stems", "--allow-truncated") == 0


def wma(path: Path) -> bytearray:
    return bytearray(encode(path, sources(5.0).sum(axis=0)[None], codec="wmav2").read_bytes())


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_wma_file_that_is_cut_tells_its_own_length(tmp_path, capfd, share):
    """FFmpeg guesses it from the size, in which a WMA file's bit rate may be far from the header's."""
    path = tmp_path / "song.wma"
    path.write_bytes(wma(path)[: int(share * path.stat().st_size)])
    assert run("separate", path, "-o", tmp_path / "stems") == 1
    assert "of the 5.0 s that it announces: get it whole" in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["with a tag", "live"])
def test_a_whole_wma_file_is_not_cut(tmp_path, kind):
    path = tmp_path / "song.wma"
    data = wma(path)
    if kind == "live":
        data[data.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")) + 88] |= 1
    path.write_bytes(data + b"TAG" + bytes(200000))
    assert run("separate", path, "-o", tmp_path / "stems", "--method", "mixture") == 0
    assert len(read_audio(path)[0][0]) == pytest.approx(5 * RATE, abs=2048)


def header_of_half(kind: str, sound: np.ndarray) -> bytes:
    """A file whose header tells of half its samples."""
    target = io.BytesIO()
    soundfile.write(target, sound, RATE, "MPEG_LAYER_III" if kind == "MP3" else "PCM_16", format=kind)
    data, half = bytearray(target.getvalue()), sound.size  # bytes
    if kind == "MP3":
        place = max(data.find(b"Xing"), data.find(b"Info")) + 8
        struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] // 2)
    elif kind == "FLAC":
        packed = struct.unpack_from(">Q", data, 18)[0]
        struct.pack_into(">Q", data, 18, packed - (packed & 0xFFFFFFFFF) + len(sound) // 2)
    elif kind == "RF64":
        struct.pack_into("<QQ", data, data.find(b"ds64") + 16, half, len(sound) // 2)
    elif kind == "AU":
        struct.pack_into(">I", data, 8, half)
    elif kind == "AIFF":
        struct.pack_into(">I", data, data.find(b"SSND") + 4, half + 8)
    elif kind == "CAF":
        struct.pack_into(">q", data, data.find(b"data") + 4, half + 4)
    else:
        struct.pack_into("<I", data, data.find(b"data") + 4, half)
    return bytes(data)


def noise_of(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (round(seconds * RATE), 2))


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64", "FLAC", "MP3"])
def test_what_a_header_does_not_tell_of_is_read(tmp_path, kind):
    path, sound = tmp_path / "song.wav", noise_of(6.0)
    path.write_bytes(header_of_half(kind, sound))
    assert run("separate", path, "-o", tmp_path / "stems", "--method", "mixture") == 0
    heard, stem = read_audio(path)[0].T, read(tmp_path / "stems" / "song" / "component_0.wav")[0]
    assert len(heard) == len(stem) == pytest.approx(len(sound), abs=1152)
    if kind != "MP3":
        np.testing.assert_allclose(heard, sound, atol=2**-15)


@pytest.mark.parametrize("n_channels", [1, 3, 8, 9, 12])
def test_any_number_of_channels_is_read_by_ffmpeg_too(tmp_path, n_channels):
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (4 * RATE, n_channels))
    (tmp_path / "song.wav").write_bytes(header_of_half("WAV", sound))
    np.testing.assert_allclose(read_audio(tmp_path / "song.wav")[0], sound.T, atol=2**-15)


@pytest.mark.parametrize("kind", ["AIFF", "AU", "CAF"])
def test_what_a_header_does_not_tell_of_is_named(tmp_path, capsys, kind):
    path = tmp_path / "song.wav"
    path.write_bytes(header_of_half(kind, noise_of(6.0)))
    assert run("separate", path, "-o", tmp_path / "stems") == 1
    assert "song.wav holds 3.0 s more than its header says: convert it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more",
    [b"LIST" + struct.pack("<I", 500000) + bytes(500000), b"ID3\x04" + bytes(500000), bytes(400), b"TAG"],
)
def test_what_follows_the_samples_is_no_sound(tmp_path, more):
    soundfile.write(tmp_path / "song.wav", noise_of(3.0), RATE, "PCM_16")
    with (tmp_path / "song.wav").open("ab") as file:
        file.write(more)
    assert read_audio(tmp_path / "song.wav")[0].shape == (2, 3 * RATE)


@pytest.mark.parametrize("padding", [b"\0", b""])
def test_a_chunk_after_samples_of_odd_length_is_no_sound(tmp_path, padding):
    """libsndfile 331 and 887: some programs leave the byte out that makes a chunk's length even."""
    soundfile.write(tmp_path / "song.wav", noise_of(1.0)[:-1, 0], RATE, "PCM_24")
    data = (tmp_path / "song.wav").read_bytes()
    data = data[: 44 + 3 * (RATE - 1)] + padding + b"LIST" + struct.pack("<I", 100000) + bytes(100000)
    (tmp_path / "song.wav").write_bytes(data)
    assert read_audio(tmp_path / "song.wav")[0].shape == (1, RATE - 1)


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize(
    ("ending", "codec"),
    [("ogg", "VORBIS"), ("ogg", "OPUS"), ("mp3", "MPEG_LAYER_III"), ("flac", "PCM_16")],
)
def test_files_one_after_the_other_are_read_to_the_end(tmp_path, ending, codec):
    """Ogg has it so (RFC 3533, chained streams); others are joined by `cat`."""
    parts = [tmp_path / f"{name}.{ending}" for name in "ab"]
    for part, audio in zip(parts, sources(2.0), strict=True):
        soundfile.write(part, audio, 48000, codec)
    path = joined(tmp_path / f"song.{ending}", *parts)
    assert run("separate", path, "-o", tmp_path / "stems") == 0
    audio, rate = read(tmp_path / "stems" / "song" / "drums.wav")
    assert len(audio) / rate == pytest.approx(sum(soundfile.info(part).duration for part in parts), abs=0.1)


def test_what_follows_a_flac_costs_nothing(tmp_path):
    path = tmp_path / "song.flac"
    soundfile.write(path, sources(2.0).sum(axis=0), RATE)
    path.write_bytes(path.read_bytes() + b"TAG" + bytes(125))
    assert run("separate", path, "-o", tmp_path / "stems") == 0
    assert len(read(tmp_path / "stems" / "song" / "drums.wav")[0]) == 2 * RATE


def test_a_change_of_channels_and_rate_midway_is_taken_along(tmp_path):
    stereo = encode(tmp_path / "a.aac", sources(2.0), codec="aac")
    with av.open(str(tmp_path / "b.aac"), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        for part in av.AudioResampler("fltp", "mono", 48000, frame_size=1024).resample(frame):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    path = joined(tmp_path / "song.aac", stereo, tmp_path / "b.aac")
    assert run("separate", path, "-o", tmp_path / "stems") == 0
    audio, rate = read(tmp_path / "stems" / "song" / "drums.wav")
    assert (rate, audio.shape[1]) == (RATE, 2)
    assert len(audio) / rate == pytest.approx(3.0, abs=0.15)


def test_a_damaged_middle_is_no_shorter_song(tmp_path, capsys):
    path = tmp_path / "song.ogg"
    soundfile.write(path, sources(6.0).sum(axis=0), RATE, "VORBIS", format="OGG")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 5000] = np.random.default_rng(0).bytes(5000)
    path.write_bytes(data)
    assert run("separate", path, "-o", tmp_path / "stems") == 1
    assert "of the 6.0 s that it should hold: it is damaged, replace it" in capsys.readouterr().err
    assert not (tmp_path / "stems").exists()


@pytest.mark.parametrize(("n_channels", "sounding"), [(6, [2]), (6, [0, 1]), (8, [4])])
def test_silent_channels_do_not_make_the_others_cancel(tmp_path, plain, capsys, n_channels, sounding):
    channels = np.zeros((n_channels, 1)) + np.isin(np.arange(n_channels), sounding)[:, None]
    song = channels * sources().sum(axis=0)
    soundfile.write(tmp_path / "song.wav", song.T, RATE, subtype="FLOAT")
    arguments = ["separate", tmp_path / "song.wav", "-o", tmp_path / "stems"]
    assert run(*arguments, "--task", "drums+bass") == 0
    assert "opposite" not in capsys.readouterr().err
    for source, name, score in zip(sources(), ("drums", "bass"), plain, strict=True):
        stem = read(tmp_path / "stems" / "song" / f"{name}.wav")[0][:, sounding[0]].astype(float)
        assert si_sdr(source, stem) == pytest.approx(score, abs=0.01)


def test_a_name_that_is_not_utf_8(tmp_path, song, capsys):
    path = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    shutil.copy(song, path)
    assert run("separate", os.fsdecode(path), "-o", tmp_path / "stems") == 1
    assert r"caf\xe9.wav' is not UTF-8: rename the file or its folder" in capsys.readouterr().err


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
def test_an_ogg_file_without_its_last_page_is_cut(tmp_path, capfd, codec):
    path = tmp_path / "song.ogg"
    soundfile.write(path, sources(6.0).sum(axis=0), 48000, codec, format="OGG")
    assert run("separate", path, "-o", tmp_path / "whole") == 0
    cut(path)
    assert run("separate", path, "-o", tmp_path / "stems") == 1
    assert (
        "s, without the mark of its end: get it whole, or allow it (--allow-truncated)"
        in capfd.readouterr().err
    )
    assert run("separate", path, "-o", tmp_path / "stems", "--allow-truncated") == 0


def test_tags_in_an_old_encoding(tmp_path):
    path = make_song(tmp_path / "song.wav", 3.0)
    info = b"INFO" + struct.pack("<4sI", b"INAM", 6) + "Café\0\0".encode("latin-1")
    path.write_bytes(path.read_bytes() + struct.pack("<4sI", b"LIST", len(info)) + info)
    with pytest.raises(UnicodeDecodeError), av.open(str(path)):
        pass
    assert run("separate", path, "-o", tmp_path / "stems") == 0


@pytest.mark.parametrize("rate", [7, 10**9])
def test_a_rate_that_carries_no_music_is_named(tmp_path, capsys, rate):
    soundfile.write(tmp_path / "song.wav", np.zeros(100), rate)
    assert run("separate", tmp_path / "song.wav", "-o", tmp_path / "stems") == 1
    assert f"song.wav has a sample rate of {rate} Hz, which carries no music" in capsys.readouterr().err


def test_a_whole_mp3_is_not_cut(tmp_path, capfd):
    assert run("separate", make_song(tmp_path / "song.mp3", 3.0), "-o", tmp_path / "stems") == 0
    assert "announces" not in capfd.readouterr().err


def without_length(path: Path) -> Path:
    """A FLAC or WAV file as a program writes it into a pipe."""
    data = bytearray(path.read_bytes())
    if (
        path.suffix == ".flac"
    ):  # STREAMINFO begins after "fLaC" and a block header; 36 bits of length, and an MD5
        data[8 + 13] &= 0xF0
        data[8 + 14 : 8 + 34] = bytes(20)
    else:
        place = data.find(b"data")
        data[place + 4 : place + 8] = bytes(4)
        data[4:8] = bytes(4)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("ending", ["flac", "wav"])
def test_a_header_without_a_length(tmp_path, ending):
    whole = make_song(tmp_path / f"song.{ending}", 3.0)
    expected = read(whole)[0]
    assert run("separate", without_length(whole), "-o", tmp_path / "stems") == 0
    stems = list((tmp_path / "stems" / "song").iterdir())
    assert stems[0].read_bytes()[:4] == b"RIFF"
    assert np.abs(sum(read(stem)[0] for stem in stems) - expected).max() < 1e-4


def stem_file(path: Path) -> Path:
    """A mixture of drums and bass and these, named as Native Instruments' stem files name them."""
    clicks, tone = sources(3.0)
    encode(path, (clicks + tone)[None], clicks[None], tone[None], codec="aac")
    described = json.dumps({"version": 1, "stems": [{"name": "Drums"}, {"name": "Bass"}]}).encode()
    path.write_bytes(path.read_bytes() + struct.pack(">I4s", 8 + len(described), b"stem") + described)
    return path


def test_a_stem_file_s_own_stems_are_offered_for_scoring(tmp_path, capsys):
    path = stem_file(tmp_path / "song.stem.mp4")
    assert run("separate", path, "-o", tmp_path / "stems") == 0
    assert (
        "song.stem.mp4 holds stems of its own, drums, bass: `ucr unpack` writes them"
        in capsys.readouterr().err
    )
    assert run("unpack", path, "-o", tmp_path / "references") == 0
    assert capsys.readouterr().out.splitlines() == [
        str(tmp_path / "references" / "song.stem" / f"{name}.wav") for name in ("drums", "bass")
    ]
    for name, source in zip(("drums", "bass"), sources(3.0), strict=True):
        true = read(tmp_path / "references" / "song.stem" / f"{name}.wav")[0][:, 0].astype(float)
        assert len(true) == len(read(tmp_path / "stems" / "song.stem" / f"{name}.wav")[0])
        assert si_sdr(source, true) > 5


def test_a_song_without_stems_of_its_own_says_so(tmp_path, song, capsys):
    assert run("unpack", song, "-o", tmp_path / "references") == 1
    assert "song.wav holds no stems of its own: name a stem file" in capsys.readouterr().err


def test_of_two_audio_streams_the_first_is_read_and_that_is_said(tmp_path, capsys):
    clicks, tone = sources(3.0)
    path = encode(tmp_path / "film.mp4", (clicks + tone)[None], tone[None], codec="aac")
    assert run("separate", path, "-o", tmp_path / "stems") == 0
    assert capsys.readouterr().err.count("film.mp4 has two audio streams: the first is read") == 1
    stems = sum(read(stem)[0] for stem in (tmp_path / "stems" / "film").iterdir())
    assert si_sdr(clicks + tone, stems[:, 0].astype(float)) > 10


def test_what_is_no_audio_at_all(tmp_path, capsys):
    (tmp_path / "song.m4a").write_text("nothing")
    assert run("separate", tmp_path / "song.m4a", "-o", tmp_path / "stems") == 1
    assert "song.m4a can't be read as audio" in capsys.readouterr().err

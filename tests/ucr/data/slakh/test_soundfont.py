"""The fixed SoundFont: symusic plays it in tune, and to the end."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ucr.data.slakh.render import SAMPLE_RATE, Sampler, default_soundfont
from ucr.data.slakh.soundfont import fix_soundfont
from ucr.foundation.errors import UserError

ROOT = Path(__file__).resolve().parents[4]
DEBIAN = sorted({path.resolve() for path in Path("/usr/share/sounds").glob("sf[23]/*.sf[23]")}) or [
    Path("none")
]
RATE, NOISE, SINE = (
    44100,
    1000,
    4410,
)  # of the SoundFont below: samples of noise, then so many of a sine of 441 Hz


@pytest.fixture(scope="module")
def soundfont(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("soundfont") / "fixed.sf2"
    fix_soundfont(default_soundfont(), path)
    return path


def strongest_frequency(audio: np.ndarray, low: float, high: float) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 8 * len(audio)))
    frequencies = np.fft.rfftfreq(8 * len(audio), 1 / SAMPLE_RATE)
    inside = (frequencies > low) & (frequencies < high)
    return frequencies[inside][spectrum[inside].argmax()]


@pytest.mark.parametrize("program", [0, 4, 24, 25, 27, 32, 33, 34, 35, 38, 48, 73])
@pytest.mark.parametrize("pitch", [40, 57, 69])
def test_notes_sound_at_their_pitch(soundfont, program, pitch):
    audio = Sampler(soundfont).sample(program, False, pitch, 1.0)
    right = 440 * 2 ** ((pitch - 69) / 12)
    # over an octave about the right one: no other partial lies inside
    heard = strongest_frequency(audio, right / 1.6, right * 1.6)
    assert abs(12 * np.log2(heard / right)) < 0.35


def test_a_tuned_drum_sounds_lower(soundfont):
    sampler = Sampler(soundfont)
    plain, low = (strongest_frequency(sampler.sample(0, True, 36, 0.3, tune), 20, 200) for tune in (0, -5))
    assert 12 * np.log2(plain / low) == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize("kit", [0, 8, 24, 48])
def test_snares_ring(soundfont, kit):
    audio = Sampler(soundfont).sample(kit, True, 38, 0.5)
    late = audio[round(0.03 * SAMPLE_RATE) : round(0.05 * SAMPLE_RATE)]
    assert np.abs(late).max() > 0.01


@pytest.mark.parametrize(
    "content", [b"", b"junk" * 20, struct.pack("<4sI4s", b"RIFF", 100, b"sfbk") + b"LIST" + b"\xff" * 12]
)
def test_what_is_no_soundfont_is_refused_by_name(tmp_path, content):
    (tmp_path / "odd.sf2").write_bytes(content)
    with pytest.raises(UserError, match=r"odd\.sf2 is no SoundFont 2 file"):
        fix_soundfont(tmp_path / "odd.sf2", tmp_path / "fixed.sf2")
    assert not (tmp_path / "fixed.sf2").exists()


def test_a_missing_soundfont_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.sf2 does not exist"):
        fix_soundfont(tmp_path / "none.sf2", tmp_path / "fixed.sf2")


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", name, len(body)) + body


def a_soundfont(
    path: Path, *zones: dict[int, int], presets=((0, 0), (128, 0)), vorbis=False, **header
) -> Path:
    """One instrument of these zones in every preset (bank, program); its sample is a sine, whose key is 69 + 2 cents.

    Before and after the sine there is noise, which no zone should play.
    """
    noise = np.random.default_rng(0).uniform(-1, 1, NOISE)
    sine = 0.5 * np.sin(2 * np.pi * 441 / RATE * np.arange(SINE))
    pcm = (32767 * np.concatenate([noise, sine, noise])).astype("<i2")
    data, kind = pcm.tobytes(), 1
    place = {
        "start": NOISE,
        "end": NOISE + SINE,
        "loop_start": NOISE + 1000,
        "loop_end": NOISE + 3000,
    } | header
    if vorbis:
        encoded = io.BytesIO()
        soundfile.write(encoded, np.tile(pcm[NOISE:-NOISE], 10), RATE, format="OGG", subtype="VORBIS")
        data, kind = encoded.getvalue() + b"\0" * (len(encoded.getvalue()) % 2), 0x11
        place = {"start": 0, "end": len(encoded.getvalue()), "loop_start": 1000, "loop_end": 3000}
    generators = [[*zone.items(), (53, 0)] for zone in zones]
    bags = np.cumsum([0, *map(len, generators)]).tolist()
    heads = [
        struct.pack("<20sHHHIII", b"p", number, bank, i, 0, 0, 0) for i, (bank, number) in enumerate(presets)
    ]
    heads.append(struct.pack("<20sHHHIII", b"EOP", 0, 0, len(presets), 0, 0, 0))
    tables = {
        b"phdr": b"".join(heads),
        b"pbag": b"".join(struct.pack("<HH", i, 0) for i in range(len(presets) + 1)),
        b"pmod": bytes(10),
        b"pgen": struct.pack("<HH", 41, 0) * len(presets) + bytes(4),
        b"inst": struct.pack("<20sH", b"i", 0) + struct.pack("<20sH", b"EOI", len(zones)),
        b"ibag": b"".join(struct.pack("<HH", first, 0) for first in bags),
        b"imod": bytes(10),
        b"igen": b"".join(
            struct.pack("<HH", key, value & 0xFFFF) for zone in generators for key, value in zone
        )
        + bytes(4),
        b"shdr": struct.pack("<20sIIIIIBbHH", b"s", *place.values(), RATE, 69, -4, 0, kind) + bytes(46),
    }
    body = b"sfbk" + chunk(b"LIST", b"INFO" + chunk(b"ifil", struct.pack("<HH", 3 if vorbis else 2, 1)))
    body += chunk(b"LIST", b"sdta" + chunk(b"smpl", data))
    body += chunk(b"LIST", b"pdta" + b"".join(chunk(*table) for table in tables.items()))
    path.write_bytes(chunk(b"RIFF", body))
    return path


LOOPED = {54: 1, 33: -12000, 38: -12000}


@pytest.mark.parametrize(
    ("zone", "key", "right"),
    [
        (LOOPED, 69, 440),
        (LOOPED | {2: -900}, 69, 440),  # the loop begins earlier
        (LOOPED | {2: 1500, 3: 1300}, 69, 440),  # it ends later
        (LOOPED | {2: -500, 3: -2100}, 69, 440),  # it ends before where it began
        (LOOPED | {45: 1, 50: 1, 2: -32768, 3: -32768}, 69, 440),  # coarse offsets, taken back
        (LOOPED | {0: -32000, 4: 1, 1: -768 - 100, 12: 0}, 69, 440),
        (LOOPED | {51: 12}, 69, 880),
        (LOOPED | {51: -24}, 69, 110),
        (LOOPED | {52: 99, 51: 1}, 69, 440 * 2 ** (199 / 1200)),
        (LOOPED | {58: 57}, 69, 880),
        (LOOPED | {56: 0}, 80, 440),  # every key sounds alike
        (LOOPED | {56: 50}, 81, 440 * 2**0.5),
        (LOOPED | {46: 81}, 50, 880),  # every key sounds as this one
        ({54: 0, 37: 0}, 69, 440),
    ],
)
def test_offsets_and_tuning_are_those_of_the_format(tmp_path, zone, key, right):
    fix_soundfont(a_soundfont(tmp_path / "odd.sf2", zone), tmp_path / "fixed.sf2")
    audio = Sampler(tmp_path / "fixed.sf2").sample(0, False, key, 0.9)
    audio = audio[: round(0.09 * SAMPLE_RATE)] if zone[54] == 0 else audio[: round(0.9 * SAMPLE_RATE)]
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
    frequencies = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE)
    near = np.abs(frequencies - right) < 4 / 0.09
    assert spectrum[near].sum() > 0.999 * spectrum[frequencies > 20].sum()  # no noise
    heard = strongest_frequency(audio, right / 1.2, right * 1.2)
    assert abs(12 * np.log2(heard / right)) < 0.1


def test_zones_of_one_sample_keep_their_own_tuning_and_level(tmp_path):
    low, high = LOOPED | {43: 60 << 8, 51: -12, 48: 200}, LOOPED | {43: 60 << 8}
    fix_soundfont(a_soundfont(tmp_path / "odd.sf2", low, high), tmp_path / "fixed.sf2")
    audio = Sampler(tmp_path / "fixed.sf2").sample(0, False, 57, 0.9)
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), RATE))
    octave_below, itself = spectrum[105:115].max(), spectrum[215:225].max()
    assert octave_below > 0.1 * itself
    assert octave_below < 0.95 * itself


def test_a_loop_too_short_to_hear_and_a_sample_outside_the_file(tmp_path):
    fix_soundfont(
        a_soundfont(tmp_path / "odd.sf2", LOOPED, loop_start=NOISE + 99, loop_end=NOISE + 99),
        tmp_path / "fixed.sf2",
    )
    audio = Sampler(tmp_path / "fixed.sf2").sample(0, False, 69, 0.5)
    assert 0.4 < np.abs(audio[:4000]).max() < 0.6
    assert not audio[5000:].any()
    fix_soundfont(
        a_soundfont(tmp_path / "odd.sf2", LOOPED, start=10**6, end=2 * 10**6), tmp_path / "fixed.sf2"
    )
    assert not Sampler(tmp_path / "fixed.sf2").sample(0, False, 69, 0.5).any()


def test_a_compressed_soundfont_plays_alike(tmp_path):
    heard = []
    for name, vorbis in (("a.sf2", False), ("b.sf3", True)):
        fix_soundfont(a_soundfont(tmp_path / name, LOOPED, vorbis=vorbis), tmp_path / f"mended_{name}")
        heard.append(Sampler(tmp_path / f"mended_{name}").sample(0, False, 60, 0.5))
    assert np.abs(heard[0] - heard[1]).max() < 0.05


def test_a_soundfont_without_a_drum_kit_is_named(tmp_path):
    path = a_soundfont(tmp_path / "piano.sf2", LOOPED, presets=((0, 0), (0, 1)))
    with pytest.raises(
        UserError, match=r"piano\.sf2 has no drum kit \(no preset in bank 128\): choose a General"
    ):
        fix_soundfont(path, tmp_path / "fixed.sf2")


def test_a_missing_program_is_named_and_a_missing_kit_played_by_another(tmp_path):
    fix_soundfont(a_soundfont(tmp_path / "odd.sf2", LOOPED), tmp_path / "fixed.sf2")
    with pytest.raises(UserError, match=r"fixed\.sf2 has no program 33: choose a General MIDI SoundFont"):
        Sampler(tmp_path / "fixed.sf2").sample(33, False, 69, 0.5)
    assert np.abs(Sampler(tmp_path / "fixed.sf2").sample(25, True, 69, 0.5)).max() > 0.4


DIGESTS = """
import hashlib, sys
from pathlib import Path
from %s import Sampler
sampler, programs = Sampler(Path(sys.argv[1])), eval(sys.argv[2])
for is_drum, program, pitch in programs:
    audio = sampler.sample(program, is_drum, pitch, 0.5) if (128 * is_drum, program) in sampler.presets else b""
    print(is_drum, program, pitch, hashlib.md5(audio).hexdigest(), abs(audio).max() if len(audio) else 0)
"""


def notes_twice(soundfont: Path, programs: str) -> list[str]:
    """What each note's samples hash to and their peak, with two contents of free memory."""
    outputs = []
    for filling in ("85", "170"):
        command = [sys.executable, "-c", DIGESTS % Sampler.__module__, str(soundfont), programs]
        environment = os.environ | {"MALLOC_PERTURB_": filling, "MALLOC_MMAP_THRESHOLD_": "4000000000"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout.splitlines())
    assert outputs[0] == outputs[1]
    return outputs[0]


def test_every_whistle_is_the_same_twice(soundfont):
    lines = notes_twice(soundfont, "[(False, 78, pitch) for pitch in range(79)]")
    peaks = [float(line.split()[-1]) for line in lines]
    assert min(peaks) > 0.01
    assert max(peaks) < 1


@pytest.mark.slow
@pytest.mark.parametrize("source", DEBIAN, ids=lambda path: path.name)
def test_notes_of_every_program_of_debians_soundfonts_are_the_same_twice(source, tmp_path):
    if not source.is_file():
        pytest.skip("Debian's SoundFonts are not here")
    fix_soundfont(source, tmp_path / "fixed.sf2")
    octaves = "[(d, p, k) for d in (False, True) for p in range(128) for k in range(12, 128, 24)]"
    peaks = [float(line.split()[-1]) for line in notes_twice(tmp_path / "fixed.sf2", octaves)]
    assert max(peaks) < 20

"""The stages `data` and `segments` at the command line: what they write, and how they end on bad input."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pretty_midi
import pytest
import yaml

from pipelines import data, segments
from tests.helpers import TEN_SECONDS
from tests.midi_bytes import BASS, DRUMS, midi, track
from ucr.data.segments import SegmentStore
from ucr.data.slakh import dataset
from ucr.data.slakh.render import Sampler
from ucr.foundation.files import read_json, write_json

SLAKH = Path(__file__).resolve().parents[3] / "shared" / "babyslakh"
TINY = {"tracks": {"train": 1, "validation": 1, "test": 1}, "seconds": TEN_SECONDS}


def run(stage: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", f"pipelines.{stage}"]
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.fixture
def sentence(capsys) -> Callable[[ModuleType], str]:
    """The one sentence with which a stage's command ends on bad input."""

    def end(stage: ModuleType) -> str:
        with pytest.raises(SystemExit) as ended:
            stage.main()
        assert ended.value.code == 1
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        return line

    return end


def digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return found.hexdigest()


def point_at(project, make_track, **stems) -> Path:
    """A project whose data are three tracks, one per split, with these stems."""
    folder = project(data={"name": "slakh2100", "path": "set"}, segments={"seconds": 1.0})
    for number, split in enumerate(["train", "validation", "test"], start=1):
        make_track(folder / "set" / split / f"Track{number:05d}", stems)
    data.main()
    return folder


def test_slakh_mini_from_end_to_end(project, monkeypatch):
    folder = project(data=TINY, segments={"seconds": 2.0})
    assert run("data").returncode == 0
    described = read_json("data/dataset.json")
    assert described["root"] == "data/slakh_mini"
    assert described["tracks"] == {"train": 1, "validation": 1, "test": 1}
    tracks = sorted(path.name for path in (folder / "data/slakh_mini").glob("*/*"))
    assert tracks == [f"Track{number:05d}" for number in range(1, 4)]
    ended = run("segments")
    assert ended.returncode == 0, ended.stderr
    assert len(SegmentStore("segments", "train")) > 1
    assert not list(Path("runs").iterdir())
    assert SegmentStore("segments", "test").sources == ["drums", "bass"]


def test_the_same_parameters_give_the_same_bytes_on_any_number_of_processes(project, monkeypatch):
    folder = project(data=TINY)
    data.main()
    first = digest(folder / "data")
    monkeypatch.setattr("ucr.foundation.workers.cpu_count", lambda: 1)
    data.main()
    assert digest(folder / "data") == first
    project(data=TINY, seed=1)
    data.main()
    assert digest(folder / "data") != first


def test_three_sources_and_any_case(project, make_track):
    stems = {f"S{i:02d}": (name, 0.1) for i, name in enumerate(["Bass", "Piano", "Drums"])}
    point_at(project, make_track, **stems)
    project(
        data={"name": "slakh2100", "path": "set"},
        segments={"seconds": 1.0},
        sources=["DRUMS", "piano", "Bass"],
    )
    segments.main()
    store = SegmentStore("segments", "test")
    assert store.sources == ["DRUMS", "piano", "Bass"]
    assert store[0].sources.shape == (3, 24000)


def test_midi_files_become_a_data_set(project, capsys):
    folder = project(data={"name": "midi", "path": "mine"})
    (folder / "mine").mkdir()
    score = pretty_midi.PrettyMIDI()
    for program, is_drum in ((33, False), (0, True)):
        instrument = pretty_midi.Instrument(program, is_drum)
        instrument.notes = [pretty_midi.Note(90, 40, i / 2, i / 2 + 0.4) for i in range(4)]
        score.instruments.append(instrument)
    for number in range(6):  # of one name in six folders: a song's path decides on its split
        (folder / "mine" / str(number)).mkdir()
        score.write(str(folder / "mine" / str(number) / "all_src.mid"))
    (folder / "mine" / "broken.mid").write_bytes(b"MThd")
    data.main()
    assert "mine/broken.mid can't be read as MIDI" in capsys.readouterr().err
    described = read_json("data/dataset.json")
    assert sorted(described["files"].values()) == [f"{number}/all_src.mid" for number in range(6)]
    assert len({place.split("/")[0] for place in described["files"]}) > 1
    for place in described["files"]:
        assert yaml.safe_load(Path("data/midi", place, "metadata.yaml").read_text())["stems"]["S00"][
            "inst_class"
        ]


def test_one_odd_song_costs_at_most_itself(project):
    folder = project(data={"name": "midi", "path": "mine"})
    (folder / "mine").mkdir()
    both = (track(*BASS), track(*DRUMS))
    songs = {
        "fine.mid": midi(*both),
        "denominator_256.mid": midi(track((0, [0xFF, 0x58, 4, 4, 8, 24, 8])), *both),
        "numerator_0.mid": midi(track((0, [0xFF, 0x58, 4, 0, 2, 24, 8])), *both),
        "key.mid": midi(track((0, [0xFF, 0x59, 2, 9, 5])), *both),
        "count.kar": midi(*both, n_tracks=9),
        "frames.mid": midi(*both, division=0xE728),
        "cut.mid": midi(*both)[:-2],
        "silent.mid": midi(track()),
    }
    for name, content in songs.items():
        (folder / "mine" / name).write_bytes(content)
    ended = run("data")
    assert ended.returncode == 0, ended.stderr
    warnings = [line for line in ended.stderr.splitlines() if "warning: " in line]
    assert ["cut.mid" in warnings[0], "silent.mid" in warnings[1], len(warnings)] == [True, True, 2]
    assert sorted(read_json("data/dataset.json")["files"].values()) == sorted(
        songs.keys() - {"cut.mid", "silent.mid"}
    )


def test_whatever_a_song_raises_costs_that_song(project, monkeypatch, capsys):
    folder = project(data={"name": "midi", "path": "mine"})
    (folder / "mine").mkdir()
    for name in ("a.mid", "b.mid"):
        (folder / "mine" / name).write_bytes(midi(track(*BASS), track(*DRUMS)))
    real = dataset.render_song

    def render(song, *arguments):
        if song.origin == "a.mid":
            raise TypeError("a value out of range")
        return real(song, *arguments)

    monkeypatch.setattr(dataset, "render_song", render)
    monkeypatch.setattr("ucr.foundation.workers.cpu_count", lambda: 1)
    data.main()
    assert "a.mid can't be rendered (TypeError: a value out of range)" in capsys.readouterr().err
    assert list(read_json("data/dataset.json")["files"].values()) == ["b.mid"]


@pytest.mark.parametrize("value", [np.nan, 1e25])
def test_a_stem_that_is_no_sound_costs_its_song(project, monkeypatch, capsys, value):
    folder = project(data={"name": "midi", "path": "mine"})
    (folder / "mine").mkdir()
    (folder / "mine" / "a.mid").write_bytes(midi(track(*BASS), track(*DRUMS)))
    (folder / "mine" / "b.mid").write_bytes(midi(track(*DRUMS)))
    real = Sampler.sample

    def sample(self, program, is_drum, *arguments):
        sound = real(self, program, is_drum, *arguments)
        return sound if is_drum else np.full_like(sound, value)

    monkeypatch.setattr(Sampler, "sample", sample)
    monkeypatch.setattr("ucr.foundation.workers.cpu_count", lambda: 1)
    data.main()
    assert (
        "a.mid: TimGM6mb.sf2 makes no sound of the program 33, Electric Bass (finger)"
        in capsys.readouterr().err
    )
    assert list(read_json("data/dataset.json")["files"].values()) == ["b.mid"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"data": {"name": "slakh2100", "path": "none"}}, "none does not exist: fix data.path"),
        ({"data": {"name": "slakh2100", "path": "."}}, "holds no TrackNNNNN folder"),
        ({"data": {"name": "slakh2100", "path": None}}, "slakh2100 needs `path`"),
        ({"data": {"name": "midi", "path": "."}}, "holds no .mid file"),
        (
            {"data": {"soundfont": "none.sf2"}},
            "the SoundFont none.sf2 does not exist or is no file: fix data.soundfont",
        ),
        ({"data": {"soundfont": "params.yaml"}}, "params.yaml is no SoundFont 2 file"),
        ({"data": {"seconds": "long"}}, "params.yaml: data.seconds: "),
        ({"data": {"tracks": {"train": 0, "validation": 1, "test": 1}}}, "params.yaml: data.tracks.train: "),
        ({"data": {"songs": 3}}, "params.yaml: data.songs: is an unknown key"),
        ({"sources": ["drums", "../bass"]}, "'../bass' is no source name"),
    ],
)
def test_bad_input_of_data_ends_in_one_sentence(sentence, project, changes, expected):
    project(**changes)
    assert expected in sentence(data)
    assert not Path("data/dataset.json").exists()


def test_segments_without_data_says_what_to_run(sentence, project):
    project()
    assert "data/dataset.json does not exist: run `python -m pipelines.data` first" in sentence(segments)


@pytest.mark.parametrize(
    ("stems", "expected"),
    [
        ({"S00": ("Drums", 0.1)}, "has drums and bass (lacks a source: 1)"),
        ({"S00": ("Drums", 0.1), "S01": ("Bass", 1e-3)}, "(a source's RMS is too low: 2)"),
    ],
)
def test_data_without_all_the_sources_ends_in_one_sentence(sentence, project, make_track, stems, expected):
    point_at(project, make_track, **stems)
    assert expected in sentence(segments)
    assert not Path("segments").exists()


def damage_audio(track: Path) -> None:
    path = track / "stems" / "S01.flac"
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (damage_audio, "S01.flac holds no audio"),
        (lambda track: (track / "metadata.yaml").write_text("stems: ["), "metadata.yaml is not valid YAML"),
        (
            lambda track: (track / "metadata.yaml").write_text("stems: {S00: {}}"),
            "S00 lacks the key inst_class",
        ),
        (lambda track: (track / "metadata.yaml").unlink(), "metadata.yaml does not exist"),
    ],
)
def test_damaged_data_ends_in_one_sentence(sentence, project, make_track, damage, expected):
    folder = point_at(project, make_track, S00=("Drums", 0.1), S01=("Bass", 0.1))
    damage(folder / "set" / "test" / "Track00003")
    line = sentence(segments)
    assert expected in line
    assert "Track00003" in line
    assert not Path("segments").exists()


def test_the_command_itself_ends_without_a_traceback(project, make_track):
    folder = point_at(project, make_track, S00=("Drums", 0.1), S01=("Bass", 0.1))
    damage_audio(folder / "set" / "test" / "Track00003")
    ended = run("segments")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "S01.flac holds no audio" in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("stage", [data, segments])
def test_a_read_only_output_ends_in_one_sentence(project, make_track, monkeypatch, capsys, stage):
    point_at(project, make_track, S00=("Drums", 0.1), S01=("Bass", 0.1))

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system", "here")

    monkeypatch.setattr("ucr.foundation.files.tempfile.mkdtemp", refuse)
    with pytest.raises(SystemExit) as ended:
        stage.main()
    assert ended.value.code == 1
    assert "error: here is on a read-only file system" in capsys.readouterr().err
    assert not Path("segments").exists()


@pytest.mark.parametrize(
    ("stage", "limit", "expected"),
    [("data", 1_000_000, "File too large"), ("segments", 100_000, "can't be written")],
)
def test_a_full_disk_ends_in_one_sentence(project, make_track, stage, limit, expected):
    if stage == "segments":
        point_at(project, make_track, S00=("Drums", 0.1), S01=("Bass", 0.1))
    else:
        project(data=TINY)

    def small_disk():  # a limit on each file stands in for the end of the disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    ended = run(stage, preexec_fn=small_disk)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("error: ")
    assert expected in ended.stderr.splitlines()[-1]
    assert not Path("segments").exists()
    assert Path("data/dataset.json").exists() == (stage == "segments")


def test_segments_need_no_more_address_space_than_they_fill(project, make_track):
    point_at(project, make_track, S00=("Drums", 0.1), S01=("Bass", 0.1))

    def little_space():
        resource.setrlimit(resource.RLIMIT_AS, (32 << 30, 32 << 30))

    ended = run("segments", preexec_fn=little_space)
    assert ended.returncode == 0, ended.stderr


def test_a_killed_run_of_segments_goes_on_with_the_same_result(project, make_track):
    folder = project(data={"name": "slakh2100", "path": "set"}, segments={"seconds": 1.0})
    for number in range(1, 41):
        split = {8: "validation", 9: "test"}.get(number % 10, "train")
        stems = {"S00": ("Drums", 0.1), "S01": ("Bass", 0.1 + number / 1000)}
        make_track(folder / "set" / split / f"Track{number:05d}", stems, seconds=4)
    data.main()
    process = subprocess.Popen([sys.executable, "-m", "pipelines.segments"], start_new_session=True)
    journal = None
    for _ in range(600):
        time.sleep(0.02)
        journal = next(Path().glob("runs/*/tracks.jsonl"), None)
        if journal and journal.read_bytes().count(b"\n") >= 2:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not Path("segments").exists()
    assert journal is not None
    done = journal.read_bytes().count(b"\n")
    assert 2 <= done < 40
    ended = run("segments")
    assert ended.returncode == 0, ended.stderr
    assert f"{done}/40" in ended.stderr  # the bar starts where the killed run stopped
    resumed = read_json("segments/segments.json")
    segments.main()
    assert read_json("segments/segments.json") == resumed


def test_a_track_cannot_lead_out_of_the_data_set(sentence, project, make_track):
    folder = point_at(project, make_track, S00=("Drums", 0.1), S01=("Bass", 0.1))
    metadata = folder / "set" / "test" / "Track00003" / "metadata.yaml"
    metadata.write_text("stems: {../../../secret: {inst_class: Bass, audio_rendered: true}}")
    assert "'../../../secret' is no name of a stem" in sentence(segments)


@pytest.mark.parametrize(
    ("argument", "code", "words"), [("--help", 0, "songs that it renders"), ("x", 2, "usage:")]
)
def test_a_stage_that_takes_no_arguments_says_so_and_does_nothing(project, argument, code, words):
    project(data=TINY)
    command = [sys.executable, "-m", "pipelines.data", argument]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code
    assert words in done.stdout + done.stderr
    assert not Path("data").exists()


def test_a_near_empty_stem_is_a_warning(project, make_track, capsys):
    folder = point_at(project, make_track, S00=("Drums", 0.1), S01=("Bass", 0.1))
    make_track(folder / "set/test/Track00013", {"S00": ("Drums", 0.1), "S01": ("Bass", np.zeros(48000))})
    data.main()
    segments.main()
    assert "S01.flac is near-empty" in capsys.readouterr().err
    assert len(SegmentStore("segments", "test")) == 2


@pytest.mark.skipif(not SLAKH.is_dir(), reason="no real Slakh track here")
@pytest.mark.parametrize("layout", ["slakh2100_flac_redux", "babyslakh_16k"])
def test_a_real_download_cut_to_two_seconds(project, layout):
    project(data={"name": "slakh2100", "path": str(SLAKH / layout)})
    data.main()
    assert read_json("data/dataset.json")["tracks"] == {"train": 1, "validation": 0, "test": 0}
    ended = run("segments")
    assert ended.returncode == 1
    assert ended.stderr.count("is near-empty") == 2
    assert "no segment of the train split of slakh2100 has drums and bass" in ended.stderr


def test_a_damaged_dataset_file_is_named(sentence, project):
    project()
    write_json("data/dataset.json", {})
    Path("data/dataset.json").write_text("{")
    assert "data/dataset.json is not valid JSON" in sentence(segments)

"""Reading both published layouts, and what is skipped or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from ucr.data.slakh.read import Skip, find_tracks, read_sources, stem_paths
from ucr.foundation.errors import UserError

SLAKH = Path(__file__).resolve().parents[5] / "shared" / "babyslakh"
SOURCES = ["drums", "bass"]


def test_the_flac_layout_has_its_own_splits(tmp_path, make_track):
    for split, name in (("test", "Track00002"), ("train", "Track00003"), ("validation", "Track00001")):
        make_track(tmp_path / split / name, {"S00": ("Bass", 0.1)})
    (tmp_path / "omitted" / "Track00009").mkdir(parents=True)
    (tmp_path / "train" / "notes").mkdir()
    found = [(track.split, track.name) for track in find_tracks(tmp_path)]
    assert found == [("train", "Track00003"), ("validation", "Track00001"), ("test", "Track00002")]


def test_without_split_folders_the_last_digit_decides(tmp_path):
    for number in range(1, 21):
        (tmp_path / f"Track{number:05d}").mkdir()
    splits = {split: [] for split in ("train", "validation", "test")}
    for track in find_tracks(tmp_path):
        splits[track.split].append(int(track.name[5:]))
    assert splits["validation"] == [8, 18]
    assert splits["test"] == [9, 10, 19, 20]
    assert len(splits["train"]) == 14


@pytest.mark.parametrize(
    ("make", "sentence"), [(False, "does not exist: fix data.path"), (True, "holds no Track")]
)
def test_a_missing_or_empty_folder_is_named(tmp_path, make, sentence):
    folder = tmp_path / "set"
    if make:
        folder.mkdir()
    with pytest.raises(UserError, match=sentence) as caught:
        find_tracks(folder)
    assert str(folder) in str(caught.value)


def test_stems_of_a_class_are_averaged_and_the_case_is_free(tmp_path, make_track):
    rng = np.random.default_rng(0)
    first, second, drums = rng.uniform(-0.5, 0.5, (3, 24000))
    stems = {"S00": ("Bass", first), "S01": ("DRUMS", drums), "S02": ("bass", second), "S03": ("Bass", None)}
    track = make_track(tmp_path / "Track00001", stems)
    audio, warnings = read_sources(track, SOURCES, 24000)
    assert audio.dtype == np.float32
    assert not warnings
    np.testing.assert_allclose(audio, [drums, (first + second) / 2], atol=1 / 32768)


@pytest.mark.parametrize(("rate", "ending"), [(44100, "flac"), (16000, "wav")])
def test_both_rates_become_the_wanted_one(tmp_path, make_track, rate, ending):
    sine = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)
    make_track(tmp_path / "Track00001", {"S00": ("Drums", sine), "S01": ("Bass", 0.1)}, rate, ending)
    audio, _ = read_sources(tmp_path / "Track00001", SOURCES, 24000)
    assert audio.shape == (2, 48000)
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(48000) / 24000)
    np.testing.assert_allclose(audio[0, 1000:-1000], wanted[1000:-1000], atol=2e-3)


def test_a_stem_that_metadata_calls_unrendered_is_used_where_it_is_there(tmp_path, make_track):
    track = make_track(tmp_path / "Track00001", {"S00": ("Drums", 0.1), "S01": ("Bass", 0.1)}, 16000, "wav")
    metadata = yaml.safe_load((track / "metadata.yaml").read_text())
    for stem in metadata["stems"].values():
        stem["audio_rendered"] = False  # as BabySlakh has it
    (track / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    assert read_sources(track, SOURCES, 16000)[0].shape == (2, 32000)


@pytest.mark.parametrize(
    ("stems", "reason", "detail"),
    [
        ({"S00": ("Drums", 0.1)}, "lacks a source", "bass"),
        ({"S00": ("Drums", 0.1), "S01": ("Bass", None)}, "lacks a source", "bass"),
        (
            {"S00": ("Drums", 0.1), "S01": ("Bass", np.ones(100))},
            "sources differ in length",
            "S00.flac (drums): 48000 samples at 24000 Hz, S01.flac (bass): 100 samples at 24000 Hz",
        ),
        (
            {"S00": ("Drums", 0.1), "S01": ("Bass", 0.1), "S02": ("Bass", np.ones(100))},
            "sources differ in length",
            "S00.flac (drums): 48000 samples at 24000 Hz, S01.flac (bass): 48000 samples at 24000 Hz, "
            "S02.flac (bass): 100 samples at 24000 Hz",
        ),
    ],
)
def test_what_lacks_something_is_skipped_with_its_reason(tmp_path, make_track, stems, reason, detail):
    track = make_track(tmp_path / "Track00001", stems)
    with pytest.raises(Skip) as caught:
        read_sources(track, SOURCES, 24000)
    assert (caught.value.reason, caught.value.detail) == (reason, detail)


def test_a_missing_file_of_a_rendered_stem_skips_the_track(tmp_path, make_track):
    track = make_track(tmp_path / "Track00001", {"S00": ("Drums", 0.1), "S01": ("Bass", 0.1)})
    (track / "stems" / "S01.flac").unlink()
    with pytest.raises(Skip) as caught:
        read_sources(track, SOURCES, 24000)
    assert (caught.value.reason, caught.value.detail) == ("stem file missing", "stems/S01 (bass)")


def test_sources_of_different_rates_are_named_with_them(tmp_path, make_track):
    track = make_track(tmp_path / "Track00001", {"S00": ("Drums", 0.1), "S01": ("Bass", 0.1)})
    soundfile.write(track / "stems" / "S01.flac", np.zeros(88200), 44100)
    with pytest.raises(Skip) as caught:
        read_sources(track, SOURCES, 24000)
    detail = "S00.flac (drums): 48000 samples at 24000 Hz, S01.flac (bass): 88200 samples at 44100 Hz"
    assert (caught.value.reason, caught.value.detail) == ("sources differ in rate", detail)


def test_a_stem_of_no_class_skips_its_track(tmp_path, make_track):
    track = make_track(tmp_path / "Track00001", {"S00": ("Drums", 0.1), "S01": ("Bass", 0.1)})
    metadata = (track / "metadata.yaml").read_text()
    (track / "metadata.yaml").write_text(metadata.replace("inst_class: Bass", "inst_class: null"))
    with pytest.raises(Skip) as caught:
        read_sources(track, SOURCES, 24000)
    assert (caught.value.reason, caught.value.detail) == (
        "a stem has no class",
        "stems.S01.inst_class is null",
    )


def test_a_stem_of_opposite_channels_is_no_damaged_download(tmp_path, make_track):
    bass = np.random.default_rng(0).uniform(-0.5, 0.5, 48000)
    stems = {"S00": ("Drums", 0.1), "S01": ("Bass", np.stack([bass, -bass], axis=1))}
    audio, warnings = read_sources(make_track(tmp_path / "Track00001", stems), SOURCES, 24000)
    np.testing.assert_allclose(audio[1], bass, atol=1 / 32768)
    assert len(warnings) == 1
    assert "S01.flac: the channels are opposite and cancel in their mean" in warnings[0].sentence


def test_a_near_empty_stem_is_named_in_a_warning(tmp_path, make_track):
    track = make_track(tmp_path / "Track00001", {"S00": ("Drums", 0.1), "S01": ("Bass", np.zeros(48000))})
    audio, warnings = read_sources(track, SOURCES, 24000)
    assert not audio[1].any()
    assert len(warnings) == 1
    assert "S01.flac is near-empty" in warnings[0].sentence


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.9])
def test_a_truncated_file_is_named(tmp_path, make_track, share):
    track = make_track(tmp_path / "Track00001", {"S00": ("Drums", 0.1), "S01": ("Bass", 0.1)})
    path = track / "stems" / "S01.flac"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match=r"S01\.flac (can't be read as audio|holds \d\.\d of the 2\.0 s)"):
        read_sources(track, SOURCES, 24000)


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ("stems: [unclosed", "is not valid YAML"),
        ("\x00\x01", "is not valid YAML"),
        ("a: !!python/object/apply:os.system [ls]", "is not valid YAML"),
        ("UUID: 0", "lacks the key stems"),
        ("- a", "lacks the key stems"),
        ("stems: {S00: {audio_rendered: true}}", "stems.S00 lacks the key inst_class"),
        ("stems: {S00: {inst_class: Bass}}", "stems.S00 lacks the key audio_rendered"),
        ("stems: {S00: {inst_class: Bass, audio_rendered: maybe}}", "it is no bool"),
        ("stems: {S00: 3}", "lacks the key inst_class"),
        (
            "stems: {../../secret: {inst_class: Bass, audio_rendered: true}}",
            "'../../secret' is no name of a stem",
        ),
        ("stems: {/etc/passwd: {inst_class: Bass, audio_rendered: true}}", "is no name of a stem"),
        ("stems: {3: {inst_class: Bass, audio_rendered: true}}", "3 is no name of a stem"),
    ],
)
def test_damaged_metadata_is_refused_by_file_and_key(tmp_path, metadata, sentence):
    (tmp_path / "metadata.yaml").write_text(metadata)
    with pytest.raises(UserError) as caught:
        stem_paths(tmp_path, "bass")
    assert sentence in str(caught.value)
    assert str(tmp_path / "metadata.yaml") in str(caught.value)


def test_other_is_the_sum_of_the_stems_of_no_other_source(tmp_path, make_track):
    parts = np.random.default_rng(0).uniform(-0.2, 0.2, (5, 24000))
    classes = ["Drums", "Bass", "Guitar", "Guitar", "Piano"]
    stems = {f"S{i:02d}": each for i, each in enumerate(zip(classes, parts, strict=True))}
    track = make_track(tmp_path / "Track00001", stems | {"S09": ("Organ", None)})
    audio, _ = read_sources(track, ["drums", "Other", "guitar"], 24000)
    np.testing.assert_allclose(
        audio, [parts[0], parts[1] + parts[4], (parts[2] + parts[3]) / 2], atol=3 * 2**-15
    )
    with pytest.raises(Skip, match="lacks a source"):
        read_sources(track, ["drums", "bass", "guitar", "piano", "other"], 24000)


def test_missing_metadata_is_named(tmp_path):
    with pytest.raises(UserError, match=r"metadata\.yaml does not exist"):
        stem_paths(tmp_path, "bass")


@pytest.mark.skipif(not SLAKH.is_dir(), reason="no real Slakh track here")
@pytest.mark.parametrize(("layout", "ending"), [("slakh2100_flac_redux", "flac"), ("babyslakh_16k", "wav")])
def test_a_real_track_in_both_layouts(layout, ending):
    (track,) = find_tracks(SLAKH / layout)
    assert (track.name, track.split) == ("Track00001", "train")
    guitar = [path.name for path in stem_paths(track.folder, "guitar")]
    assert guitar == [f"S00.{ending}", f"S07.{ending}", f"S08.{ending}"]
    audio, warnings = read_sources(track.folder, ["guitar", "bass"], 24000)
    assert audio.shape == (2, 48000)
    assert audio[0].any()
    assert [Path(warning.sentence.split(" is ")[0]).name for warning in warnings] == [
        f"S{i:02d}.{ending}" for i in (7, 8, 3)
    ]

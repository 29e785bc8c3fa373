"""Folders of stems: which files belong together, the rows they give, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from eval.folders import COLUMNS, ROW_COLUMNS, find_songs, score_songs
from eval.scores import METRICS, WINDOWED
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_table

RATE = 4000
RNG = np.random.default_rng(0)
SOURCES = 0.1 * RNG.standard_normal((2, RATE))
NOISE = 0.03 * RNG.standard_normal((2, RATE))


def write(folder: Path, stems: dict[str, np.ndarray], rate: int = RATE, suffix: str = ".wav") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, audio in stems.items():
        soundfile.write(folder / f"{name}{suffix}", audio, rate)


@pytest.fixture
def song(tmp_path):
    """One song: true and estimated stems, 16 bit."""
    write(tmp_path / "true", dict(zip(("drums", "bass"), SOURCES, strict=True)))
    write(tmp_path / "found", dict(zip(("drums", "bass"), SOURCES + NOISE, strict=True)), suffix=".flac")
    return tmp_path


@pytest.fixture
def segments(tmp_path):
    """Three segments of two tracks, with mixtures; the estimates have no names."""
    for i, name in enumerate(("Track00002_10", "Track00002_9", "Track00001_0")):
        true = np.roll(SOURCES, 100 * i, axis=1)
        write(tmp_path / "true" / name, {"drums": true[0], "bass": true[1], "mixture": true.mean(0)})
        write(
            tmp_path / "found" / name, {"component_0": true[1] + NOISE[1], "component_1": true[0] + NOISE[0]}
        )
    return tmp_path


def find(folder: Path, **options):
    return find_songs({"waveform": folder / "true"}, folder / "found", **options)


def score(folder: Path, ordered: bool = True, **options) -> pd.DataFrame:
    songs, sources = find(folder, ordered=ordered, **options)
    return score_songs(songs, sources, method="mine", ordered=ordered, window=0.5, hop=0.25)


def test_one_song_gives_a_row_for_each_score(song):
    rows = score(song, sources=["drums", "bass"])
    assert list(rows.columns) == ROW_COLUMNS
    assert set(rows["task"]) == {"drums+bass"}
    assert set(rows["segment"]) == {"true"}
    counts = rows.groupby("metric").size().to_dict()
    assert counts == {metric: 6 if metric in WINDOWED else 2 for metric in METRICS}
    assert set(rows["status"]) == {"ok"}
    drums = rows[(rows["source"] == "drums") & (rows["metric"] == "si_sdr")]["value"].item()
    expected = 20 * np.log10(np.linalg.norm(SOURCES[0]) / np.linalg.norm(NOISE[0]))
    assert drums == pytest.approx(expected, abs=0.2)


def test_segments_come_in_order_and_without_names_in_their_best_permutation(segments):
    songs, sources = find(segments, ordered=False)
    assert [song.name for song in songs] == ["Track00001_0", "Track00002_9", "Track00002_10"]
    assert [song.track for song in songs] == ["Track00001", "Track00002", "Track00002"]
    assert sources == ["bass", "drums"]
    assert all(song.mixture.name == "mixture.wav" for song in songs)
    rows = score(segments, ordered=False)
    assert rows[rows["metric"] == "si_sdr"]["value"].min() > 8


def test_rows_survive_their_file(segments):
    rows = score(segments, ordered=False, failures={"Track00002_9": "out of memory, NA"})
    rows.to_csv(segments / "rows.csv", index=False)
    table = read_table(segments / "rows.csv", COLUMNS, ["window", "value"])
    expected = rows[COLUMNS].astype({"window": float})
    pd.testing.assert_frame_equal(table[COLUMNS], expected, check_dtype=False)


def test_a_failed_song_needs_no_files_and_gives_as_many_rows(segments):
    for path in (segments / "found" / "Track00002_9").iterdir():
        path.unlink()
    rows = score(segments, ordered=False, failures={"Track00002_9": "out of memory"})
    counts = rows.groupby("segment").size()
    assert counts.nunique() == 1
    failed = rows[rows["segment"] == "Track00002_9"]
    assert set(zip(failed["status"], failed["reason"], strict=True)) == {("failed", "out of memory")}
    assert set(rows[rows["segment"] != "Track00002_9"]["status"]) == {"ok"}


def test_if_all_songs_failed_there_need_be_no_estimates_at_all(segments):
    songs, sources = find_songs(
        {"waveform": segments / "true"}, segments / "none", failures=dict.fromkeys(
            ("Track00001_0", "Track00002_9", "Track00002_10"), "two sources only"
        )
    )  # fmt: skip
    rows = score_songs(songs, sources, method="mine", ordered=True, window=0.5, hop=0.25)
    assert set(rows["status"]) == {"failed"}


def test_both_references_are_scored(segments):
    for folder in sorted((segments / "true").iterdir()):
        audio = {name: soundfile.read(folder / f"{name}.wav")[0] + 0.01 for name in ("drums", "bass")}
        write(segments / "coded" / folder.name, audio)
    references = {"waveform": segments / "true", "codec": segments / "coded"}
    songs, sources = find_songs(references, segments / "found", ordered=False)
    rows = score_songs(songs, sources, method="mine", ordered=False, window=0.5, hop=0.25)
    means = rows[rows["metric"] == "si_sdr"].groupby("reference")["value"].mean()
    assert means["waveform"] != means["codec"]
    assert rows.groupby("reference").size().nunique() == 1
    (segments / "coded" / "Track00001_0" / "drums.wav").unlink()
    with pytest.raises(UserError, match=r"coded/Track00001_0 lacks drums\.wav"):
        find_songs(references, segments / "found", ordered=False)


def test_an_estimate_that_is_not_finite_is_a_row_and_stereo_is_averaged(song):
    bad = SOURCES[0].copy()
    bad[7] = np.nan
    soundfile.write(song / "found" / "drums.wav", bad, RATE, subtype="FLOAT")
    (song / "found" / "drums.flac").unlink()
    stereo = np.stack([SOURCES[1] + NOISE[1], SOURCES[1] - NOISE[1]], axis=1)
    soundfile.write(song / "found" / "bass.flac", stereo, RATE)
    rows = score(song)
    assert set(rows[rows["source"] == "drums"]["reason"]) == {
        "the estimate holds samples that are not finite"
    }
    assert rows[(rows["source"] == "bass") & (rows["metric"] == "si_sdr")]["value"].item() > 50


def remove(name):
    return lambda folder: (folder / "found" / name).unlink()


def add(name, audio=SOURCES[0], rate=RATE):
    return lambda folder: soundfile.write(folder / "found" / name, audio, rate)


@pytest.mark.parametrize(
    ("spoil", "options", "sentence"),
    [
        (remove("bass.flac"), {}, "found lacks bass.wav or bass.flac"),
        (add("piano.wav"), {}, "found/piano.wav is the estimate of no source"),
        (add("drums.wav"), {}, "are one stem twice"),
        (add("drums.flac", SOURCES[0, :-1]), {}, r"has 3999 samples at 4000 Hz, but \S+ has 4000 at 4000 Hz: cut or"),
        (add("drums.flac", rate=8000), {}, r"has 4000 samples at 8000 Hz, but \S+ has 4000 at 4000 Hz: resample"),
        (lambda f: (f / "found" / "drums.flac").write_bytes(b"RIFF"), {}, "drums.flac can't be read as audio"),
        (add("piano.wav"), {"ordered": False}, "found holds 3 estimates, but there are 2 sources"),
        (add("x.wav"), {"sources": ["drums", "piano"]}, "true lacks piano.wav or piano.flac"),
        (add("x.wav"), {"sources": ["drums"]}, "has 1 source"),
        (lambda f: (f / "found").rename(f / "moved"), {}, "found is no folder"),
    ],
)  # fmt: skip
def test_stems_that_do_not_match_are_one_sentence(song, spoil, options, sentence):
    spoil(song)
    with pytest.raises(UserError, match=sentence):
        find(song, **options)


def test_a_truncated_file_is_named(song):
    path = song / "found" / "drums.flac"
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    with pytest.raises(UserError, match=r"found/drums\.flac holds no audio: replace it"):
        score(song)


def test_songs_that_do_not_match_are_one_sentence(segments):
    extra = segments / "found" / "Track00003_0"
    write(extra, {"a": SOURCES[0], "b": SOURCES[1]})
    with pytest.raises(UserError, match="Track00003_0 is no song of"):
        find(segments, ordered=False)
    for path in [*extra.iterdir(), *(segments / "found" / "Track00001_0").iterdir()]:
        path.unlink()
    with pytest.raises(UserError, match="found/Track00001_0 is missing"):
        find(segments, ordered=False)
    with pytest.raises(UserError, match="one holds stems, the other folders of stems"):
        find_songs({"waveform": segments / "true"}, segments / "found" / "Track00002_9")
    with pytest.raises(UserError, match="holds no stems"):
        find_songs({"waveform": extra}, segments / "found")


def test_chosen_sources_leave_other_stems_alone(song):
    write(song / "true", {"piano": SOURCES[0]})
    write(song / "found", {"piano": SOURCES[0], "mixture": SOURCES[0]})
    songs, sources = find(song, sources=["bass", "drums"])
    assert sources == ["bass", "drums"]
    assert [path.stem for path in songs[0].estimates] == ["bass", "drums"]


def test_a_sum_of_other_stems_is_not_scored_beside_them(song):
    for place in ("true", "found"):
        soundfile.write(song / place / "accompaniment.wav", SOURCES.sum(axis=0) / 2, RATE)
    with pytest.raises(
        UserError, match="accompaniment is a sum of other stems, which would then count twice"
    ):
        score(song)
    assert set(score(song, sources=["drums", "bass"])["source"]) == {"drums", "bass"}

"""The command line `python -m eval`: what it prints, writes and refuses."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import soundfile

from benchmarks.projects import run_module
from benchmarks.scoring import Case, make_songs
from eval.folders import ROW_COLUMNS

RATE = 4000


@pytest.fixture
def stems(tmp_path) -> Path:
    """Two songs, `true` and `found`; estimates have noise at -20 dB."""
    rng = np.random.default_rng(0)
    for song in ("One", "Two"):
        for folder in ("true", "found"):
            (tmp_path / folder / song).mkdir(parents=True)
        for source in ("drums", "bass"):
            true, noise = 0.1 * rng.standard_normal((2, RATE))
            soundfile.write(tmp_path / "true" / song / f"{source}.wav", true, RATE, subtype="FLOAT")
            soundfile.write(tmp_path / "found" / song / f"{source}.flac", true + noise / 10, RATE)
    return tmp_path


def test_score_prints_the_table_and_writes_the_rows(stems):
    command = [
        sys.executable,
        "-m",
        "eval",
        "score",
        "true",
        "found",
        "--sources",
        "drums,bass",
        "--csv",
        "rows.csv",
    ]
    result = subprocess.run(command, capture_output=True, text=True, cwd=stems)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "found: 2 segments of 2 songs, fixed order"
    columns = "source metric mean median ci_low ci_high ci_of n n_silent n_capped n_failed"
    assert " ".join(lines[1].split()) == columns
    cells = lines[2].split()
    assert cells[:2] == ["drums", "si_sdr"]
    assert float(cells[2]) == pytest.approx(20, abs=0.5)
    assert float(cells[4]) <= float(cells[2]) <= float(cells[5])
    rows = pd.read_csv(stems / "rows.csv")
    assert list(rows.columns) == ROW_COLUMNS
    assert rows[rows["metric"] == "si_sdr"]["value"].mean() == pytest.approx(20, abs=0.5)


def test_score_of_one_song_in_any_order_tells_what_has_no_score(stems, run):
    for i, name in enumerate(("bass", "drums")):
        shutil.move(stems / "found" / "One" / f"{name}.flac", stems / "found" / "One" / f"part{i}.flac")
    soundfile.write(stems / "found" / "One" / "part0.flac", np.zeros(RATE), RATE)
    result = run("score", stems / "true" / "One", stems / "found" / "One", "--unordered")
    assert result.returncode == 0, result.stderr
    assert "One: 1 segments of 1 songs, best permutation" in result.stdout
    assert "failed in 1 segments: the estimate is silent" in result.stdout


def sources_of(stems: Path, song: str = "One") -> dict[str, np.ndarray]:
    return {path.stem: soundfile.read(path)[0] for path in sorted((stems / "true" / song).iterdir())}


def rows_of(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False, na_values={"value": [""], "window": [""], "delay": [""]})


@pytest.mark.parametrize("delay", [-31, 60, 399])
def test_a_constant_delay_is_named_kept_and_taken_out(stems, run, delay):
    rng = np.random.default_rng(1)
    for song in ("One", "Two"):
        for name, true in sources_of(stems, song).items():
            late = np.zeros(len(true))
            there = slice(max(delay, 0), len(true) + min(delay, 0))
            late[there] = true[max(-delay, 0) : len(true) - max(delay, 0)]
            late += 0.01 * rng.standard_normal(len(true))
            soundfile.write(stems / "found" / song / f"{name}.flac", late, RATE)
    result = run("score", stems / "true", stems / "found", "--csv", stems / "rows.csv")
    when = "late" if delay > 0 else "early"
    sentence = f"the estimates of bass, drums are {abs(delay)} samples ({abs(delay) / 4:.1f} ms) {when}"
    assert f"warning: 2 segments such as One: {sentence}: scores count that as error" in result.stderr
    rows = rows_of(stems / "rows.csv")
    assert set(rows["delay"]) == {delay}
    assert rows[rows["metric"] == "si_sdr"]["value"].max() < -5
    result = run("score", stems / "true", stems / "found", "--csv", stems / "rows.csv", "--align")
    assert f"{sentence}: taken out" in result.stderr
    rows = rows_of(stems / "rows.csv")
    assert set(rows["delay"]) == {delay}
    assert rows[rows["metric"] == "si_sdr"]["value"].min() > 19
    assert rows[rows["metric"] == "v4_sdr"]["value"].min() > 19


def test_estimates_in_time_have_no_delay_and_aligning_them_changes_nothing(stems, run):
    assert "warning" not in run("score", stems / "true", stems / "found", "--csv", stems / "a.csv").stderr
    run("score", stems / "true", stems / "found", "--csv", stems / "b.csv", "--align")
    assert set(rows_of(stems / "a.csv")["delay"]) == {0}
    pd.testing.assert_frame_equal(rows_of(stems / "a.csv"), rows_of(stems / "b.csv"))


def test_without_names_delays_are_found_and_the_order_follows_from_what_is_aligned(stems, run):
    for name, true in sources_of(stems).items():
        soundfile.write(stems / "found" / "One" / f"{name}.flac", np.roll(true, 100), RATE)
    (stems / "found" / "One" / "drums.flac").rename(stems / "found" / "One" / "a.flac")
    run(
        *("score", stems / "true" / "One", stems / "found" / "One"),
        *("--unordered", "--align", "--csv", stems / "rows.csv"),
    )
    rows = rows_of(stems / "rows.csv")
    assert set(rows["delay"]) == {100}
    assert rows[rows["metric"] == "si_sdr"]["value"].min() > 50


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda true, rng: np.round(rng.uniform(-1, 1, len(true))) / 2**15, "the source is silent"),
        (lambda true, rng: np.round(rng.uniform(-1, 1, (len(true), 2))) / 2**15, "the source is silent"),
        (lambda true, rng: np.zeros(len(true)), "the source is silent"),
        (
            lambda true, rng: np.stack([true, -true + rng.uniform(-1, 1, len(true)) / 2**15], axis=1),
            "the source's channels cancel in mono",
        ),
    ],
)
def test_a_source_of_dither_or_of_opposite_channels_has_no_scores(stems, run, spoil, reason, subtype):
    true = sources_of(stems)["drums"]
    path = stems / "true" / "One" / "drums.wav"
    soundfile.write(path, spoil(true, np.random.default_rng(0)), RATE, subtype=subtype)
    result = run("score", stems / "true", stems / "found", "--csv", stems / "rows.csv")
    assert f"silent in 1 segments: {reason}" in result.stdout
    rows = rows_of(stems / "rows.csv")
    drums = rows[(rows["segment"] == "One") & (rows["source"] == "drums")]
    assert set(zip(drums["status"], drums["reason"], strict=True)) == {("silent", reason)}
    assert drums["value"].isna().all()
    bass = rows[(rows["segment"] == "One") & (rows["source"] == "bass") & (rows["metric"] == "si_sdr")]
    assert bass["value"].item() == pytest.approx(20, abs=0.5)


def test_quiet_sources_are_scored(stems, run):
    for path in (stems / "true" / "One").iterdir():
        soundfile.write(path, 1e-5 * soundfile.read(path)[0], RATE, subtype="FLOAT")
    run("score", stems / "true", stems / "found", "--csv", stems / "rows.csv")
    rows = rows_of(stems / "rows.csv")
    assert set(rows["status"]) == {"ok"}
    assert rows[rows["metric"] == "si_sdr"]["value"].min() > 19


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["drums.wav", "mixture.wav"])
def test_samples_of_a_reference_that_are_not_finite_are_one_sentence(stems, run, bad, name):
    audio = sources_of(stems)["drums"]
    audio[1234] = bad
    soundfile.write(stems / "true" / "One" / name, audio, RATE, subtype="FLOAT")
    result = run("score", stems / "true", stems / "found", "--csv", stems / "rows.csv")
    assert (result.returncode, result.stdout) == (1, "")
    sentence = f"true/One/{name} holds samples that are not finite numbers, the first at 1234: replace it"
    assert result.stderr.splitlines()[-1].endswith(sentence)
    assert "Traceback" not in result.stderr
    assert not (stems / "rows.csv").exists()


@pytest.mark.parametrize("spoil", [np.zeros_like, lambda audio: np.full_like(audio, np.nan)])
def test_a_silent_estimate_scores_as_the_mixture_does_at_most(stems, run, spoil):
    path = stems / "found" / "One" / "drums.flac"
    silence = spoil(soundfile.read(path)[0])
    path.unlink()
    soundfile.write(path.with_suffix(".wav"), silence, RATE, subtype="FLOAT")
    run("score", stems / "true", stems / "found", "--csv", stems / "rows.csv")
    rows = rows_of(stems / "rows.csv")
    failed = rows[(rows["segment"] == "One") & (rows["source"] == "drums")].set_index("metric")
    assert set(failed["status"]) == {"failed"}
    mixture = np.mean([*sources_of(stems).values()], axis=0)
    soundfile.write(path.with_suffix(".wav"), mixture, RATE, subtype="FLOAT")
    run("score", stems / "true", stems / "found", "--csv", stems / "rows.csv")
    rows = rows_of(stems / "rows.csv")
    expected = rows[(rows["segment"] == "One") & (rows["source"] == "drums")].set_index("metric")
    for metric in ("si_sdr", "si_sir", "si_sar", "v4_sdr", "v4_sir", "v4_sar"):
        assert failed["value"][metric] == pytest.approx(min(expected["value"][metric], 0), abs=1e-5)
    assert failed["value"]["si_sdr_improvement"] == pytest.approx(
        min(-expected["value"]["si_sdr"], 0), abs=1e-5
    )
    assert failed["value"]["mstft"] > expected["value"]["mstft"]
    others = rows[(rows["segment"] != "One") | (rows["source"] != "drums")]
    assert set(others["status"]) == {"ok"}


def without_length(path: Path) -> None:
    """Take the number of samples out of a FLAC file's header, as a FLAC that went through a pipe has none."""
    data = bytearray(path.read_bytes())
    assert data[:4] == b"fLaC"
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)


def test_flac_without_a_length_in_its_header_scores_as_with_it(stems, run, monkeypatch):
    monkeypatch.setattr("eval.stretches.STRETCH", 1500)  # so that stretches begin and end within the file
    for path in (stems / "true").glob("*/*.wav"):
        soundfile.write(path.with_suffix(".flac"), soundfile.read(path)[0], RATE)
        path.unlink()
    run("score", stems / "true", stems / "found", "--csv", stems / "a.csv")
    for path in (stems / "true").glob("*/*.flac"):
        without_length(path)
    for path in (stems / "found").glob("*/drums.flac"):
        without_length(path)
    assert soundfile.info(path).frames > 2**62
    result = run("score", stems / "true", stems / "found", "--csv", stems / "b.csv")
    assert result.returncode == 0, result.stderr
    assert (stems / "b.csv").read_bytes() == (stems / "a.csv").read_bytes()
    without_length(soundfile_of(stems, RATE - 1))
    result = run("score", stems / "true", stems / "found")
    assert "drums.flac has 3999 samples at 4000 Hz, but" in result.stderr


def test_stems_of_other_formats_and_without_a_length_score_as_wav(stems, run):
    run("score", stems / "true", stems / "found", "--csv", stems / "a.csv")
    for path in (stems / "true").glob("*/*.wav"):
        soundfile.write(path, soundfile.read(path)[0], RATE, subtype="PCM_16")
        data = bytearray(path.read_bytes())
        data[40:44] = bytes(4)  # the length of the samples
        path.write_bytes(data)
    for path in (stems / "found").glob("*/drums.flac"):
        audio = (2**15 * soundfile.read(path, dtype="float32")[0]).astype(np.int16)[None]
        with av.open(str(path.with_suffix(".mka")), "w") as container:
            stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
            frame = av.AudioFrame.from_ndarray(audio, format="s16", layout="mono")
            frame.sample_rate = RATE
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        path.unlink()
    result = run("score", stems / "true", stems / "found", "--csv", stems / "b.csv")
    assert result.returncode == 0, result.stderr
    a, b = rows_of(stems / "a.csv"), rows_of(stems / "b.csv")
    assert list(b["status"]) == list(a["status"])
    assert b["value"].to_numpy() == pytest.approx(a["value"].to_numpy(), abs=0.1)


def test_names_in_any_case_and_formats_by_other_endings_are_scored(stems, run):
    run("score", stems / "true", stems / "found", "--csv", stems / "a.csv")
    for song in ("One", "Two"):
        sources = sources_of(stems, song)
        soundfile.write(
            stems / "true" / song / "Mixture.w64", sum(sources.values()) / 2, RATE, subtype="FLOAT"
        )
        for name, audio in sources.items():
            soundfile.write(stems / "true" / song / f"{name}.rf64", audio, RATE, subtype="FLOAT")
            (stems / "true" / song / f"{name}.wav").unlink()
            (stems / "found" / song / f"{name}.flac").rename(stems / "found" / song / f"{name.upper()}.FLAC")
    assert run("score", stems / "true", stems / "found", "--csv", stems / "b.csv").returncode == 0
    a, b = rows_of(stems / "a.csv"), rows_of(stems / "b.csv")
    assert list(b["source"]) == list(a["source"])
    assert b["value"].to_numpy() == pytest.approx(a["value"].to_numpy(), abs=1e-3)


def test_stems_that_are_all_cut_short_are_not_scored(stems, run):
    for path in stems.glob("*/One/*"):
        soundfile.write(path.with_suffix(".wav"), soundfile.read(path)[0], RATE)
        path.with_suffix(".flac").unlink(missing_ok=True)
        data = path.with_suffix(".wav").read_bytes()
        path.with_suffix(".wav").write_bytes(data[: len(data) // 2])
    result = run("score", stems / "true" / "One", stems / "found" / "One")
    assert (result.returncode, result.stdout) == (1, "")
    assert "true/One/bass.wav holds 0.5 of the 1.0 s that it announces: get it whole" in result.stderr


def test_estimates_that_encoders_padded_are_scored_where_they_are_aligned(stems, run):
    for name, true in sources_of(stems).items():
        late = np.concatenate([np.zeros(60), true, np.zeros(200)])
        soundfile.write(stems / "found" / "One" / f"{name}.flac", late, RATE)
    result = run("score", stems / "true" / "One", stems / "found" / "One")
    assert "has 4260 samples at 4000 Hz, but" in result.stderr
    assert result.returncode == 1
    run("score", stems / "true" / "One", stems / "found" / "One", "--align", "--csv", stems / "rows.csv")
    rows = rows_of(stems / "rows.csv")
    assert set(rows["delay"]) == {60}
    assert rows[rows["metric"] == "si_sdr"]["value"].min() > 50


@pytest.mark.parametrize(("delay", "sign"), [(0, 1), (60, 1), (60, -1)])
def test_a_tone_without_a_delay_of_its_own_shares_that_of_the_others(stems, run, delay, sign):
    rng = np.random.default_rng(3)
    time = np.arange(8 * RATE) / RATE
    pitches = rng.choice([41.2, 55, 61.7, 73.4], 16).repeat(RATE // 2)
    true = {"drums": 0.1 * rng.normal(size=len(time)) * np.exp(-9 * (time % 0.5))}
    true["bass"] = 0.1 * np.sin(2 * np.pi * np.cumsum(pitches) / RATE)
    for name, audio in true.items():
        late = 60 if name == "drums" else delay
        estimate = sign * np.roll(audio, late) + 3e-3 * rng.normal(size=len(audio))
        soundfile.write(stems / "true" / "One" / f"{name}.wav", audio, RATE, subtype="FLOAT")
        soundfile.write(stems / "found" / "One" / f"{name}.flac", estimate, RATE)
    run("score", stems / "true" / "One", stems / "found" / "One", "--align", "--csv", stems / "rows.csv")
    rows = rows_of(stems / "rows.csv")
    rows = rows[rows["metric"] == "si_sdr"].set_index("source")
    assert rows["delay"].to_dict() == {"drums": 60, "bass": delay}
    assert rows["value"].min() > 15


def test_a_constant_offset_is_silence(stems, run):
    soundfile.write(stems / "true" / "One" / "drums.wav", np.full(RATE, 0.2), RATE, subtype="FLOAT")
    result = run("score", stems / "true" / "One", stems / "found" / "One")
    assert "silent in 1 segments: the source is silent" in result.stdout


def test_a_source_named_twice_is_one_sentence(stems, run):
    result = run("score", stems / "true", stems / "found", "--sources", "drums,Drums")
    assert (result.returncode, result.stderr) == (
        1,
        "error: drums, Drums names a source twice: name each once\n",
    )


def test_an_estimate_that_is_its_source_is_counted(tmp_path, run):
    rng = np.random.default_rng(0)
    for folder in ("true", "found"):
        (tmp_path / folder).mkdir()
    for name in ("drums", "bass"):
        audio = rng.uniform(-0.5, 0.5, RATE)
        for folder, noise in (("true", 0), ("found", 0.1 if name == "bass" else 0)):
            soundfile.write(tmp_path / folder / f"{name}.wav", audio + noise * rng.normal(size=RATE), RATE)
    head, *lines = run("score", tmp_path / "true", tmp_path / "found").stdout.splitlines()[1:]
    counts = head.split()[-4:]
    found = {
        line.split()[0]: dict(zip(counts, line.split()[-4:], strict=True))
        for line in lines
        if " si_sdr " in line
    }
    assert found["drums"] == {"n": "0", "n_silent": "0", "n_capped": "1", "n_failed": "0"}
    assert found["bass"] == {"n": "1", "n_silent": "0", "n_capped": "0", "n_failed": "0"}


def test_a_stem_file_is_to_be_unpacked_first(stems, run, tmp_path):
    (tmp_path / "song.stem.mp4").touch()
    result = run("score", tmp_path / "song.stem.mp4", stems / "found")
    assert result.returncode == 1
    assert "song.stem.mp4 is no folder: write what it holds by `ucr unpack`" in result.stderr


def test_stem_files_are_to_be_unpacked_first(stems, run, tmp_path):
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "song.stem.mp4").touch()
    for folders in ((tmp_path / "packed", stems / "found"), (stems / "true", tmp_path / "packed")):
        result = run("score", *folders)
        assert result.returncode == 1
        assert (
            "packed holds no stems, audio files, and no folders of them: write what its stem files"
            in result.stderr
        )


def soundfile_of(stems: Path, n_samples: int) -> Path:
    path = stems / "found" / "One" / "drums.flac"
    soundfile.write(path, np.ones(n_samples), RATE)
    return path


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: (f / "drums.flac").unlink(), "found/One lacks drums.wav or drums.flac"),
        (
            lambda f: soundfile.write(f / "piano.wav", np.ones(RATE), RATE),
            "piano.wav is the estimate of no source",
        ),
        (
            lambda f: soundfile.write(f / "drums.flac", np.ones(RATE - 1), RATE),
            "drums.flac has 3999 samples at 4000 Hz, but",
        ),
        (
            lambda f: soundfile.write(f / "drums.flac", np.ones(RATE), 8000),
            "drums.flac has 4000 samples at 8000 Hz, but",
        ),
        (lambda f: shutil.rmtree(f), "found/One is missing"),
    ],
)
def test_files_that_do_not_match_end_with_one_sentence_and_code_1(stems, run, spoil, sentence):
    spoil(stems / "found" / "One")
    result = run("score", stems / "true", stems / "found", "--csv", stems / "rows.csv")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (stems / "rows.csv").exists()


def test_usage_has_examples_and_its_mistakes_end_with_code_2(run):
    for name in ("score", "compare"):
        shown = run(name, "--help")
        assert shown.returncode == 0
        assert f"python -m eval {name} " in shown.stdout
    for arguments in ((), ("score", "a"), ("compare", "a", "b", "--reference", "mp3"), ("sing",)):
        assert run(*arguments).returncode == 2


@pytest.mark.slow
def test_memory_grows_with_a_song_by_its_windows_correlations_alone(tmp_path):
    """Under 100 kB a second of four sources, whose samples take 1.4 MB, and a margin for what the system gives."""
    used = {}
    for seconds in (60, 360):
        make_songs(tmp_path / str(seconds), Case(1, seconds, 4, 44100))
        folders = (tmp_path / str(seconds) / name for name in ("true", "found"))
        measured = run_module("eval", "score", *folders, folder=tmp_path)
        used[seconds] = measured["peak_resident_mb"]
    assert used[360] < 1000
    assert used[360] - used[60] < 0.1 * 300 + 50

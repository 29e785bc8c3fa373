"""The stages `generate` and `score_generation`, on small random models and a store of noise and a tone."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from eval.generation import REFERENCE
from pipelines import generate, score_generation
from tests.helpers import PARAMS
from tests.pipelines.test_latents_stage import RATE, make_segments
from tests.ucr.model.test_recomposition import save
from ucr.data.segments import SegmentStore
from ucr.foundation.errors import UserError
from ucr.foundation.files import write_audio

GENERATION = {
    "count": 6,
    "songs": 6,
    "prior_steps": 2,
    "steps": 1,
    "strengths": [0.5, 1.0],
    "spaces": ["latents", "log_mel"],
}
SECONDS = 1.0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with segments, models, and what both stages made of them."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        write_params(folder, patch)
        make_segments(folder / "segments", {"train": 16, "test": 28}, round(SECONDS * RATE))
        save(folder / "models", rate=RATE)
        generate.main()
        score_generation.main()
    return folder


def write_params(folder: Path, patch: pytest.MonkeyPatch, **changes) -> None:
    import yaml

    values = yaml.safe_load(PARAMS.read_text())
    values["generation"] |= GENERATION | changes
    values["codec"] |= {"bands": 16}
    values["segments"] |= {"seconds": SECONDS}
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    patch.chdir(folder)


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """The same to change; the stores and models are linked."""
    for name in ("segments", "models"):
        (tmp_path / name).symlink_to(made / name)
    for file in (made / "generated").rglob("*"):
        if file.is_file():
            copy = tmp_path / file.relative_to(made)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    write_params(tmp_path, monkeypatch)
    return tmp_path


def test_the_manifest_names_every_clip_and_its_songs(made):
    table = pd.read_csv(made / "generated/manifest.csv", dtype=str, keep_default_na=False)
    assert list(table) == ["kind", "segment", "generated", "taken", "strength", "seed", "file", "parts"]
    counts = {"reconstruction": 6, "unconditional": 6, "partial": 12, "variation": 12, "recombination": 6}
    assert table["kind"].value_counts().to_dict() == counts
    assert table["file"].is_unique
    names = set(SegmentStore(made / "segments", "test").names)
    for row in table.to_dict("records"):
        audio, rate = soundfile.read(made / "generated" / row["file"])
        assert (audio.shape, rate) == ((round(SECONDS * RATE),), RATE)
        assert np.isfinite(audio).all()
        songs = set(row["segment"].split("+")) - {""}
        assert songs <= names
        assert len(songs) == {"unconditional": 0, "recombination": 2}.get(row["kind"], 1)
    assert set(table.loc[table["kind"] == "partial", "generated"]) == {"component_0", "component_1"}
    assert set(table.loc[table["kind"] == "variation", "strength"]) == {"0.5", "1.0"}
    files = {str(path.relative_to(made / "generated")) for path in (made / "generated").rglob("*.wav")}
    assert files == set(table["file"]) | set(table["parts"]) - {""}


def test_shuffled_components_are_of_songs_of_one_half(made):
    embeddings = pd.read_csv(made / "generation_scores/embeddings.csv")
    real, shuffled = (embeddings[embeddings["set"] == name] for name in (REFERENCE, "shuffled components"))
    assert real.groupby("track")["half"].nunique().max() == 1
    assert real["half"].nunique() == 2
    assert shuffled["half"].tolist() == real["half"].tolist()


def test_a_partly_generated_song_is_the_mean_of_its_parts_and_keeps_the_others(made):
    table = pd.read_csv(made / "generated/manifest.csv", keep_default_na=False)
    partial = table[table["kind"] == "partial"]
    parts = {}
    for row in partial.to_dict("records"):
        whole, _ = soundfile.read(made / "generated" / row["file"], dtype="float32")
        parts[row["segment"], row["generated"]], _ = soundfile.read(
            made / "generated" / row["parts"], dtype="float32"
        )
        np.testing.assert_allclose(whole, parts[row["segment"], row["generated"]].mean(axis=1), atol=1e-6)
    store = SegmentStore(made / "segments", "test")
    for song in partial["segment"].unique():
        mixture = store[store.names.index(song)].mixture
        kept = parts[song, "component_0"][:, 1] + parts[song, "component_1"][:, 0]
        np.testing.assert_allclose(kept / 2, mixture, atol=1e-4)


def test_every_set_is_scored(made):
    embeddings = pd.read_csv(made / "generation_scores/embeddings.csv")
    rows = pd.read_csv(made / "generation_scores/rows.csv")
    sets = {
        "real", "codec", "noise", "shuffled components", "reconstruction", "unconditional", "partial component_0",
        "partial component_1", "variation 0.5", "variation 1.0", "recombination",
    }  # fmt: skip
    assert set(embeddings["set"]) == sets | {"test split"}
    assert (embeddings.groupby(["set", "space"]).size().drop("test split") == 6).all()
    assert (embeddings.groupby(["set", "space"]).size()["test split"] == 28).all()
    assert (embeddings.groupby(["set", "space"])["half"].nunique() == 2).all()
    copies = rows[rows["space"] == "copies"].pivot(index=["set", "clip"], columns="metric", values="value")
    assert set(copies.index.levels[0]) == (sets | {"test split"}) - {"real", "noise", "shuffled components"}
    assert copies["copied"].isin([0, 1]).all()
    assert copies["similarity_to_training"].between(-1, 1.001).all()
    least_copied = copies.loc[copies["copied"] == 1, "similarity_to_training"].min()
    assert not copies.loc[copies["copied"] == 0, "similarity_to_training"].ge(least_copied).any()
    follow = rows[rows["space"] == "parts"]
    who = {"test split", "partial component_0", "partial component_1"}
    assert set(follow["set"]) == who | {f"{name}, random pairs" for name in who}
    songs = rows[rows["space"] == "song"].set_index("set")["value"]
    assert songs.groupby(level=0).size().to_dict() == dict.fromkeys(
        ["codec", "reconstruction", "variation 0.5", "variation 1.0"], 6
    )
    assert songs["codec"].mean() < songs["variation 1.0"].mean()
    assert rows["value"].notna().all()
    provenance = json.loads((made / "generation_scores/provenance.json").read_text())
    assert provenance["data"] == {"test": "noise and a tone"}


def test_real_clips_are_the_nearest_to_real_clips(made):
    embeddings = pd.read_csv(made / "generation_scores/embeddings.csv")
    points = embeddings[embeddings["space"] == "log_mel"].set_index("set").filter(regex=r"^e\d+$")
    centre = points.loc[REFERENCE].mean()
    distance = ((points - centre) ** 2).sum(axis=1).groupby("set").mean()
    assert distance["test split"] < 0.2 * distance["noise"]


def test_the_same_again_gives_the_same_bytes(folder, made):
    generate.main()
    score_generation.main()
    for file in ("generated/manifest.csv", "generation_scores/rows.csv", "generation_scores/embeddings.csv"):
        assert (folder / file).read_bytes() == (made / file).read_bytes()


def shorten(folder):
    write_audio(next((folder / "generated/unconditional").glob("*.wav")), np.zeros(100, np.float32), RATE)


def drop_column(folder):
    table = pd.read_csv(folder / "generated/manifest.csv")
    table.drop(columns="parts").to_csv(folder / "generated/manifest.csv", index=False)


def other_songs(folder):
    path = folder / "generated/manifest.csv"
    path.write_text(path.read_text().replace("Track00000_0", "Track00077_0"))


MISTAKES = {
    "never generated": (
        lambda folder: (folder / "generated/manifest.csv").unlink(), "does not exist: run `dvc repro generate`"
    ),
    "an old manifest": (drop_column, "lacks the column parts: run `dvc repro generate`"),
    "a clip of another length": (shorten, "has 100 samples at 24000 Hz, the segments have 24000"),
    "songs of other data": (other_songs, r"names Track00077_0.*, which is no test segment: run"),
    "a lost clip": (
        lambda folder: next((folder / "generated/recombination").glob("*.wav")).unlink(), "wav does not exist"
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(folder, mistake, capsys):
    spoil, sentence = MISTAKES[mistake]
    spoil(folder)
    with pytest.raises(SystemExit, match="1"):
        score_generation.main()
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    with pytest.raises(UserError, match=sentence):
        raise UserError(error[0])
    assert not (folder / "generation_scores").exists()


def test_the_commands_end_with_the_sentence_and_code_1(tmp_path, monkeypatch, capsys):
    write_params(tmp_path, monkeypatch, spaces=["clap"])
    for stage, sentence in (
        (generate, "error: models/decomposition/model.safetensors does not exist"),
        (score_generation, "error: generation.spaces: clap needs learned weights"),
    ):
        with pytest.raises(SystemExit, match="1"):
            stage.main()
        assert capsys.readouterr().err.startswith(sentence)

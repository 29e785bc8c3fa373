"""Stage `score_generation`: generated and real clips -> generation_scores: embeddings, and values of single clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from eval.copies import bound, outline, similarity
from eval.distances import multiscale_stft_distance
from eval.embeddings import Projection, log_mel, statistics
from eval.following import Part, agreement, describe
from eval.generation import EMBEDDING_COLUMNS, REFERENCE, ROW_COLUMNS
from eval.learned import SPACES, load_space
from eval.pairing import halves, partners
from pipelines import run_stage
from ucr.codecs import make_codec
from ucr.data.held_out import held_out_stores
from ucr.data.segments import SegmentStore
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import read_audio, read_table, replacing, write_csv, write_json
from ucr.foundation.hashes import files_hash, values_hash
from ucr.foundation.params import LearnedSpace, Params, load_params
from ucr.foundation.provenance import made_with
from ucr.foundation.workers import in_workers

SEGMENTS = Path("segments")
GENERATED = Path("generated")
OUT = Path("generation_scores")
BATCH = 16
TRAINING = "training split"
HELD_OUT = "test split"
CODEC = "codec"
MANIFEST_COLUMNS = ["kind", "segment", "generated", "strength", "file", "parts"]
PARTS = "parts"  # the space of how one part of a song goes with another
COPIES = "copies"  # the space of how much a clip repeats of a training segment
SONG = "song"  # the space of how a clip differs from the song that it was made of


def read_manifest() -> pd.DataFrame:
    """What `generate` made, with the name of the set that each clip belongs to."""
    path = GENERATED / "manifest.csv"
    table = read_table(path, MANIFEST_COLUMNS, [], "run `dvc repro generate`")
    details = np.where(table["kind"] == "partial", table["generated"], table["strength"])
    names = [f"{kind} {detail}".strip() for kind, detail in zip(table["kind"], details, strict=True)]
    return table.assign(set=names, clip=table["file"].str.removesuffix(".wav"))


def embed_segments(
    store: SegmentStore, indices: list[list[int]], length: int, treatment: str, params: Params
) -> dict[str, np.ndarray]:
    """What `embed` gives of the first `length` samples of the mixtures of source k of segment `indices[clip][k]`.

    `treatment` is `codec`, `noise` (white, as loud as the mixture) or empty.
    """
    store = SegmentStore(store.folder, store.split)  # its transaction serves one thread
    clips = np.stack([np.mean([store[i].sources[k] for k, i in enumerate(each)], 0) for each in indices])[
        :, :length
    ]
    if treatment == "noise":
        rng = np.random.default_rng([params.seed, *indices[0]])
        clips = clips.std(axis=1, keepdims=True) * rng.standard_normal(clips.shape, dtype=np.float32)
    return embed(clips, store.sample_rate, params, treatment == CODEC)


def embed_files(
    paths: list[Path], sample_rate: int, n_samples: int, length: int, params: Params
) -> dict[str, np.ndarray]:
    """What `embed` gives of the first `length` samples of audio files, which have `n_samples`."""
    clips = np.stack([read_clip(path, sample_rate, n_samples)[0] for path in paths])
    return embed(clips[:, :length], sample_rate, params)


def embed(
    clips: np.ndarray, sample_rate: int, params: Params, through_codec: bool = False
) -> dict[str, np.ndarray]:
    """Statistics of clips float32[b, n_samples] by space of `generation.spaces`, float64[b, d], and their outlines."""
    codec = make_codec(params.codec, sample_rate)
    with torch.no_grad():
        latents = codec.encode(torch.from_numpy(clips))
        if through_codec:
            clips = codec.decode(latents, clips.shape[1]).numpy()
            latents = codec.encode(torch.from_numpy(clips))
    spectrograms = log_mel(clips, sample_rate)
    found = {"latents": latents.numpy(), "log_mel": spectrograms}
    for name, path in learned_spaces(params).items():
        found[name] = load_space(name, path).embed(clips, sample_rate)
    spaces = {name: statistics(found[name]) for name in params.generation.spaces}
    return spaces | {COPIES: outline(spectrograms)}


def learned_spaces(params: Params) -> dict[LearnedSpace, str | None]:
    """The spaces of `generation.spaces` that need the user's weights, and where these are."""
    given = params.generation.weights
    return {name: given.get(name) for name in SPACES if name in params.generation.spaces}


def read_clip(path: Path, sample_rate: int, n_samples: int) -> np.ndarray:
    """A generated file: float32[channels, n_samples]."""
    audio, rate = read_audio(path)
    if (rate, audio.shape[1]) != (sample_rate, n_samples):
        raise UserError(
            f"{path} has {audio.shape[1]} samples at {rate} Hz, the segments have {n_samples} at {sample_rate} Hz: "
            "run `dvc repro generate`"
        )
    return audio


def describe_sources(store: SegmentStore, index: int) -> list[tuple[Part, Part]]:
    """Each true source of a segment beside the sum of the others; two sources make one pair."""
    sources = SegmentStore(store.folder, store.split)[index].sources
    ones = sources[: 1 if len(sources) == 2 else None]
    total, rate = sources.sum(0), store.sample_rate
    return [(describe(one, rate), describe(total - one, rate)) for one in ones]


def describe_parts(path: Path, generated: str, sample_rate: int, n_samples: int) -> list[tuple[Part, Part]]:
    """The generated components of a song, together, beside those that were kept."""
    parts = read_clip(path, sample_rate, n_samples)
    new = np.array([f"component_{i}" in generated.split("+") for i in range(len(parts))])
    return [(describe(parts[new].sum(0), sample_rate), describe(parts[~new].sum(0), sample_rate))]


def embed_all(
    params: Params, manifest: pd.DataFrame, test: SegmentStore, train: SegmentStore
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Every clip (set, clip, track, half), and what `embed` gives of it, by space.

    Sets of real songs are of training songs: the test split has too few to compare with. A clip of no training song
    belongs to either half in turn.
    """
    n_sources = 1 if train.mixtures_alone else len(train.sources)
    chosen = np.linspace(0, len(train) - 1, min(params.generation.count, len(train))).round().astype(int)
    tracks = [train.track(train.names[i]) for i in chosen]
    half = halves(tracks)
    others = [partners(tracks, half, shift) for shift in range(1, n_sources)]
    plain = [(i,) * n_sources for i in chosen]
    shuffled = [(i, *(chosen[other[k]] for other in others)) for k, i in enumerate(chosen)]
    sets = [
        (TRAINING, train, [(i,) * n_sources for i in range(len(train))], ""),
        (REFERENCE, train, plain, ""),
        (CODEC, train, plain, CODEC),
        ("noise", train, plain, "noise"),
        *([] if train.mixtures_alone else [("shuffled components", train, shuffled, "")]),
        (HELD_OUT, test, [(i,) * len(test.sources) for i in range(len(test))], ""),
    ]
    length = min(store[0].mixture.size for store in (test, train))  # what clips have in common
    clips: list[tuple] = []
    calls: list[tuple] = []
    for name, store, indices, treatment in sets:
        for batch in _batches(indices):
            calls.append((embed_segments, store, batch, length, treatment, params))
        clips += [(name, store.names[first], store.track(store.names[first])) for first, *_ in indices]
    shape = test.sample_rate, test[0].mixture.size
    for batch in _batches([GENERATED / file for file in manifest["file"]]):
        calls.append((embed_files, batch, *shape, length, params))
    for line in manifest.to_dict("records"):
        track = test.track(_first_song(line["segment"], test)) if line["segment"] else line["clip"]
        clips.append((line["set"], line["clip"], track))
    results = list(_work(calls, "embedding"))
    table = pd.DataFrame(clips, columns=["set", "clip", "track"])
    turn = table.groupby("set").cumcount() % 2
    table["half"] = table["track"].map(half).fillna(turn).astype(int)
    return table, {space: np.concatenate([each[space] for each in results]) for space in results[0]}


def project(clips: pd.DataFrame, found: dict[str, np.ndarray], spaces: Sequence[str]) -> pd.DataFrame:
    """Embeddings of all clips in each space, those of the whole training split apart, which they are fitted to."""
    training = (clips["set"] == TRAINING).to_numpy()
    tables = []
    for space in spaces:
        points = Projection.fit(found[space][training])(found[space])
        table = pd.DataFrame(points, columns=[f"e{i}" for i in range(points.shape[1])]).round(6)
        tables.append(pd.concat([clips.assign(space=space), table], axis=1)[[*EMBEDDING_COLUMNS, *table]])
        tables[-1] = tables[-1][~training]
    return pd.concat(tables, ignore_index=True)


def find_copies(clips: pd.DataFrame, outlines: np.ndarray) -> pd.DataFrame:
    """How much clips repeat of a training segment: rows of what was generated, of the test split, and of copies.

    Training segments through the codec are the copies: the check has to find them.
    """
    training = (clips["set"] == TRAINING).to_numpy()
    least = bound(outlines[training], clips.loc[training, "track"].tolist())
    real = [TRAINING, REFERENCE, "noise", "shuffled components"]
    asked = ~clips["set"].isin(real).to_numpy()
    values = similarity(outlines[asked], outlines[training])
    copied = np.where(np.isnan(least), np.nan, values > least)
    rows = [
        clips[asked].assign(space=COPIES, metric=metric, value=each)
        for metric, each in (("similarity_to_training", values), ("copied", copied))
    ]
    return pd.concat(rows, ignore_index=True)[ROW_COLUMNS]


def compare_with_songs(manifest: pd.DataFrame, test: SegmentStore, params: Params) -> pd.DataFrame:
    """Multi-scale STFT distances between test songs and what was made of them: rebuilt, varied, through the codec."""
    made = manifest[manifest["kind"].isin(["reconstruction", "variation"])]
    lines = [(line["set"], line["clip"], line["segment"], line["file"]) for line in made.to_dict("records")]
    lines += [(CODEC, name, name, "") for name in made["segment"].unique()]
    numbers = {name: i for i, name in enumerate(test.names)}
    calls = [
        (distance_to_song, test, numbers[_first_song(name, test)], GENERATED / file if file else None, params)
        for _, _, name, file in lines
    ]
    rows = pd.DataFrame(
        [(set_name, clip, test.track(name)) for set_name, clip, name, _ in lines],
        columns=["set", "clip", "track"],
    )
    values = list(_work(calls, "comparing with songs"))
    return rows.assign(space=SONG, metric="mstft", value=values)[ROW_COLUMNS]


def distance_to_song(store: SegmentStore, index: int, path: Path | None, params: Params) -> float:
    """Of a clip, or without one of the song through the codec."""
    song = SegmentStore(store.folder, store.split)[index].mixture[None]
    if path:
        clip = read_clip(path, store.sample_rate, song.shape[1])
    else:
        codec = make_codec(params.codec, store.sample_rate)
        with torch.no_grad():
            clip = codec.decode(codec.encode(torch.from_numpy(song)), song.shape[1]).numpy()
    return float(multiscale_stft_distance(song, clip)[0])


def follow(manifest: pd.DataFrame, test: SegmentStore) -> pd.DataFrame:
    """How well parts go together: of true songs, of partly generated ones, and of random pairs of either."""
    shape = test.sample_rate, test[0].mixture.size
    partial = manifest[manifest["kind"] == "partial"]
    names = [HELD_OUT] * len(test) + list(partial["set"])
    clips = [*test.names, *partial["clip"]]
    tracks = [
        test.track(name) for name in [*test.names, *(_first_song(each, test) for each in partial["segment"])]
    ]
    calls: list[tuple] = [(describe_sources, test, i) for i in range(len(test))]
    for line in partial.to_dict("records"):
        calls.append((describe_parts, GENERATED / line["parts"], line["generated"], *shape))
    pairs = list(_work(calls, "describing parts"))
    rows = []
    for name in dict.fromkeys(names):
        members = [i for i, each in enumerate(names) if each == name]
        songs = [tracks[i] for i in members]
        others = partners(songs)
        for i, other in zip(members, others, strict=True):
            for (new, kept), (_, strange) in zip(pairs[i], pairs[members[other]], strict=True):
                for suffix, part in (("", kept), (", random pairs", strange)):
                    for metric, value in agreement(new, part).items():
                        rows.append((name + suffix, PARTS, metric, clips[i], tracks[i], value))
    return pd.DataFrame(rows, columns=ROW_COLUMNS)


def _first_song(segment: str, test: SegmentStore) -> str:
    """The test segment that a line of the manifest is made of, the first of two: `A` of `A+B`."""
    for name in test.names:
        if segment == name or segment.startswith(f"{name}+"):
            return name
    raise UserError(
        f"{GENERATED / 'manifest.csv'} names {segment}, which is no test segment: run `dvc repro --force generate`"
    )


def _batches(items: list) -> Iterator[list]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


def _work(calls: list[tuple], what: str) -> Iterator:
    return tqdm(in_workers(_call, calls, "threading"), desc=what, total=len(calls), unit="call")


def _call(function: Callable, *arguments: object) -> object:
    return function(*arguments)


@command
def main() -> None:
    params = load_params()
    for name, path in learned_spaces(params).items():
        load_space(name, path)
    manifest = read_manifest()
    (set_name, test), *_ = held_out_stores().items()
    train = SegmentStore(SEGMENTS, "train")
    clips, found = embed_all(params, manifest, test, train)
    embeddings = project(clips, found, params.generation.spaces)
    tables = [
        find_copies(clips, found[COPIES]),
        follow(manifest, test),
        compare_with_songs(manifest, test, params),
    ]
    rows = pd.concat(tables, ignore_index=True)
    rows = rows.round({"value": 6})
    values = params.model_dump()
    provenance = {
        "data": {set_name: test.fingerprint},
        "generated": files_hash(GENERATED / "manifest.csv"),
        "params": {"hash": values_hash(values), "values": values},
        **made_with(),
    }
    with replacing(OUT) as temporary:
        temporary.mkdir()
        write_csv(temporary / "embeddings.csv", embeddings)
        write_csv(temporary / "rows.csv", rows)
        write_json(temporary / "provenance.json", provenance)
    print(
        f"{OUT}: {embeddings['clip'].nunique()} clips of {embeddings['set'].nunique()} sets in the spaces "
        f"{', '.join(params.generation.spaces)}"
    )


if __name__ == "__main__":
    run_stage(main, __doc__)

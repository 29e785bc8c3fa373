"""Learning from one's own songs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ucr.foundation.checkpoints import CARD, WEIGHTS, default_device, load_model
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_json, write_json
from ucr.foundation.hashes import file_hash
from ucr.foundation.provenance import code_version
from ucr.model.decomposition import Setting, load_decomposition
from ucr.program.shipped import shipped, sources_of, weights_folder
from ucr.program.song_latents import read_songs, song_files, songs_hash

UNFINISHED = "unfinished"  # in the folder of a training that goes on: latents, pseudo-labels, checkpoint
SETTINGS = "settings.json"
LEAST = 8  # segments of music: one for each crop of a batch
LEAST_OF_A_SONG = 2
ADAPTING = (
    1.25  # times its length a song is learnt from, less what starting takes: with separation well under two
)
STARTING = 5.0  # seconds to load what trains, about, on two cores


def train(
    songs: Sequence[str | Path] | str | Path,
    out: str | Path,
    *,
    sources: Sequence[str] | None = None,
    minutes: float = 20.0,
    start: str | Path | None = None,
    seed: int = 0,
) -> Path:
    """Train the decomposition model on songs, which need no stems: unsupervised, as the benchmark trains `ucr`.

    The songs are read once, as a stream. What is silent or speech or can't be read is left out, and told. A call
    that was killed is continued by the same call; one that is done is not done again.

    Parameters
    ----------
    songs
        Files, and folders with all audio files in them and in their folders.
    out
        The folder that gets the weights, with a card that says how they came about. `separate` takes it as `weights`.
    sources
        What the components shall be, such as `["drums", "bass"]` or "drums+bass"; by default drums, bass and other, or
        what `start` separates. The model hears from these names how many there are, and whether one is percussive.
    minutes
        How long to train, from the end of reading on.
    start
        A task whose weights ship, or a folder of weights, to go on from; by default training starts from nothing.
    seed
        Another one, another result.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    UserError
        If there is too little music, `out` holds something else, or sources and weights don't go together.
    """
    if not 0 < minutes < float("inf"):
        raise UserError(f"{minutes} minutes are no time to train: give more than 0")
    given = [songs] if isinstance(songs, (str, Path)) else songs
    weights = None if start is None else weights_folder(start)
    _train(song_files(given), Path(out), sources, 60 * minutes, weights, seed, LEAST, "add songs")
    return Path(out)


def adapt(song: str | Path, seconds: float, weights: str | Path, out: str | Path) -> None:
    """Train weights further, as `train`, on one song that lasts so many seconds, in less than twice that time."""
    allowed = max(0.0, ADAPTING * seconds - STARTING)
    remedy = "separate it without --adapt"
    _train([Path(song)], Path(out), None, allowed, Path(weights), 0, LEAST_OF_A_SONG, remedy)


def _train(
    paths: list[Path],
    out: Path,
    sources: Sequence[str] | None,
    seconds: float,
    weights: Path | None,
    seed: int,
    least: int,
    remedy: str,
) -> None:
    from ucr.training.budget import learn
    from ucr.training.results import save_training

    setting, tensors = _setting(weights, sources)
    settings = {
        "songs": songs_hash(paths),
        "sources": setting.sources,
        "minutes": round(seconds / 60, 4),
        "start": None if weights is None else file_hash(weights / WEIGHTS),
        "seed": seed,
    }
    if _begin(out, settings):
        return
    work, device = out / UNFINISHED, default_device()
    codec = setting.make_codec(weights or shipped(), device)
    try:
        store, census = read_songs(
            paths, work / "latents", codec, setting.codec, setting.sources, least, remedy
        )
    except UserError:
        shutil.rmtree(work)
        if not any(out.iterdir()):
            out.rmdir()
        raise
    _tell(census, len(paths))
    if weights is None:
        setting = setting.model_copy(update={key: store.meta[key] for key in ("mean", "std")})
    learnt = learn(store, setting, tensors, work, seconds, seed, settings)
    card = {
        **learnt.card,
        "code": code_version(),
        "task": "+".join(setting.sources),
        "data": census,
        "settings": settings,
        "start": None if weights is None else str(weights),
    }
    save_training(out, learnt.job, learnt.config, card, learnt.history)
    _tell_scores(**card["label_free"])


def _tell_scores(before: dict[str, float], after: dict[str, float]) -> None:
    """Say how well mixtures alone are modelled, and what that does not mean."""
    for what, name in (
        ("error of the songs composed again from their components", "validation_loss"),
        (
            "remix consistency in dB, how well components put together anew are found again",
            "remix_consistency_db",
        ),
    ):
        print(f"{what}: {before[name]:.4g} before, {after[name]:.4g} after", file=sys.stderr)
    print(
        "Neither takes true stems; neither says how good the stems sound, or which of two ways to train is better.",
        file=sys.stderr,
    )


def _tell(census: dict, given: int) -> None:
    """Say what is learnt from, and what is left out and why."""
    for each in census["left_out"]:
        print(f"left out: {each['song']}: {each['why']}", file=sys.stderr)
    print(
        f"learning from {census['songs']} of {given} songs: {60 * census['hours']:.1f} minutes, "
        f"{census['segments']} segments; left out: {census['silent_segments']} too quiet, "
        f"{census['speech_segments']} speech",
        file=sys.stderr,
    )


def _setting(weights: Path | None, sources: Sequence[str] | None) -> tuple[Setting, dict[str, Tensor] | None]:
    """The model's setting and the tensors to start from; from nothing, the setting is that of shipped weights."""
    names = sources_of("+".join([sources] if isinstance(sources, str) else sources)) if sources else None
    if weights is None:
        setting = Setting(**load_model(shipped())[1])
        return setting.model_copy(update={"sources": names or setting.sources}), None
    model, setting, _ = load_decomposition(weights)
    if names and sorted(names) != sorted(setting.sources):
        raise UserError(
            f"{weights} separates {', '.join(setting.sources)}, not {', '.join(names)}: leave out the sources, or "
            "start from other weights or from nothing"
        )
    return setting, model.state_dict()


def _begin(out: Path, settings: dict) -> bool:
    """Make the folder of a training, or find that it is begun or done with the same settings: whether it is done."""
    done, place = (out / CARD).is_file(), out / UNFINISHED / SETTINGS
    known = read_json(out / CARD).get("settings") if done else read_json(place) if place.is_file() else None
    if known:
        other = [name for name, value in settings.items() if known.get(name) != value]
        if other:
            raise UserError(
                f"{out} holds a training with other {' and '.join(other)}: choose another folder, or delete it"
            )
    elif out.exists() and (not out.is_dir() or any(path.name != UNFINISHED for path in out.iterdir())):
        raise UserError(f"{out} exists and is no folder of a training on songs: choose another folder")
    else:
        write_json(place, settings)
    return done

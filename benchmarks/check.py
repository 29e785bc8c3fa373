"""Check a separation method against the contract and score it on three short songs, in under a minute.

    python -m benchmarks.check METHOD [--set OPTION=VALUE ...] [--weights FOLDER]

METHOD is a name of `baselines/`, the path of a file such as ../mine.py, or what an installed package offers as an entry
point of the group `ucr.methods`. Options are those of `params.yaml`, where the method is in it, and those set here over
them. It prints the method's card, each check of `ucr.methods.checks`, and SI-SDR and SI-SIR beside those of `mixture`
and `irm`: on the first segments of three test songs if `segments/` is there, and otherwise on songs of `slakh_mini`
rendered on the spot (kept in runs/check). Exit code 1 if a check fails.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import yaml

from eval.scores import si_scores
from ucr.data.cutting import cut_track
from ucr.data.segments import SegmentStore, decoded
from ucr.data.slakh.compose import compose
from ucr.data.slakh.read import Track
from ucr.data.slakh.render import default_soundfont, render_song
from ucr.data.slakh.soundfont import fix_soundfont
from ucr.foundation.errors import UserError, command
from ucr.foundation.files import replacing
from ucr.foundation.hashes import code_hash, short_hash
from ucr.foundation.params import Params, load_params
from ucr.methods.checks import CHECKS, Result, Subject, check, level_dependence
from ucr.methods.contract import Baseline, Meta, Oracle
from ucr.methods.registry import find, make_method

SEGMENTS, CACHE = Path("segments"), Path("runs/check")
SONGS, TRIES = 3, 30
COMPARED = ("mixture", "irm")
METRICS = {"si_sdr": "SI-SDR", "si_sir": "SI-SIR"}


def short_songs(params: Params) -> np.ndarray:
    """True sources of a segment of three test songs: float32[3, n_sources, n_samples]."""
    if (SEGMENTS / "segments.json").is_file():
        store = SegmentStore(SEGMENTS, "test")
        if store.sources == params.sources and store.sample_rate == params.segments.sample_rate:
            firsts = {store.track(name): place for place, name in reversed(list(enumerate(store.names)))}
            return np.stack([store[place].sources for place in sorted(firsts.values())[:SONGS]])
    key = short_hash([params.sources, params.segments.model_dump(), code_hash()])
    path = CACHE / f"{key}.npy"
    if not path.is_file():
        songs = _rendered(params)
        shutil.rmtree(CACHE, ignore_errors=True)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, songs)
    return np.load(path, allow_pickle=False)


def _rendered(params: Params) -> np.ndarray:
    cut = params.segments
    found: list[np.ndarray] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fix_soundfont(default_soundfont(), folder / "soundfont.sf2")
        for number in range(TRIES):
            track = Track(f"Track{number:05}", "test", folder / f"Track{number:05}")
            song = compose(params.seed, "test", number, cut.seconds)
            render_song(song, track.folder, folder / "soundfont.sf2", cut.seconds)
            pieces = cut_track(track, params.sources, cut.sample_rate, params.segment_samples, cut.min_rms)
            found += [decoded(value, len(params.sources)) for value in pieces.audio.values()]
            if len(found) >= SONGS:
                return np.stack(found[:SONGS])
    raise UserError(
        f"sources: of {TRIES} songs fewer than {SONGS} have {' and '.join(params.sources)}: choose others"
    )


def loaded(
    name: str, changes: dict, weights: Path | None, params: Params
) -> tuple[Meta, Baseline | Oracle, dict]:
    """The method's card, the method itself with what it needs, and its options.

    Raises
    ------
    UserError
        If there is no such method, it doesn't take the options, or what it needs is missing.
    """
    meta = find(name).meta
    known = params.methods.get(name, {})
    options = {key: value for key, value in known.items() if key not in ("code", "needs")} | changes
    method = make_method(name, {"code": name, **options})[1]
    if reason := meta.inapplicable(len(params.sources)):
        raise UserError(f"{reason}: change `sources` in params.yaml")
    needs = weights or Path(known.get("needs", SEGMENTS))
    if meta.weights in ("trained", "shipped") and needs == SEGMENTS:
        raise UserError(f"{name} needs weights: name their folder with --weights")
    if needs != SEGMENTS and not needs.exists():
        raise UserError(
            f"{needs} does not exist, which {name} needs: run its stage, or name a folder with --weights"
        )
    method.load(needs, params.sources)
    return meta, method, options


def scores(subject: Subject, songs: np.ndarray) -> dict[str, np.ndarray]:
    """Mean over songs of each source's SI scores, in dB: float64[n_sources] by metric."""
    estimates = np.stack([subject.whole(sources) for sources in songs])
    found = si_scores(songs, estimates, songs.mean(axis=1), ordered=subject.meta.labelled)
    return {metric: found[metric].mean(axis=0) for metric in METRICS}


def card(meta: Meta, options: dict) -> str:
    """The method's card in a few lines."""
    lines = {
        "kind": meta.kind,
        "what it does": meta.summary,
        "paper": meta.paper,
        "licence": meta.licence,
        "weights": meta.weights,
        "sources": str(meta.n_sources or "any number"),
        "steps": "an option: it samples" if meta.steps else "none: it does not sample",
        "options": ", ".join(f"{key}={value}" for key, value in options.items()) or "its defaults",
    }
    return "\n".join([meta.name, *(f"  {key:<13} {value}" for key, value in lines.items())])


def table(names: list[str], rows: dict[str, dict[str, np.ndarray]]) -> str:
    """Scores as text, a line per method."""
    width = max(map(len, rows)) + 2
    heads = [f"{name} {metric}" for name in names for metric in METRICS.values()]
    lines = [" " * width + "  ".join(heads)]
    for method, found in rows.items():
        values = [found[metric][i] for i in range(len(names)) for metric in METRICS]
        cells = [f"{value:{len(head)}.1f}" for head, value in zip(heads, values, strict=True)]
        lines.append(f"{method:<{width}}" + "  ".join(cells))
    return "\n".join(lines)


def report(name: str, changes: dict, weights: Path | None, params: Params) -> list[Result]:
    """Print the card, the checks and the scores of a method; returns the checks."""
    meta, method, options = loaded(name, changes, weights, params)
    print(card(meta, options), end="\n\n")
    songs, rate = short_songs(params), params.segments.sample_rate
    subject = Subject(meta, method, songs[0], rate)
    results = []
    for key in CHECKS:
        results.append(check(subject, key))
        print(f"{results[-1].status:<8} {key:<18} {results[-1].sentence}", flush=True)
    if any(result.status == "failed" for result in results):
        print("\nno scores: the method must pass its checks first")
        return results
    print(f"{'info':<8} {'level':<18} {_level(subject)}")
    rows = {meta.name: scores(subject, songs)}
    for other in COMPARED:
        plugin = find(other)
        rows.setdefault(other, scores(Subject(plugin.meta, plugin.method(), songs[0], rate), songs))
    print(f"\nmean of {len(songs)} segments of {songs.shape[-1] / rate:g} s, in dB")
    print(table(params.sources, rows))
    return results


def _level(subject: Subject) -> str:
    difference = level_dependence(subject)
    if difference < -60 or np.isnan(difference):
        return "music 6 dB quieter gives estimates 6 dB quieter"
    return f"estimates of music 6 dB quieter differ from those 6 dB quieter by {difference:.0f} dB of them"


def _option(text: str) -> tuple[str, object]:
    key, equals, value = text.partition("=")
    if not key.isidentifier() or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no OPTION=VALUE")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError:
        raise argparse.ArgumentTypeError(f"{value!r} is no YAML value") from None


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("method", help="a name, or the path of a file")
    parser.add_argument(
        "--set",
        dest="options",
        metavar="OPTION=VALUE",
        type=_option,
        action="extend",
        nargs="+",
        default=[],
        help="options of the method",
    )
    parser.add_argument("--weights", metavar="FOLDER", type=Path, help="what the method loads")
    arguments = parser.parse_args()
    results = report(arguments.method, dict(arguments.options), arguments.weights, load_params())
    if failed := [result.name for result in results if result.status == "failed"]:
        raise UserError(f"{arguments.method} fails {', '.join(failed)}: see above")


if __name__ == "__main__":
    main()

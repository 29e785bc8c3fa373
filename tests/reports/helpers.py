"""A small and complete results folder, written as the stages write it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from eval.comparable import provenance_table
from eval.tables import MethodInfo, tables_of_sets
from tests.helpers import PARAMS, ROOT
from ucr.data.segments import set_of
from ucr.foundation.files import write_audio, write_csv, write_json
from ucr.foundation.params import Params, check_params
from ucr.foundation.schema import read_yaml

SOURCES = ["drums", "bass"]
METHODS = {
    "ucr": "unsupervised",
    "demucs": "supervised",
    "hpss": "blind",
    "mixture": "bound",
    "irm": "oracle",
}
QUALITY = {"unsupervised": 8.0, "supervised": 9.0, "blind": 2.0, "bound": -1.0, "oracle": 12.0}
METRICS = ["si_sdr", "si_sir", "si_sar", "si_sdr_improvement", "mstft"]
RATE = 24000
HOSTILE = "\"'><img src=x onerror=alert(1)>"


def make_sources(seconds: float, seed: int) -> np.ndarray:
    """Clicks with decaying noise, and a low tone: float32[2, n_samples]."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    drums = rng.normal(size=len(time)) * np.exp(-20 * (time % 0.25)) * 0.3
    bass = 0.3 * np.sign(np.sin(2 * np.pi * 55 * 2 ** (seed % 7 / 12) * time)) * (1 - time % 0.5)
    return np.stack([drums, bass]).astype(np.float32)


def make_tree(
    root: Path,
    methods: dict[str, str] = METHODS,
    tracks: int = 3,
    segments: int = 2,
    seconds: float = 0.5,
    sources: list[str] = SOURCES,
    track: str = "Track",
    task: str = "drums+bass",
    further: int = 0,
) -> Params:
    """Write results of `methods` on `tracks` times `segments` segments; the last method fails on one of them.

    A second test set, `real`, has `further` songs of a segment each.
    """
    rng = np.random.default_rng(0)
    names = [(f"{track}{t:05d}", f"{track}{t:05d}_{i}") for t in range(tracks) for i in range(segments)]
    names += [(f"real.Song{t:05d}", f"real.Song{t:05d}_0") for t in range(further)]
    for number, (_, name) in enumerate(names):
        true = make_sources(seconds, number)
        mixture = true.mean(axis=0)
        for label, signal in zip(["mixture", *sources], [mixture, *true], strict=True):
            write_audio(root / "references" / "waveform" / name / f"{label}.wav", signal, RATE)
        for method, kind in methods.items():
            if method == list(methods)[-1] and number == 0:
                continue
            leak = 10 ** (-QUALITY.get(kind, 0.0) / 20)
            estimates = true + leak * true[::-1]
            labels = sources
            if kind in ("unsupervised", "blind", "bound"):  # unlabelled: components in the other order
                estimates, labels = estimates[::-1], [f"component_{i}" for i in range(len(sources))]
            for label, signal in zip(labels, estimates, strict=True):
                write_audio(root / "estimates" / method / name / f"{label}.wav", signal, RATE)

    tables = []
    for method, kind in methods.items():
        rows = []
        for number, (track_name, name) in enumerate(names):
            failed = method == list(methods)[-1] and number == 0
            for source in sources:
                for reference in ("waveform", "codec"):
                    for metric in [*METRICS, "v4_sdr"]:
                        value = (
                            QUALITY.get(kind, 0.0)
                            - 0.1 * number
                            + rng.normal(scale=0.3)
                            + 3 * (metric == "si_sir")
                        )
                        row = [
                            task,
                            set_of(name, "slakh_mini"),
                            method,
                            track_name,
                            name,
                            source,
                            reference,
                            metric,
                        ]
                        window = 0 if metric == "v4_sdr" else None
                        rows.append(
                            [
                                *row,
                                window,
                                *((None, "failed", "ran out of <luck>") if failed else (value, "ok", "")),
                            ]
                        )
        columns = [
            "task",
            "set",
            "method",
            "track",
            "segment",
            "source",
            "reference",
            "metric",
            "window",
            "value",
            "status",
            "reason",
        ]
        table = pd.DataFrame(rows, columns=columns).astype({"window": "Int64", "value": float})
        write_csv(root / "scores" / method / "rows.csv", table)
        tables.append(table)
        card = {
            "name": method,
            "kind": kind,
            "paper": f"A paper on {method}, 2020",
            "summary": "What it does.",
        }
        write_json(root / "estimates" / method / "method.json", {"card": card})
    kinds = {
        name: MethodInfo(
            kind,
            "fixed order" if kind in ("supervised", "oracle") else "best permutation",
            {"unsupervised": "run", "supervised": "long"}.get(kind, "none"),
        )
        for name, kind in methods.items()
    }
    made = tables_of_sets(pd.concat(tables, ignore_index=True), kinds)
    write_csv(root / "reports/tables/separation.csv", made.separation)
    write_csv(root / "reports/tables/comparisons.csv", made.comparisons)
    make_extras(root, methods, names, sources)
    params = check_params(read_yaml(PARAMS) | {"sources": sources})
    # not checked: the report must hold up even if it meets names that no params file may have
    return params.model_copy(
        update={"methods": {name: {"code": f"baselines/{name}.py", "needs": "segments"} for name in methods}}
    )


def make_extras(
    root: Path, methods: dict[str, str], names: list[tuple[str, str]], sources: list[str]
) -> None:
    """Everything that the report can do without."""
    shutil.copy(ROOT / "reports/published.yaml", root / "reports")
    data = [
        ("train", "track", "used", 96),
        ("train", "track", "no bass", 4),
        ("test", "segment", "used", len(names)),
    ]
    write_csv(
        root / "reports/tables/data.csv", pd.DataFrame(data, columns=["split", "item", "reason", "count"])
    )
    shared = {
        "data": {"slakh_mini": "f" * 64},
        "code": {"commit": "0123abc", "uncommitted_changes": False},
        "libraries": {"numpy": "2.4.6"},
        "machine": {"cpu": "A processor", "cores": 2},
    }
    provenance = {method: {"kind": kind, "weights": None, **shared} for method, kind in methods.items()}
    write_csv(root / "reports/tables/provenance.csv", provenance_table(provenance))
    cost = [
        {
            "method": method,
            "kind": kind,
            "parameters": 1e6 if kind == "unsupervised" else None,
            "macs_per_second": None,
        }
        | {
            "rtf_1": 0.01 * 2**i,
            "rtf_1_min": 0.009 * 2**i,
            "rtf_1_max": 0.012 * 2**i,
            "peak_memory_mb": 100.0 + i,
        }
        | {
            "device": "cpu",
            "threads": 2,
            "machine": "A processor, 2 cores, 8 GB",
            "libraries": "torch 2.13.0+cpu",
            "failed": "",
        }
        for i, (method, kind) in enumerate(methods.items())
    ]
    write_csv(root / "reports/tables/cost.csv", pd.DataFrame(cost))
    steps = [
        (n, source, 8 - len(source) / n, 16 - len(source) / n, 0.01 * n)
        for n in (1, 2, 5, 10, 50)
        for source in sources
    ]
    write_csv(
        root / "reports/steps.csv",
        pd.DataFrame(steps, columns=["steps", "source", "si_sdr", "si_sir", "real_time_factor"]),
    )
    ablation = [
        {"run": f"{variant}-{seed}", "variant": variant, "seed": seed, "task": "drums+bass"}
        | {"params": json.dumps({"decomposition.guided": i}), "steps": 1000, "seconds": 200.5}
        | {"validation_loss": 0.1, "remix_consistency_db": 6.0 + i - 0.1 * seed}
        | {"si_sdr_clips": -20.0 + i, "n_clips": 12}
        | {
            f"{metric}_{source}": 5 + 2.0 * i + 0.2 * seed
            for metric in ("si_sdr", "si_sir")
            for source in sources
        }
        for i, variant in enumerate(["default", "not guided", "<b>paper's"])
        for seed in range(3)
    ]
    write_csv(root / "reports/ablation.csv", pd.DataFrame(ablation))
    distances = [
        ("unconditional", "log_mel", "frechet", 12.5, 11.0, 14.0, 8),
        ("real against real", "log_mel", "frechet", 1.25, 1.0, 1.5, 8),
    ]
    write_csv(
        root / "reports/tables/generation.csv",
        pd.DataFrame(distances, columns=["set", "space", "metric", "value", "ci_low", "ci_high", "n"]),
    )
    for model in ("decomposition", "prior"):
        steps_done = np.arange(1, 7) * 250
        curve = {
            "step": steps_done,
            "loss": 100 / steps_done,
            "validation_loss": 120 / steps_done,
            "seconds": steps_done / 10,
        }
        write_csv(root / "models" / model / "training.csv", pd.DataFrame(curve))
        write_json(root / "models" / model / "card.json", {"parameters": 123456, "device": "cpu", "seed": 0})
    song, other = names[0][1], names[-1][1]
    manifest = [
        {"kind": "reconstruction", "segment": song, "file": "reconstruction/a.wav"},
        {"kind": "partial", "segment": song, "generated": "component_0", "file": "partial_component_0/a.wav"},
        {"kind": "variation", "segment": song, "strength": 0.25, "file": "variation_0.25/a.wav"},
        {
            "kind": "recombination", "segment": f"{song}+{other}", "taken": "component_1",
            "file": "recombination/a.wav",
        },
        {
            "kind": "unconditional", "segment": "", "generated": "component_0+component_1",
            "file": "unconditional/0000.wav",
        },
    ]  # fmt: skip
    for i, line in enumerate(manifest):
        write_audio(root / "generated" / str(line["file"]), make_sources(0.5, i).mean(axis=0), RATE)
    write_csv(root / "generated/manifest.csv", pd.DataFrame(manifest).assign(seed=0))


def make_examples(folder: Path, tasks: list[str]) -> Path:
    """Published examples, one of each task, of which the first source's estimate is true and the last is silent."""
    for number, task in enumerate(tasks):
        sources = task.split("+")
        true = np.concatenate([make_sources(0.5, number), make_sources(0.5, number + 5)])[: len(sources)]
        write_audio(folder / task / "1" / "mixture.wav", true.mean(axis=0), RATE)
        for i, source in enumerate(sources):
            estimate = true[i] * (i < len(sources) - 1) + 0.01 * true[0]
            write_audio(folder / task / "1" / f"{source}.wav", true[i], RATE)
            write_audio(
                folder / task / "1" / f"{source}_estimate.wav", estimate * (i < len(sources) - 1), RATE
            )
    return folder


def make_hostile(root: Path) -> tuple[Path, Params, str]:
    """Results whose names try to become markup; returns the folder, parameters and the nastiest name."""
    params = make_tree(
        root,
        {HOSTILE: "unsupervised", "$x_{1": "blind", "<b>": "<i>kind"},
        tracks=2,
        segments=1,
        track=HOSTILE,
    )
    escape = "</script><script>alert(2)</script><!--<script>"
    table = pd.read_csv(root / "reports/tables/separation.csv").assign(task=escape)
    table.assign(source=table["source"] + escape).to_csv(root / "reports/tables/separation.csv", index=False)
    pd.DataFrame({"split": ["test"], "reason": [escape], "count": [1]}).to_csv(
        root / "reports/tables/data.csv", index=False
    )
    for path in root.glob("estimates/*/method.json"):
        path.write_text(json.dumps({"card": {"paper": escape, "summary": HOSTILE}}))
    for path in (root / "models").iterdir():
        (path / "card.json").write_text(json.dumps({"device": escape}))
    write_audio(root / "generated" / "reconstruction" / f"{HOSTILE}.wav", np.zeros(24000, np.float32), 24000)
    return root, params, escape


def with_segments(params: Params, count: int) -> Params:
    """Parameters that ask for `count` segments to hear."""
    return with_report(params, segments=count)


def with_report(params: Params, **changes: object) -> Params:
    """Parameters with other values of the report's."""
    return params.model_copy(update={"report": params.report.model_copy(update=changes)})

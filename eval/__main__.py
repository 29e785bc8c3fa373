"""Score folders of separated stems, or compare two sets of results."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from ucr.foundation.errors import UserError, command

WINDOW, HOP = 3.5, 1.5
HEADLINE = ["si_sdr", "si_sir", "si_sar"]

SCORE_HELP = """\
A folder holds one song's stems, or one folder of stems per song or segment; segment 3 of SONG is called SONG_3.
Stems are WAV, FLAC, MP3, OGG, M4A or what else FFmpeg reads; stereo is averaged to mono. A stem called mixture (or
mix) among the references is what improvements are measured over; without one, the mean of the sources is. A source
that is silent, holds one bit of dither or cancels in mono has no scores. Of an estimate that is its source, those of
100 dB or more are counted (n_capped) and in no mean. A silent estimate has failed and scores as
the mixture does, 0 dB at most.
Estimates that are late by a constant delay of up to 100 ms, as encoders leave them, are named; with --align they may
also be up to 0.2 s longer or shorter.

Scores: SI-SDR, SI-SIR, SI-SAR, SI-SDR improvement, BSS Eval v4 (museval, 3.5 s windows every 1.5 s) and
multi-scale STFT distance; see eval/scores.py. Intervals are over songs, so one song has none.

examples:
  python -m eval score musdb/test/Song separated/Song
  python -m eval score references/waveform estimates/irm --sources drums,bass
  python -m eval score references/waveform estimates/hpss --unordered --csv rows.csv
  python -m eval score musdb/test/Song decoded_from_mp3/Song --align
"""
COMPARE_HELP = """\
Prints, for each test set and method that both have, the means over tracks, the difference B less A with its 95 %
interval, and * where Wilcoxon's signed-rank test, Holm corrected over all lines, finds p < 0.05. Results on different
data, sources, sample rates or by different scoring rules are refused.

examples:
  python -m eval compare HEAD~1 HEAD
  python -m eval compare main . --metrics si_sdr,v4_sdr_median_windows
  python -m eval compare ../other-run . --reference codec
"""


def score(arguments: argparse.Namespace) -> None:
    from eval.folders import find_songs, score_songs
    from eval.tables import MethodInfo, make_tables
    from ucr.foundation.files import write_csv

    ordered = not arguments.unordered
    songs, sources = find_songs(
        {"waveform": arguments.references},
        arguments.estimates,
        sources=arguments.sources,
        ordered=ordered,
        align=arguments.align,
    )
    method = arguments.estimates.resolve().name
    rows = score_songs(
        songs, sources, method=method, ordered=ordered, window=WINDOW, hop=HOP, align=arguments.align
    )
    _warn_of_delays(rows, {song.name: song.sample_rate for song in songs}, arguments.align)
    if arguments.csv:
        write_csv(arguments.csv, rows)
    about = MethodInfo("", "fixed order" if ordered else "best permutation")
    table = make_tables(rows, {method: about}).separation
    tracks = rows["track"].nunique()
    print(f"{method}: {len(songs)} segments of {tracks} songs, {about.assignment}")
    _print(
        table[
            [
                *("source", "metric", "mean", "median", "ci_low", "ci_high", "ci_of"),
                *("n", "n_silent", "n_capped", "n_failed"),
            ]
        ]
    )
    reasons = rows[rows["status"] != "ok"].groupby(["status", "reason"])["segment"].nunique().reset_index()
    for status, reason, count in reasons.itertuples(index=False):
        print(f"{status} in {count} segments: {reason}")


def _warn_of_delays(rows: pd.DataFrame, rates: dict[str, int], aligned: bool) -> None:
    """Name the constant delays that were found, a line each."""
    late = rows[rows["delay"].fillna(0) != 0]
    keys = zip(late["delay"], late["segment"].map(rates), strict=True)
    for delay, rate in dict.fromkeys(keys):
        found = late[(late["delay"] == delay) & (late["segment"].map(rates) == rate)]
        names, segments = ", ".join(found["source"].unique()), found["segment"].unique()
        where = segments[0] if len(segments) == 1 else f"{len(segments)} segments such as {segments[0]}"
        print(
            f"warning: {where}: the estimates of {names} are {abs(delay)} samples ({1000 * abs(delay) / rate:.1f} ms) "
            f"{'late' if delay > 0 else 'early'}: "
            + ("taken out" if aligned else "scores count that as error, --align takes it out"),
            file=sys.stderr,
        )


def compare(arguments: argparse.Namespace) -> None:
    from eval.compare import compare, read_side

    if not arguments.metrics:
        raise UserError("--metrics names none: name columns of tracks.csv, such as si_sdr")
    first, second = read_side(arguments.first), read_side(arguments.second)
    table = compare(first, second, arguments.metrics, arguments.reference)
    table["significant"] = table["significant"].map({True: "*", False: ""})
    print(f"A: {first.name}, B: {second.name}; {arguments.reference} references, difference is B less A")
    _print(table.rename(columns={"significant": ""}))
    for side, other in ((first, second), (second, first)):
        if only := [name for name in side.sets if name not in other.sets]:
            print(f"test sets only in {side.name}: {', '.join(only)}")
        if only := [method for method in side.methods if method not in other.methods]:
            print(f"only in {side.name}: {', '.join(only)}")


def _print(table: pd.DataFrame) -> None:
    print(
        table.to_string(
            index=False, float_format="{:.2f}".format, formatters={"p_holm": "{:.4f}".format}, na_rep="-"
        )
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _parser() -> argparse.ArgumentParser:
    more = "Examples: python -m eval score --help, python -m eval compare --help"
    parser = argparse.ArgumentParser(prog="python -m eval", description=__doc__, epilog=more)
    commands = parser.add_subparsers(required=True, metavar="{score,compare}")
    raw = argparse.RawDescriptionHelpFormatter
    one = commands.add_parser("score", help="score a folder of stems", formatter_class=raw, epilog=SCORE_HELP)
    one.add_argument("references", type=Path, metavar="REFERENCE_DIR", help="true stems")
    one.add_argument(
        "estimates", type=Path, metavar="ESTIMATE_DIR", help="separated stems, named as the true ones"
    )
    one.add_argument(
        "--sources", type=_names, metavar="A,B", help="stems to score, in this order (default: all)"
    )
    one.add_argument(
        "--unordered", action="store_true", help="names of estimates mean nothing: best permutation"
    )
    one.add_argument(
        "--align", action="store_true", help="take a constant delay, and padding, out of estimates"
    )
    one.add_argument("--csv", type=Path, metavar="OUT", help="write every score as a row")
    one.set_defaults(run=score)
    two = commands.add_parser("compare", help="compare two results", formatter_class=raw, epilog=COMPARE_HELP)
    two.add_argument("first", metavar="A", help="folder with reports/tables, or a git revision")
    two.add_argument("second", metavar="B", help="the same")
    two.add_argument("--metrics", type=_names, default=HEADLINE, metavar="M,N", help="columns of tracks.csv")
    two.add_argument(
        "--reference", choices=["waveform", "codec"], default="waveform", help="(default: waveform)"
    )
    two.set_defaults(run=compare)
    return parser


@command
def main() -> None:
    arguments = _parser().parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()

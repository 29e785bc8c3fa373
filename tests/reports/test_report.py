"""The report as a reader gets it: one page that holds everything, says what it lacks, and trusts no name."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from eval.report.page import embed
from eval.report.results import order_methods
from pipelines.report import make_report
from tests.helpers import ROOT
from tests.reports.helpers import (
    HOSTILE,
    METHODS,
    make_examples,
    make_hostile,
    make_tree,
    with_report,
    with_segments,
)
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_table

VOID = {"meta", "link", "img", "input", "br", "hr", "path"}


class Page(HTMLParser):
    """Elements of a page, the text of each script, and the tags that were left open."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif self.open and self.open[-1] != "style":
            self.text.append(data)

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.elements if name == tag]

    def has(self, text: str) -> bool:
        return text in " ".join(" ".join(self.text).split())

    def data(self, name: str) -> dict:
        place = [attrs.get("id") for attrs in self.all("script")].index(name)
        return json.loads(self.scripts[place])


@pytest.fixture(scope="module")
def made(whole):
    root, params = whole
    return root, params, Page(make_report(root, params))


@pytest.fixture
def without_figures(monkeypatch):
    """Leave the static figures out, which take most of the time."""
    monkeypatch.setattr("eval.report.figures.draw_all", lambda *_: [])


def test_the_page_holds_every_method_table_figure_and_sound(made):
    root, _, page = made
    for text in [
        *METHODS,
        "SI-SDR",
        "no bass",
        "0123abc",
        "A paper on hpss, 2020",
        "real against real",
        "@misc",
    ]:
        assert page.has(text), text
    figures = {path.stem for path in (root / "reports/figures").iterdir()}
    assert figures == {
        "scores", "distributions", "comparisons", "cost", "steps", "ablation", "criterion", "training",
    }  # fmt: skip
    for name in figures:
        assert {path.suffix for path in (root / "reports/figures").glob(f"{name}.*")} == {".svg", ".png"}
    assert {attrs["data-chart"] for attrs in page.all("figure")} == figures
    sounds = page.data("audio-data")
    assert {attrs["data-clip"] for attrs in page.all("button") if "data-clip" in attrs} == set(sounds)
    each = 1 + 2 + 2 * (len(METHODS) - 1)  # mixture, sources, and the methods beside the mixture
    generated = (
        1 + 4 + 1 + 1
    )  # the song, what was made of it, the song it was recombined with; one made of noise
    assert len(sounds) == 3 * each + generated


def test_a_further_test_set_has_its_scores_and_players_and_no_part_in_the_first(tmp_path, without_figures):
    page = Page(make_report(tmp_path, make_tree(tmp_path, tracks=2, segments=1, further=2)))
    assert page.has("Other test sets")
    assert page.has("what is above is on slakh_mini")
    assert page.has("2 test segments of slakh_mini")
    clips = page.data("audio-data")
    assert any(name.startswith("set-real-1-") for name in clips)
    assert {attrs["data-clip"] for attrs in page.all("button") if "data-clip" in attrs} == set(clips)
    charts = page.data("chart-data")
    assert charts["names"] == ["Track00000_0", "Track00001_0"]
    assert {place for series in charts["segments"] for place in series["places"]} == {0, 1}
    assert len(
        {(each["method"], each["source"], each["metric"], each["reference"]) for each in charts["scores"]}
    ) == (len(charts["scores"]))


def test_the_page_needs_nothing_from_outside(made):
    page = made[2]
    for _, attrs in page.elements:
        for key in ("src", "href", "srcset", "action", "data", "poster"):
            assert attrs.get(key, "#").startswith(("data:", "#")), attrs
    assert "url(" not in page.source.split("<style>")[1].split("</style>")[0]
    assert "@import" not in page.source
    assert len(page.source) < 15 * 2**20


def test_the_page_is_sound_html(made):
    page = made[2]
    assert page.open == []
    ids = Counter(attrs["id"] for _, attrs in page.elements if "id" in attrs)
    assert max(ids.values()) == 1
    targets = {attrs["href"][1:] for attrs in page.all("a") if attrs.get("href", "").startswith("#")}
    assert targets <= set(ids)
    assert all(attrs.get("scope") in ("col", "row", "colgroup") for attrs in page.all("th"))
    assert all("alt" in attrs for attrs in page.all("img"))
    assert all(attrs.get("type") == "button" for attrs in page.all("button"))


def test_a_method_without_labels_is_heard_under_the_matching_source(made):
    page = made[2]
    labels = [attrs["aria-label"] for attrs in page.all("button") if "data-clip" in attrs]
    assert any(label.startswith("ucr, drums, SI-SDR") for label in labels)
    assert page.has("component 1")  # the tree's components are in the other order


def test_segments_are_chosen_by_rank(made):
    page = made[2]
    assert page.has("best, median, worst")
    assert page.has("Best: Track")


def test_published_figures_stand_apart_each_with_its_source(made):
    page = made[2]
    section = page.source.split('<section id="published"')[1].split("</section>")[0]
    for text in (
        "published examples (6 clips)",
        "ISMIR 2024",
        "passed through EnCodec",
        "drums+bass+piano",
        "48.25",
    ):
        assert text in section, text
    assert not any(f">{method}<" in section for method in METHODS)
    assert "48.25" not in page.source.replace(section, "")


def test_a_failed_segment_is_counted_and_its_reason_told(made):
    page = made[2]
    assert page.has("5 / 0 / 1")
    assert page.has("ran out of <luck>")


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("ValueError: too loud", "failed on every segment: ValueError: too loud"),
        ("not applicable: hpss gives 2 sources, not 3", "not applicable: hpss gives 2 sources, not 3"),
    ],
)
def test_a_method_that_failed_everywhere_is_shown_as_such(tree, without_figures, reason, shown):
    root, params = tree
    for path in ("reports/tables/separation.csv", "scores/hpss/rows.csv"):
        table = pd.read_csv(root / path)
        mine = table["method"] == "hpss"
        empty = [
            c
            for c in ("mean", "median", "ci_low", "ci_high", "share_below_0", "value", "p_value")
            if c in table
        ]
        table.loc[mine, empty] = np.nan
        if "status" in table:
            table = table.assign(status="failed", reason=reason)
        else:
            table.loc[mine, ["n", "n_failed"]] = [0, 6]
        table.to_csv(root / path, index=False)
    shutil.rmtree(root / "estimates/hpss")
    page = Page(make_report(root, params))
    assert page.has(shown)
    assert page.has("on every segment") == shown.startswith("failed")
    assert page.has("0 / 0 / 6")


def test_the_headline_says_when_a_method_was_trained_what_its_seeds_spread_and_what_is_at_the_cap(
    tree, without_figures
):
    root, params = tree
    path = root / "reports/tables/separation.csv"
    table = pd.read_csv(path)
    table.loc[table["method"] == "ucr", ["n_seeds", "seed_sd"]] = [3, 0.412]
    capped = (table["method"] == "mixture") & (table["metric"] == "si_sar")
    table.loc[capped, ["mean", "ci_low", "ci_high"]] = np.nan
    table.loc[capped, ["n", "n_capped"]] = [0, 6]
    table.to_csv(path, index=False)
    page = Page(make_report(root, params))
    assert page.has("SD 0.41 over 3 seeds")
    assert page.has("– 6 at the cap")
    assert page.has("ucr unsupervised in the run")
    assert page.has("demucs supervised before it, longer")
    assert page.has("hpss blind –")


def test_only_comparisons_that_are_made_are_shown_and_none_is_called_equal(made):
    page = made[2]
    pairs = {tuple(row[3:5]) for row in page.data("chart-data")["comparisons"]}
    assert pairs == {("ucr", "demucs"), ("ucr", "hpss")}
    for _, _, _, _, _, difference, low, high, p, _ in page.data("chart-data")["comparisons"]:
        assert low <= difference <= high
        assert 0 < p <= 1
    assert page.has("is not shown to be zero: its interval says how large it may be")


def test_a_method_with_fewer_scores_is_listed_after_those_of_its_kind_that_have_all(tree):
    separation = read_table(tree[0] / "reports/tables/separation.csv")
    hpss = separation[separation["method"] == "hpss"]
    better = hpss.assign(method="rpca", mean=hpss["mean"] + 5)
    assert list(order_methods(pd.concat([separation, better])))[2:4] == ["rpca", "hpss"]
    assert list(order_methods(pd.concat([separation, better.assign(n=5)])))[2:4] == ["hpss", "rpca"]


def test_every_optional_input_may_be_missing(tree):
    root, params = tree
    for folder in ("references", "estimates", "generated", "models", "scores"):
        shutil.rmtree(root / folder)
    for path in [
        *root.glob("reports/*.csv"),
        root / "reports/published.yaml",
        *root.glob("reports/tables/*.csv"),
    ]:
        if path.name != "separation.csv":
            path.unlink()
    page = Page(make_report(root, params))
    assert page.open == []
    assert page.has("Not in this report, for want of a file:")
    for name in (
        "cost.csv",
        "generation.csv",
        "provenance.csv",
        "published.yaml",
        "manifest.csv",
        "training.csv",
        "scores/ucr/rows.csv",
    ):
        assert page.has(name), name
    assert page.data("audio-data") == {}


def test_tables_without_rows_or_known_columns_are_no_trouble(tree, without_figures):
    root, params = tree
    for name in ("cost.csv", "generation.csv", "data.csv", "comparisons.csv", "provenance.csv"):
        (root / "reports/tables" / name).write_text("something,else\n")
    (root / "reports/ablation.csv").write_text("idea,score\nsmaller,3.5\n")
    (root / "reports/steps.csv").write_text("steps,source\n1,drums\n")
    page = Page(make_report(root, params))
    assert page.open == []
    assert page.has("smaller")


def test_more_segments_than_there_are_is_said(tree, without_figures):
    root, params = tree
    assert Page(make_report(root, with_segments(params, 50))).has(
        "6 of the 50 segments asked for: there are no more."
    )


def test_segments_give_way_to_the_size_of_the_page(tree, without_figures, monkeypatch):
    root, params = tree
    each = 1 + 2 * (1 + len(METHODS))
    monkeypatch.setattr("eval.report.listening.AUDIO_BUDGET", 24 * 125 * 0.5 * (2 * each + 8))
    page = Page(make_report(root, with_segments(params, 3)))
    assert page.has("2 of the 3 segments asked for: more would make the page larger than 15 MB.")


def test_what_was_made_of_a_song_says_how(made):
    page = made[2]
    for text in (
        "reconstruction",
        "bass generated, drums kept",  # of the tree's components the first is the bass
        "variation, strength 0.25",
        "recombination: drums of Track00002_1, bass kept",
        "mixture of Track00002_1",
    ):
        assert page.has(text), text


def test_the_label_free_figure_is_compared_with_the_scores(made):
    page = made[2]
    assert page.has("drums+bass 1.00 over 9 trainings")
    runs = page.data("chart-data")["ablation"]["runs"]
    assert [run["si_sdr"] for run in runs if run["seed"] == 0] == [9, 7, 5]  # the best variant first


def test_published_examples_are_heard_where_the_user_has_them(tree, without_figures, tmp_path):
    root, params = tree
    folder = make_examples(tmp_path / "examples", ["bass+piano", "drums+bass", "drums+bass+piano"])
    page = Page(make_report(root, with_report(params, published=str(folder))))
    sounds = [name for name in page.data("audio-data") if name.startswith("published-")]
    assert len(sounds) == 5 + 5 + 7
    headings = page.source.split("The published examples")[1]
    assert (
        headings.index("drums+bass 1") < headings.index("bass+piano 1") < headings.index("drums+bass+piano 1")
    )
    labels = [attrs["aria-label"] for attrs in page.all("button") if "data-clip" in attrs]
    (drums, bass) = [label for label in labels if label.startswith("the authors")][:2]
    assert drums == "the authors’ estimates, drums, SI-SDR 100.0 dB"
    assert bass == "the authors’ estimates, bass, SI-SDR 0.0 dB"  # silent: a failure's score


def test_a_folder_without_examples_is_one_sentence(tree, without_figures, tmp_path):
    root, params = tree
    with pytest.raises(UserError, match=r"report\.published .* holds no TASK/N/mixture\.wav"):
        make_report(root, with_report(params, published=str(tmp_path / "nowhere")))


def test_hostile_names_are_text_and_nothing_else(tmp_path):
    root, params, escape = make_hostile(tmp_path)
    page = Page(make_report(root, params))
    assert page.open == []
    assert page.has(HOSTILE)
    assert page.has(escape)
    assert len(page.all("script")) == 7
    assert not page.all("b")
    assert not page.all("i") or all(attrs.keys() <= {"aria-hidden"} for attrs in page.all("i"))
    for tag, attrs in page.elements:
        assert not any(key.startswith("on") for key in attrs), (tag, attrs)
    assert any(score["task"] == escape for score in page.data("chart-data")["scores"])
    assert next(iter(page.data("chart-data")["kinds"])) == HOSTILE


def test_embedded_json_cannot_leave_its_element():
    value = {"</script>": "<!--<script>", "amp": "&amp;", "line": "\u2028"}
    text = str(embed(value))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value


def test_scripts_run_only_by_their_hash(made):
    policy = next(attrs["content"] for attrs in made[2].all("meta") if attrs.get("http-equiv"))
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in rules["script-src"]
    assert len(rules["script-src"].split()) == 5


def test_a_manifest_that_points_outside_is_refused(tree, without_figures):
    root, params = tree
    pd.DataFrame({"kind": ["x"], "segment": [""], "generated": [""], "file": ["../references/a.wav"]}).to_csv(
        root / "generated/manifest.csv", index=False
    )
    with pytest.raises(UserError, match="outside"):
        make_report(root, params)


def test_the_command_line_gives_the_same_bytes_again(made, tmp_path):
    root, params, page = made
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params.model_dump()))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pipelines.report"]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    assert "reports/index.html" in result.stderr
    assert (tmp_path / "reports/index.html").read_text(encoding="utf-8") == page.source


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda root: (root / "reports/tables/separation.csv").unlink(), "separation.csv does not exist"),
        (lambda root: (root / "reports/tables/separation.csv").write_text("task,set,method\n"), "the column kind"),
        (lambda root: (root / "reports/tables/cost.csv").write_bytes(b"\xff\xfe\x00a,\n"), "cost.csv can't be read"),
        (lambda root: (root / "reports/tables/data.csv").write_text('a,b\n"1'), "data.csv can't be read"),
        (lambda root: (root / "estimates/ucr/method.json").write_text("{"), "method.json is not valid JSON"),
        (lambda root: (root / "scores/ucr/rows.csv").write_text(""), "rows.csv can't be read"),
        (lambda root: (root / "reports/published.yaml").write_text("a: 1"), "published.yaml: the file: Input"),
    ],
)  # fmt: skip
def test_damaged_inputs_are_one_sentence(tree, without_figures, damage, named):
    root, params = tree
    damage(root)
    (root / "reports/index.html").write_text("the last page")
    with pytest.raises(UserError, match=named):
        make_report(root, params)
    assert (root / "reports/index.html").read_text() == "the last page"


def test_scores_of_another_run_than_the_tables_are_refused(tree):
    root, params = tree
    table = pd.read_csv(root / "reports/tables/provenance.csv")
    path = root / "scores" / table["method"][0] / "provenance.json"
    path.write_text(json.dumps({"data": {"slakh_mini": table["data_slakh_mini"][0]}}))
    make_report(root, params)
    path.write_text(json.dumps({"data": "of another run"}))
    with pytest.raises(
        UserError, match="are scores on other data than reports/tables: run `dvc repro tables`"
    ):
        make_report(root, params)

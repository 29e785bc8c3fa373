"""The report in a real browser: from the file system, without a network, by mouse and by keyboard.

Needs Playwright and Debian's Chromium (`apt-get install chromium`); skipped where one is absent.
"""

import base64
import io
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from pipelines.report import make_report
from tests.helpers import ROOT
from tests.reports.helpers import METHODS, make_examples, make_hostile, with_report
from tests.reports.test_report import Page

pytest.importorskip("playwright", reason="Playwright is absent: pip install -e .[test]")
from screenshot import CHROMIUM, chromium

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is absent")]

PICTURES = Path(__file__).parent / "pictures"  # what the page looked like, to be looked at; not in git
WIDE, NARROW = {"width": 1600, "height": 1000}, {"width": 390, "height": 844}
SIZES = {"laptop": {"width": 1440, "height": 900}, "desk": {"width": 2560, "height": 1440}, "phone": NARROW}
# Measures what reaches the loudspeakers.
LISTEN = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (node, ...rest) {
  if (node instanceof AudioDestinationNode) {
    window.meter ??= new AnalyserNode(this.context, { fftSize: 4096 });
    connect.call(this, window.meter);
  }
  return connect.call(this, node, ...rest);
};
window.loudness = () => {
  const samples = new Float32Array(4096);
  window.meter.getFloatTimeDomainData(samples);
  return Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / 4096);
};
"""


def until(page, condition, seconds=120.0):
    """Wait for JavaScript to be true; Playwright's own waiting looks again by `eval`, which the page forbids."""
    last = time.monotonic() + seconds
    while not page.evaluate(f"Boolean({condition})"):
        assert time.monotonic() < last, f"{condition} did not come true in {seconds} s"
        page.wait_for_timeout(20)


def loudest(mp3: str) -> float:
    """Root mean square of the loudest 4,096 samples."""
    samples, _ = soundfile.read(io.BytesIO(base64.b64decode(mp3)))
    frames = samples[: len(samples) // 4096 * 4096].reshape(-1, 4096)
    return float(np.sqrt((frames**2).mean(axis=1)).max())


@pytest.fixture(scope="module")
def browser():
    with chromium() as each:
        yield each


@pytest.fixture(scope="module")
def report(whole, tmp_path_factory):
    root, params = whole
    examples = make_examples(tmp_path_factory.mktemp("examples"), ["drums+bass", "drums+bass+piano"])
    return make_report(root, with_report(params, published=str(examples)))


class Visit:
    """A page that was opened, with what it complained of and asked for."""

    def __init__(self, browser, path: Path, **options):
        self.context = browser.new_context(offline=True, **{"viewport": WIDE, **options})
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.add_init_script(LISTEN)
        self.page.goto(path.resolve().as_uri())
        self.page.wait_for_timeout(500)


@pytest.fixture
def visit(browser, report):
    visits = []

    def open_page(path: Path = report, **options) -> Visit:
        visits.append(Visit(browser, path, **options))
        return visits[-1]

    yield open_page
    for each in visits:
        assert each.complaints == []
        assert all(url.startswith(("file:", "data:")) for url in each.requests)
        each.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_opens_without_a_network_and_fits(visit, size, scheme):
    page = visit(viewport=SIZES[size], color_scheme=scheme).page
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]
    assert page.locator("[data-chart]").count() == page.locator("[data-chart]:has(svg)").count() == 8
    picture = page.screenshot(full_page=True, path=PICTURES / f"{size}-{scheme}.png")
    brightness = np.asarray(Image.open(io.BytesIO(picture)).convert("L")).mean()
    assert brightness > 180 if scheme == "light" else brightness < 75


def test_a_column_sorts_both_ways_and_says_so(visit):
    page = visit().page
    table = page.locator(".headline:visible table")
    header = table.locator("thead th[data-column='3']")
    for order, sign in [("descending", -1), ("ascending", 1)]:
        header.get_by_role("button").click()
        assert header.get_attribute("aria-sort") == order
        values = table.locator("tbody tr td:nth-child(4)").evaluate_all(
            "cells => cells.map(c => Number(c.dataset.sort))"
        )
        assert values == sorted(values, key=lambda value: sign * value)
    name = table.locator("thead th[data-column='0']")
    name.get_by_role("button").press("Enter")
    assert table.locator("tbody th").all_inner_texts() == sorted(METHODS)
    assert table.locator("[aria-sort]").count() == 1


def test_the_headline_is_filtered_and_counts_what_it_shows(visit):
    page = visit().page
    table = page.locator(".headlines")
    assert table.locator("output").inner_text() == f"{len(METHODS)} rows"
    table.get_by_role("combobox", name="Kind").select_option("oracle")
    assert table.locator("tbody tr:visible th").all_inner_texts() == ["irm"]
    table.get_by_role("combobox", name="Reference").select_option("codec")
    assert table.locator("tbody tr:visible th").all_inner_texts() == ["irm"]
    table.get_by_role("combobox", name="Kind").select_option("all")
    table.get_by_label("Find").fill("demu")
    assert table.locator("output").inner_text() == f"1 of {len(METHODS)} rows"


def test_every_long_table_is_filtered_and_every_table_is_sorted(visit):
    page = visit().page
    for table in page.locator("table").all():
        assert "sortable" in table.get_attribute("class")
    for sheet in page.locator(".sheet:visible").all():
        if sheet.locator("tbody tr").count() > 20:
            assert sheet.get_by_label("Find").count() == 1


def test_an_interval_stands_beside_its_mean_and_is_sorted_by_its_lower_end(visit):
    page = visit().page
    table = page.locator("[data-table=scores]")
    column = table.get_by_role("columnheader", name="95 % interval")
    cells = table.locator(f"tbody td:nth-child({int(column.get_attribute('data-column')) + 1})")
    assert " to " in cells.first.inner_text()
    column.get_by_role("button").click()
    low = [
        float(text.split(" to ")[0].replace("−", "-")) for text in cells.all_inner_texts() if " to " in text
    ]
    assert low == sorted(low, reverse=True)


def test_the_reference_is_chosen_for_the_headline(visit):
    page = visit().page
    assert page.locator(".headline:visible").get_attribute("data-reference") == "waveform"
    page.locator(".headlines").get_by_role("combobox", name="Reference").select_option("codec")
    assert page.locator(".headline:visible").get_attribute("data-reference") == "codec"


def test_rows_are_filtered_by_value_and_by_word(visit):
    page = visit().page
    sheet = page.locator("[data-table=scores]")
    rows = sheet.locator("tbody tr:visible")
    everything = rows.count()
    sheet.get_by_label("Metric").select_option("SI-SDR")
    assert rows.count() == len(METHODS) * 4
    sheet.get_by_label("Source").select_option("bass")
    sheet.get_by_label("Find").fill("HPSS wave")
    assert rows.count() == 1
    assert sheet.locator("output").inner_text() == f"1 of {everything} rows"
    sheet.get_by_label("Find").press("Enter")
    assert rows.count() == 1


def test_a_chart_follows_its_controls_and_its_width(visit):
    page = visit().page
    figure = page.locator("[data-chart=scores]")
    before = figure.locator("svg").first.inner_html()
    figure.get_by_label("Metric").select_option("si_sir")
    assert figure.locator("svg").first.inner_html() != before
    assert "SI-SIR" in figure.get_by_role("img").first.get_attribute("aria-label")
    wide = figure.locator("svg").first.bounding_box()["width"]
    page.set_viewport_size(NARROW)
    page.wait_for_timeout(300)
    assert figure.locator("svg").first.bounding_box()["width"] < wide
    assert figure.locator("a[download]").get_attribute("href").startswith("data:image/svg+xml")


def test_choosing_another_method_goes_on_at_the_same_instant(visit):
    page = visit().page
    group = page.locator("#listen .group:visible")
    group.locator(".loop").check()
    clips = group.locator(".clip")
    slider = group.locator("input[type=range]")
    clips.nth(1).click()
    until(page, "window.meter && window.loudness() > 0.001")
    assert group.get_by_role("button", name="Pause").count() == 1
    seconds = float(group.get_attribute("data-seconds"))
    at = "slider => [Number(slider.value), performance.now() / 1000]"
    before, began = slider.evaluate(at)
    clips.nth(3).click()
    until(page, "window.loudness() > 0.001")
    after, ended = slider.evaluate(at)
    off = (after - before - (ended - began) + seconds / 2) % seconds - seconds / 2
    assert abs(off) < 0.1
    assert group.locator("[aria-pressed=true]").count() == 1
    assert clips.nth(3).get_attribute("aria-pressed") == "true"
    assert group.locator(".now").inner_text() == clips.nth(3).get_attribute("aria-label")
    clips.nth(3).click()
    assert group.get_by_role("button", name="Play", exact=True).count() == 1


def test_every_sound_can_be_played(visit, report):
    page = visit().page
    sounds = Page(report).data("audio-data")
    for section in ("#listen", "#generated", "#published"):
        for tab in page.locator(f"{section} .tabs label").all():
            tab.click()
            for clip in page.locator(f"{section} .group:visible .clip").all():
                clip.click()
                wanted = loudest(sounds[clip.get_attribute("data-clip")]) / 4
                if wanted > 0.0003:  # some method may have left nothing
                    until(page, f"window.meter && window.loudness() > {wanted}")


def test_a_clip_that_was_left_while_it_was_read_stays_silent(visit):
    page = visit().page
    page.evaluate(
        """() => {
          const decode = BaseAudioContext.prototype.decodeAudioData;
          BaseAudioContext.prototype.decodeAudioData = async function (bytes) {
            await new Promise((done) => (window.read = done));
            return decode.call(this, bytes);
          };
        }"""
    )
    page.locator("#listen .group:visible .clip").first.click()
    until(page, "window.read")
    page.locator("#listen .tabs label").nth(1).click()
    page.evaluate("window.read()")
    page.wait_for_timeout(500)
    assert page.locator(".group.playing").count() == 0


def test_players_obey_the_keyboard(visit):
    page = visit().page
    group = page.locator("#listen .group").first
    play = group.locator(".play")
    play.focus()
    page.keyboard.press("Space")
    until(page, "window.meter && window.loudness() > 0.001")
    page.keyboard.press("Space")
    slider = group.locator("input[type=range]")
    slider.focus()
    page.keyboard.press("End")
    assert float(slider.input_value()) == pytest.approx(float(slider.get_attribute("max")), abs=0.02)
    page.keyboard.press("Home")
    assert float(slider.input_value()) == 0
    tab = page.locator("#listen .tabs input").first
    tab.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#listen .group:visible").get_attribute("data-index") == "1"


def test_without_repeat_a_clip_ends_at_its_end(visit):
    page = visit().page
    group = page.locator("#listen .group:visible")
    group.locator(".loop").uncheck()
    group.locator(".play").click()
    until(page, "window.meter")  # it plays; a slow machine may look when the clip is over
    group.get_by_role("button", name="Play", exact=True).wait_for()
    assert float(group.locator("input[type=range]").input_value()) == 0


def test_the_first_stop_of_the_tab_key_skips_to_the_scores(visit):
    page = visit().page
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#scores"


def test_it_reads_without_scripts(visit):
    page = visit(java_script_enabled=False).page
    assert page.locator(".headline:visible").count() == 2
    assert page.locator(".group:visible").count() == 7
    assert page.locator("form.controls:visible").count() == 0
    assert page.locator("figure img:visible").count() == 8


def test_hostile_names_run_nothing(visit, tmp_path):
    root, params, _ = make_hostile(tmp_path)
    page = visit(make_report(root, params)).page
    for button in page.locator("th button:visible").all():
        button.click()
    page.locator(".clip:visible").first.click()
    page.wait_for_timeout(300)  # an injected image would have raised its error by now


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_axe_finds_nothing_serious(visit, size, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = visit(viewport=size, color_scheme=scheme).page
    page.locator("summary").click()
    found = axe.Axe().run(page).response["violations"]
    serious = {
        each["id"]: [node["html"][:200] for node in each["nodes"][:3]]
        for each in found
        if each["impact"] in ("serious", "critical")
    }
    assert serious == {}


def test_the_picture_for_the_readme(report, tmp_path):
    picture = tmp_path / "report.png"
    command = [sys.executable, "-m", "tests.reports.screenshot", str(report), str(picture)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    assert Image.open(picture).size == (1400, 1120)
    assert picture.stat().st_size < 500_000

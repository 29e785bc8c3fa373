"""The report in Debian's Chromium, and its picture for the README: `python -m tests.reports.screenshot [PAGE [PNG]]`.

Without arguments it takes `reports/index.html` and writes `docs/report.png`. Needs `pip install -e .[test]` and
`apt-get install chromium`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from ucr.foundation.errors import UserError, command

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZE = {"width": 1400, "height": 1120}
COLOURS = 128  # of the picture: text and thin lines need no more


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser."""
    if not CHROMIUM.exists():
        raise UserError(f"{CHROMIUM} does not exist: apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


def take_picture(page: Path, picture: Path) -> None:
    """Write a PNG of the page's upper part, in light colours."""
    if not page.is_file():
        raise UserError(f"{page} does not exist: python -m pipelines.report")
    with chromium() as browser:
        view = browser.new_page(viewport=SIZE, color_scheme="light", offline=True)
        view.goto(page.resolve().as_uri())
        view.screenshot(path=picture)
    Image.open(picture).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
        picture, optimize=True
    )


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.reports.screenshot", description=__doc__)
    parser.add_argument("page", type=Path, nargs="?", default=Path("reports/index.html"))
    parser.add_argument("picture", type=Path, nargs="?", default=Path("docs/report.png"))
    arguments = parser.parse_args()
    take_picture(arguments.page, arguments.picture)


if __name__ == "__main__":
    main()

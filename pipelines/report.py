"""Stage `report`: figures, and one page that holds tables, figures and sounds and opens without a network."""

from __future__ import annotations

import logging
from pathlib import Path

from pipelines import run_stage
from ucr.foundation.errors import command
from ucr.foundation.files import replacing
from ucr.foundation.params import TRAINED_CODEC, Params, load_params


def make_report(root: Path, params: Params) -> Path:
    """Write `reports/figures/` and `reports/index.html` from the results under `root`.

    Parameters
    ----------
    root
        The project folder that holds `reports/tables`, `scores`, `references`, `estimates`, `models`
        and `generated`. All but `reports/tables/separation.csv` may be missing; the page says so.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    UserError
        If a table or an audio file is damaged, or the page would be larger than 15 MB.
    """
    from eval.report.composition import hear
    from eval.report.figures import draw_all
    from eval.report.page import make_page
    from eval.report.results import read_results

    codec = [Path(TRAINED_CODEC).name] if params.codec_training else []
    results = read_results(root, [*codec, *params.trainings])
    figures, page = root / "reports" / "figures", root / "reports" / "index.html"
    with replacing(figures) as folder:
        folder.mkdir()
        heard = hear(results, params)
        drawings = draw_all(results.of_set(results.sets[0]), params.task, folder, heard)
        html = make_page(results, params, drawings, folder, heard)
    with replacing(page) as temporary:
        temporary.write_text(html, encoding="utf-8", newline="\n")
    return page


@command
def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    page = make_report(Path(), load_params())
    logging.info(f"{page}: {page.stat().st_size / 2**20:.1f} MB; open it in a browser")


if __name__ == "__main__":
    run_stage(main, __doc__)

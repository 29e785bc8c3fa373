"""Static figures: the same results give the same bytes."""

import pandas as pd
from matplotlib.layout_engine import ConstrainedLayoutEngine

from eval.report.figures import draw_training


def test_the_last_digit_of_the_layout_changes_no_byte(tmp_path, monkeypatch):
    curves = {"ucr": pd.DataFrame({"step": [1, 2, 3], "loss": [3.0, 2.0, 1.0]})}
    execute = ConstrainedLayoutEngine.execute

    def nudged(self, figure):
        execute(self, figure)
        for axis in figure.axes:
            axis._set_position([each + 1e-13 for each in axis.get_position(original=True).bounds])

    written = []
    for name, layout in [("first", execute), ("again", nudged)]:
        monkeypatch.setattr(ConstrainedLayoutEngine, "execute", layout)
        (tmp_path / name).mkdir()
        draw_training(curves, tmp_path / name)
        written.append({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()})
    assert set(written[0]) == {"training.svg", "training.png"}
    assert written[0] == written[1]

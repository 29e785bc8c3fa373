import numpy as np
import pandas as pd

from benchmarks import tasks
from tests.ucr.test_weights import write_noise


def test_methods_are_scored_on_a_split_and_other_rows_stay(project, monkeypatch):
    write_noise(project() / "segments")
    other = {"task": "drums+piano", "split": "test", "method": "hpss", "n": 3, "source": "piano"}
    tasks.TABLE.parent.mkdir()
    pd.DataFrame([other | {"si_sdr": 1.0, "si_sir": 2.0}]).to_csv(tasks.TABLE, index=False)
    for split in ("validation", "test", "test"):
        monkeypatch.setattr("sys.argv", ["tasks", "hpss", "mixture", "--split", split])
        tasks.main()
    table = pd.read_csv(tasks.TABLE)
    assert table.groupby(["task", "split"]).size().to_dict() == {
        ("drums+bass", "test"): 4, ("drums+bass", "validation"): 4, ("drums+piano", "test"): 1,
    }  # fmt: skip
    mixture = table[table["method"] == "mixture"]
    assert np.allclose(mixture["si_sdr"], 0, atol=1)
    assert mixture["n"].eq(1).all()

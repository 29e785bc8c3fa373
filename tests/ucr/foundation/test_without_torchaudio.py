"""Libraries that import torchaudio, where it does not load."""

import sys

import pytest

from ucr.foundation.without_torchaudio import torchaudio_or_an_empty_module


@pytest.mark.parametrize("error", ["ImportError", "OSError", "RuntimeError"])
def test_a_torchaudio_that_does_not_load_is_passed_over(error, tmp_path, monkeypatch):
    (tmp_path / "torchaudio.py").write_text(f"raise {error}('built for another PyTorch')\n")
    monkeypatch.delitem(sys.modules, "torchaudio", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with torchaudio_or_an_empty_module():
        import torchaudio
    assert not hasattr(torchaudio, "__version__")
    assert "torchaudio" not in sys.modules

"""Ways to spoil a file: its bytes, and the values in a YAML or JSON file."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.harness import PICKLE, YAML_BOMB

TOKENS = [
    *(b"\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\n", b"\t", b"{", b"[", b"]", b": ", b"- ", b"&a *a", b"#"),
    *(b"../../x", b"<script>alert(1)</script>", b"1e999", b"-1", b"999999999999", b".nan", b"null", b"\xed\xa0\x80"),
    *(PICKLE, YAML_BOMB),
]  # fmt: skip
VALUES: list[Any] = [
    *(None, True, -1, 0, 1, 3, 10**9, 10**30, 0.5, 1e308, float("nan"), float("inf"), "", "mel", "x" * 5000, "\0"),
    *("../../x", "/x", "..", "<b>&amp;\"'", "a\nb", "drums", [], {}, [1], ["../../x"], ["drums"] * 2, {"a": 1}),
]  # fmt: skip
place = st.floats(0, 1, exclude_max=True)
byte_edits = st.lists(
    st.tuples(place, st.one_of(st.integers(0, 255), st.sampled_from(TOKENS), st.floats(0.01, 1))),
    min_size=1,
    max_size=6,
)
value_edits = st.lists(st.tuples(place, st.sampled_from(VALUES), st.booleans()), min_size=1, max_size=3)


def spoil_bytes(data: bytes, edits: list[tuple[float, int | bytes | float]], header: float = 0.0) -> bytes:
    """Change a byte (an int), put a token in (bytes) or cut out a share (a float) at each place.

    With `header`, places are crowded towards the start: the larger, the more.
    """
    for where, edit in edits:
        at = int(where ** (1 + header) * len(data))
        if isinstance(edit, bytes):
            data = data[:at] + edit + data[at:]
        elif isinstance(edit, float):
            data = data[:at] + data[at + max(1, int(edit**3 * len(data))) :]
        else:
            data = data[:at] + bytes([edit]) + data[at + 1 :]
    return data


def spoil_values(value: Any, edits: list[tuple[float, Any, bool]]) -> Any:
    """Put another value, or a key besides, at places of nested mappings and lists; `value` stays as it is."""
    value = copy.deepcopy(value)
    for where, drawn, besides in edits:
        new = copy.deepcopy(drawn)
        spots = list(_spots(value))
        if not spots:
            return new
        holder, key = spots[int(where * len(spots))]
        if isinstance(holder, list) or not besides:
            holder[key] = new
        elif new is None:
            del holder[key]
        elif isinstance(new, str) and isinstance(key, str):
            holder[new] = holder.pop(key)  # a key of another name
        else:
            holder[f"{key}x"] = new
    return value


def _spots(value: Any):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _spots(item)

"""All segments that methods are tested on: those of the run's own data set, and of its further test sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ucr.data.segments import Segment, SegmentStore
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_json

LIST = "sets.json"


def held_out_stores(
    segments: str | Path = "segments", test_sets: str | Path = "test_sets"
) -> dict[str, SegmentStore]:
    """The stores of the test sets by their names, the run's own first; it has none if its data are `songs`.

    Parameters
    ----------
    segments, test_sets
        Outputs of the stages of these names; the second may be missing.

    Raises
    ------
    UserError
        If a store is missing or damaged, there is none, or they differ in sources or rate.
    """
    own = SegmentStore(segments, "test")
    stores = {own.dataset: own} if len(own) else {}
    listed = Path(test_sets) / LIST
    for name in read_json(listed).get("sets", []) if listed.is_file() else []:
        store = stores[name] = SegmentStore(Path(test_sets) / name, "test")
        if (store.sources, store.sample_rate) != (own.sources, own.sample_rate):
            raise UserError(
                f"{store.folder} has other sources or another rate than {own.folder}: run `dvc repro`"
            )
    if not stores:
        raise UserError(
            f"{segments} has no test segment and there is no further test set: name one under `tests`"
        )
    return stores


class HeldOut:
    """The segments of all test sets in a row; of one set they are equally long.

    Attributes
    ----------
    sets
        By name of the set the places of its segments.
    fingerprints
        By name of the set that of its store.
    """

    def __init__(self, stores: dict[str, SegmentStore]) -> None:
        self._stores = stores
        first = next(iter(stores.values()))
        self.sources, self.sample_rate = first.sources, first.sample_rate
        self.fingerprints = {name: store.fingerprint for name, store in stores.items()}
        self.sets: dict[str, range] = {}
        self._places: list[tuple[SegmentStore, int]] = []
        for name, store in stores.items():
            self.sets[name] = range(len(self._places), len(self._places) + len(store))
            self._places += [(store, i) for i in range(len(store))]
        self.names = [store.names[i] for store, i in self._places]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, i: int) -> Segment:
        store, place = self._places[i]
        return store[place]

    def __iter__(self) -> Iterator[Segment]:
        return (self[i] for i in range(len(self)))

"""Cutting tracks into segments, and writing the store of them."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lmdb
import numpy as np
import pandas as pd
from tqdm import tqdm

from ucr.data.segments import create_lmdb, decoded, encoded, open_lmdb, place_of, put
from ucr.data.slakh.read import identities, read_sources
from ucr.data.slakh.song import SPLITS
from ucr.data.speech import is_speech, unused
from ucr.data.tracks import Note, Reader, Skip, Track
from ucr.foundation.errors import UserError
from ucr.foundation.files import replacing, write_json
from ucr.foundation.hashes import bytes_hash
from ucr.foundation.workers import in_workers

SPEECH = "it is speech"


@dataclass(frozen=True)
class Cut:
    """What one track gave.

    Attributes
    ----------
    audio
        What is stored of each segment kept, by name.
    index
        A row of `index.csv` each.
    skipped
        A row of `skipped.csv` for the track, or for each segment left out.
    notes
        What is odd about the track's files.
    """

    audio: dict[str, bytes]
    index: list[dict]
    skipped: list[dict]
    notes: list[Note]


def cut_track(
    track: Track,
    sources: list[str],
    sample_rate: int,
    n_samples: int,
    min_rms: float,
    read: Reader = read_sources,
) -> Cut:
    """Cut a track into segments of `n_samples`, keeping those in which every source's RMS is at least `min_rms`.

    Of a song without stems that is the mixture's, and segments of speech are left out too.
    """
    where = {"split": track.split, "track": track.name}
    if track.beside:
        detail = "move it into one of them"
        skipped = [{**where, "segment": "", "reason": "beside the folders of splits", "detail": detail}]
        return Cut({}, [], skipped, [])
    try:
        audio, notes = read(track.folder, sources, sample_rate)
    except Skip as skip:
        return Cut({}, [], [{**where, "segment": "", "reason": skip.reason, "detail": skip.detail}], [])
    n_segments = audio.shape[1] // n_samples
    if not n_segments:
        detail = f"{audio.shape[1] / sample_rate:.2f} s"
        skipped = [{**where, "segment": "", "reason": "shorter than a segment", "detail": detail}]
        return Cut({}, [], skipped, notes)
    cut, mixed = Cut({}, [], [], notes), len(audio) != len(sources)
    for i in range(n_segments):
        name, value = f"{track.name}_{i}", encoded(audio[:, i * n_samples : (i + 1) * n_samples])
        exact = decoded(value, len(audio)).astype(np.float64)
        names = ["mixture"] if mixed else sources
        rms = dict(zip(names, np.sqrt((exact**2).mean(axis=1)).tolist(), strict=True))
        quiet = [name for name in names if rms[name] < min_rms]
        if quiet:
            reason = "the mixture's RMS is too low" if mixed else "a source's RMS is too low"
            detail = ", ".join(f"{name} {rms[name]:.4f}" for name in quiet)
            cut.skipped.append({**where, "segment": name, "reason": reason, "detail": detail})
            continue
        if mixed and is_speech(exact[0], sample_rate):
            cut.skipped.append({**where, "segment": name, "reason": SPEECH, "detail": ""})
            continue
        cut.audio[name] = value
        cut.index.append(
            {
                **where,
                "segment": name,
                "start_s": i * n_samples / sample_rate,
                "rms_mixture": float(np.sqrt((exact.mean(axis=0) ** 2).mean())),
                **{f"rms_{name}": value for name, value in rms.items()},
                "digest": bytes_hash([value]),
            }
        )
    if mixed and (left := len(cut.skipped)):
        speech = sum(row["reason"] == SPEECH for row in cut.skipped)
        sentence = f"{track.folder}: left out: {unused(n_segments, left - speech, speech)}"
        cut.notes.append(Note("silence or speech in it", sentence))
    return cut


def cut_tracks(
    writer: SegmentWriter, tracks: list[Track], cut: Callable[[Track], Cut], says_why: bool = True
) -> None:
    """Cut the tracks that `writer` lacks, with a progress bar; sentences on what is odd about them go to stderr.

    `says_why` is whether there is one for each track that is left out.
    """
    waiting = [track for track in tracks if (track.split, track.name) not in writer.done]
    bar = tqdm(total=len(tracks), initial=len(tracks) - len(waiting), desc="segments", unit="track")
    with bar:
        for track, found in in_workers(
            lambda track: (track, cut(track)), [(each,) for each in waiting], "threading"
        ):
            sentences = [note.sentence for note in found.notes]
            if says_why:
                left_out = [row for row in found.skipped if not row["segment"]]
                sentences += [
                    f"{track.folder} is left out: {row['reason']}: {row['detail']}" for row in left_out
                ]
            for sentence in sentences:
                bar.write(f"warning: {sentence}", file=sys.stderr)
            writer.add(track, found)
            bar.update()


class SegmentWriter:
    """Writes the store track by track, so that a killed run goes on where it stopped.

    What is done is kept in `work` until `finish` puts the whole store in place.

    Parameters
    ----------
    work
        A folder for the unfinished store; it must belong to one data set and one set of parameters.
    splits
        Those that the store has.
    """

    def __init__(self, work: str | Path, splits: Sequence[str] = SPLITS) -> None:
        self.work, self._splits = Path(work), splits
        self._journal = self.work / "tracks.jsonl"
        self._paths = {split: self.work / f"{split}.lmdb" for split in splits}
        self.index: list[dict] = []
        self.skipped: list[dict] = []
        self.notes: list[dict] = []
        self._identities: dict[tuple[str, str], set[str]] = {}
        self.done: set[tuple[str, str]] = set()
        earlier = self._earlier()
        if not earlier:
            shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True, exist_ok=True)
        with self._writing():
            self._envs = {split: create_lmdb(path) for split, path in self._paths.items()}
        self._journal.write_text("")
        for entry in earlier:
            self._note(entry)

    def _earlier(self) -> list[dict]:
        """What a run that was killed had done; nothing where its files are damaged.

        A line that the kill cut short is left out: its track is done again.
        """
        if not self._journal.is_file():
            return []
        try:
            for path in self._paths.values():
                open_lmdb(path).close()
            return [json.loads(line) for line in self._journal.read_text().split("\n")[:-1]]
        except (UserError, ValueError):
            return []

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except lmdb.Error as error:  # LMDB has errors of its own for a full disk and a read-only folder
            raise UserError(
                f"{self.work} can't be written ({error}): free space on its disk or make it writable"
            ) from None

    def _note(self, entry: dict) -> None:
        with self._journal.open("a") as journal:
            journal.write(json.dumps(entry) + "\n")
        place = entry["split"], entry["track"]
        self.done.add(place)
        self.index += entry["index"]
        self.skipped += entry["skipped"]
        self.notes += entry["notes"]
        digests = {row["digest"] for row in entry["index"]} - {""}
        self._identities[place] = digests | set(entry["identities"])

    def add(self, track: Track, cut: Cut) -> None:
        """Store what a track gave: first its audio, then that it is done."""
        with self._writing():
            put(self._envs[track.split], cut.audio)
        where = {"split": track.split, "track": track.name}
        same = identities(track.folder) if cut.index else []
        notes = [{**where, "reason": reason, "detail": detail} for reason, detail in cut.notes]
        self._note({**where, "index": cut.index, "skipped": cut.skipped, "notes": notes, "identities": same})

    def finish(self, folder: str | Path, meta: dict, may_lack: Sequence[str] = ()) -> dict:
        """Put the whole store at `folder` and remove the unfinished one.

        Parameters
        ----------
        folder
            Of the stage's output.
        meta
            What `segments.json` says beside the fingerprint and the counts.
        may_lack
            Splits that may have no segment.

        Returns
        -------
        dict
            The content of `segments.json`.

        Raises
        ------
        UserError
            If a split has no segment.
        """
        self._leave_out_copies()
        counts = Counter(row["split"] for row in self.index)
        for split in self._splits:
            if not counts[split] and split not in may_lack:
                alone = meta.get("mixtures_alone", False)
                lacking = "is music" if alone else f"has {' and '.join(meta['sources'])}"
                remedy = "add songs" if alone else "choose other sources, fix data.path"
                raise UserError(
                    f"no segment of the {split} split of {meta['dataset']} {lacking}{self._why(split)}: {remedy} or "
                    "lower segments.seconds or min_rms"
                )
        kept: list[dict] = sorted(self.index, key=_order)
        left_out: list[dict] = sorted(self.skipped, key=_order)
        index = pd.DataFrame(kept)
        fingerprint = bytes_hash(["\n".join(index["segment"] + " " + index.pop("digest")).encode()])
        columns = ["split", "track", "segment", "reason", "detail"]
        skipped = pd.DataFrame(left_out, columns=columns)
        meta = meta | {
            "fingerprint": fingerprint,
            "counts": {split: counts[split] for split in self._splits},
        }
        with replacing(folder) as temporary, self._writing():
            temporary.mkdir()
            for split, env in self._envs.items():
                env.copy(str(temporary / f"{split}.lmdb"), compact=True)
            index.to_csv(temporary / "index.csv", index=False)
            skipped.to_csv(temporary / "skipped.csv", index=False)
            if self.notes:
                notes = pd.DataFrame(self.notes).sort_values(["split", "track", "reason", "detail"])
                notes.to_csv(temporary / "notes.csv", index=False)
            write_json(temporary / "segments.json", meta)
        self.close()
        shutil.rmtree(self.work)
        return meta

    def _leave_out_copies(self) -> None:
        """Of a song in two splits only the copy in the later one stays, test after validation after train."""
        homes: dict[str, tuple[str, str]] = {}
        for place, same in sorted(self._identities.items(), key=lambda item: SPLITS.index(item[0][0])):
            homes |= dict.fromkeys(same, place)
        for (split, track), same in self._identities.items():
            others = sorted({homes[each] for each in same if homes[each][0] != split})
            if not others:
                continue
            detail = "/".join(others[0])
            tqdm.write(
                f"warning: {split}/{track} is left out: it is the same song as {detail}", file=sys.stderr
            )
            reason = "the same song is in another split"
            self.skipped = [row for row in self.skipped if (row["split"], row["track"]) != (split, track)]
            self.skipped.append(
                {"split": split, "track": track, "segment": "", "reason": reason, "detail": detail}
            )
            with self._writing(), self._envs[split].begin(write=True) as transaction:
                for row in self.index:
                    if (row["split"], row["track"]) == (split, track):
                        transaction.delete(row["segment"].encode())
            self.index = [row for row in self.index if (row["split"], row["track"]) != (split, track)]

    def _why(self, split: str) -> str:
        reasons = Counter(row["reason"] for row in self.skipped if row["split"] == split)
        listed = ", ".join(f"{reason}: {count}" for reason, count in reasons.most_common())
        return f" ({listed})" if listed else " (it has no track)"

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the unfinished store, which stays for a later run."""
        for env in self._envs.values():
            env.close()


def _order(row: dict) -> tuple:
    index = place_of(row["segment"])[1] if row["segment"] else -1
    return SPLITS.index(row["split"]), row["track"], index

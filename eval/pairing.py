"""Which real songs stand against which: two halves of them, and another song for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def halves(tracks: Sequence[str]) -> dict[str, int]:
    """Each track's half, 0 or 1: they alternate in order of name."""
    return {track: i % 2 for i, track in enumerate(sorted(set(tracks)))}


def partners(tracks: Sequence[str], half: Mapping[str, int] | None = None, shift: int = 1) -> list[int]:
    """For each of the clips of `tracks` another, of another song (of its half) where there is one.

    Parameters
    ----------
    tracks
        Of each clip, clips of one track side by side.
    half
        Of each track, as `halves` of all songs that clips are compared with gives it; by default all are one.
    shift
        Which of several partners.
    """
    half = half or dict.fromkeys(tracks, 0)
    groups = [[i for i, track in enumerate(tracks) if half[track] == side] for side in (0, 1)]
    if min(len({tracks[i] for i in group}) for group in groups) < 2:  # too few songs for two halves
        groups = [list(range(len(tracks)))]
    partner = [0] * len(tracks)
    for group in groups:
        songs = list(dict.fromkeys(tracks[i] for i in group))
        for i in group:
            song = songs[(songs.index(tracks[i]) + shift) % len(songs)]
            clips = [j for j in group if tracks[j] == song]
            own = [j for j in group if tracks[j] == tracks[i]]
            partner[i] = clips[(own.index(i) + (song == tracks[i])) % len(clips)]
    return partner

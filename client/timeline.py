"""What a rendition was, merged from all its playlists; and where two playlists contradict.

A segment is known by its msn. The first playlist that shows a fact is believed; a later one that
says otherwise breaks rule 8 (or 6, when a URI comes back under another msn).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

from client.playlists import MediaPlaylist, Part, Segment

# Dates are milliseconds: half of one may be lost on either side.
_DATE_TOLERANCE = Fraction(1, 1000)


class Snapshot(Protocol):
    """A playlist and when its body had come."""

    @property
    def playlist(self) -> MediaPlaylist | None:
        """The playlist, if the answer was one."""

    @property
    def at(self) -> float:
        """Monotonic seconds."""


@dataclass(slots=True)
class Known:
    """One segment, as far as any playlist told."""

    msn: int
    uri: str = ""
    duration: Fraction = Fraction()
    map_uri: str | None = None
    map_byterange: str = ""
    byterange: str = ""
    key: str = ""
    wall: Fraction | None = None  # own date, or that of an earlier segment plus durations
    has_own_wall: bool = False
    discontinuity: bool = False
    discontinuity_number: int = 0
    gap: bool = False
    parts: list[Part] = field(default_factory=list)
    part_seen_at: list[float] = field(default_factory=list)
    complete_at: float | None = None  # None: it was never seen complete
    last_at: float = 0.0  # when it was listed last
    parts_last_at: float = 0.0  # when its parts were
    was_followed: bool = False  # it appeared while we watched: its times mean something

    @property
    def part_seconds(self) -> Fraction:
        """Sum of the parts."""
        return sum((part.duration for part in self.parts), Fraction())


@dataclass(slots=True)
class Timeline:
    """All segments of a rendition by msn."""

    known: dict[int, Known] = field(default_factory=dict)
    clashes: list[tuple[int, str]] = field(default_factory=list)  # rule, what

    @property
    def segments(self) -> list[Known]:
        """In order."""
        return [self.known[msn] for msn in sorted(self.known)]

    @property
    def complete(self) -> list[Known]:
        """Those with a URI."""
        return [segment for segment in self.segments if segment.uri]

    def end_of(self, msn: int, part: int) -> tuple[int, Fraction] | None:
        """When a part ends: discontinuity number (each has a clock of its own) and wall time."""
        known = self.known.get(msn)
        if known is None or known.wall is None or (known.parts and part >= len(known.parts)):
            return None
        if known.parts:
            length = sum((p.duration for p in known.parts[: part + 1]), Fraction())
        else:
            length = known.duration
        return known.discontinuity_number, known.wall + length


def merge(snapshots: Iterable[Snapshot]) -> Timeline:
    """Merge playlists in the order in which they came."""
    timeline = Timeline()
    is_first = True
    for snapshot in snapshots:
        if snapshot.playlist is None:
            continue
        for clash in _take(timeline, snapshot.playlist, snapshot.at, is_first):
            if len(timeline.clashes) < 100:
                timeline.clashes.append(clash)
        is_first = False
    return timeline


def _take(
    timeline: Timeline, playlist: MediaPlaylist, at: float, is_first: bool
) -> Iterator[tuple[int, str]]:
    number = playlist.discontinuity_sequence or 0
    wall: Fraction | None = None
    for segment in playlist.every:
        number += segment.discontinuity
        wall = segment.wall if segment.wall is not None else wall
        known = timeline.known.get(segment.msn)
        if known is None:
            known = Known(segment.msn, was_followed=not is_first)
            timeline.known[segment.msn] = known
            _fill(known, segment, number, wall)
        yield from _compare(known, segment, number)
        yield from _compare_parts(known, segment)
        _extend(known, segment, at)
        wall = wall + segment.duration if wall is not None else None


def _fill(known: Known, segment: Segment, number: int, wall: Fraction | None) -> None:
    known.map_uri, known.map_byterange = segment.map_uri, segment.map_byterange
    known.discontinuity, known.discontinuity_number = segment.discontinuity, number
    known.wall, known.has_own_wall, known.key = wall, segment.wall is not None, segment.key


def _extend(known: Known, segment: Segment, at: float) -> None:
    known.last_at = at
    if segment.uri and not known.uri:
        known.uri, known.duration, known.gap = segment.uri, segment.duration, segment.gap
        known.byterange, known.complete_at = segment.byterange, at
    if segment.parts:
        known.parts_last_at = at
    new = segment.parts[len(known.parts) :]
    known.parts += new
    known.part_seen_at += [at] * len(new)


def _compare(known: Known, segment: Segment, number: int) -> Iterator[tuple[int, str]]:
    """Rule 8; rule 17 for the discontinuity number."""
    msn = known.msn
    yield from _compare_completion(known, segment)
    if (segment.map_uri, segment.map_byterange) != (known.map_uri, known.map_byterange):
        yield 8, f"EXT-X-MAP of msn {msn} was {known.map_uri}, then {segment.map_uri}"
    if (
        segment.wall is not None
        and known.wall is not None
        and abs(segment.wall - known.wall) > _DATE_TOLERANCE
    ):
        late = float(segment.wall - known.wall)
        yield 8, f"PROGRAM-DATE-TIME of msn {msn} moved by {late:+.3f} s"
    if number != known.discontinuity_number:
        before_number = known.discontinuity_number
        yield 17, f"discontinuity number of msn {msn} was {before_number}, then {number}"
    elif segment.discontinuity != known.discontinuity:
        yield 8, f"EXT-X-DISCONTINUITY of msn {msn} came or went"


def _compare_completion(known: Known, segment: Segment) -> Iterator[tuple[int, str]]:
    msn = known.msn
    if known.uri and not segment.uri:
        yield 8, f"msn {msn} was complete and then in progress again"
    elif known.uri:
        if segment.uri != known.uri:
            yield 8, f"msn {msn} was {known.uri}, then {segment.uri}"
        if segment.duration != known.duration:
            before, after = float(known.duration), float(segment.duration)
            yield 8, f"EXTINF of msn {msn} was {before:.5f}, then {after:.5f}"


def _compare_parts(known: Known, segment: Segment) -> Iterator[tuple[int, str]]:
    msn = known.msn
    for index, (old, new) in enumerate(zip(known.parts, segment.parts, strict=False)):
        if old != new:
            yield 8, f"part {msn}.{index} was {old.uri} of {float(old.duration)} s, then {new.uri}"
            return
    if known.parts and segment.parts and not segment.uri and len(segment.parts) < len(known.parts):
        listed, before_count = len(segment.parts), len(known.parts)
        yield 8, f"msn {msn} had {before_count} parts, then {listed}"

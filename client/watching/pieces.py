"""What a playlist offers to fetch, piece by piece, and where a player begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from client.observation import Address
from client.observe import is_usable
from client.playlists import MediaPlaylist, Part, Segment

# The distance from the live edge that the draft asks for where no HOLD-BACK is given.
_HOLD_BACK_TARGET_DURATIONS = 3
# A list of parts that is shorter than its segment by more than this has lost its beginning.
_PARTS_MISSING_SECONDS = Fraction(1, 20)

Cursor = tuple[int, int]  # msn and part of what is wanted next


@dataclass(frozen=True, slots=True)
class Piece:
    """A part, or a segment that is fetched whole."""

    msn: int
    part: int
    uri: str
    duration: Fraction
    is_whole: bool = False
    byterange: str = ""
    map_uri: str = ""
    map_byterange: str = ""
    wall: Fraction | None = None  # when its first sample was live, seconds since 1970
    independent: bool = False
    begins: bool = False  # a DISCONTINUITY stands before it
    gap: bool = False
    encrypted: bool = False

    @property
    def cursor(self) -> Cursor:
        """Where it stands."""
        return self.msn, self.part

    @property
    def behind(self) -> Cursor:
        """What comes next, as far as this piece alone can tell."""
        return (self.msn + 1, 0) if self.is_whole else (self.msn, self.part + 1)


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin: the piece to decode first, and how much of it is before the first picture."""

    cursor: Cursor
    skip_seconds: float


def pieces(playlist: MediaPlaylist) -> Iterator[Piece]:
    """All that is listed, in order: parts where they are listed, else whole segments."""
    wall: Fraction | None = None
    before = Address("")
    for segment in playlist.every:
        if segment.wall is not None or segment.discontinuity:
            wall = segment.wall
        for piece in _of_segment(segment, playlist, wall):
            ranged = replace(piece, byterange=_absolute(piece, before))
            before = Address(ranged.uri, ranged.byterange)
            yield ranged
            wall = wall + piece.duration if wall is not None else None


def _of_segment(
    segment: Segment, playlist: MediaPlaylist, wall: Fraction | None
) -> Iterator[Piece]:
    whole = Piece(
        msn=segment.msn,
        part=0,
        uri=segment.uri,
        duration=segment.duration,
        is_whole=True,
        byterange=segment.byterange,
        map_uri=segment.map_uri or "",
        map_byterange=segment.map_byterange,
        wall=wall,
        independent=True,
        begins=segment.discontinuity,
        gap=segment.gap,
        encrypted=bool(segment.key) and "METHOD=NONE" not in segment.key,
    )
    if segment is not playlist.open and not _has_all_parts(segment):
        yield whole
        return
    for index, part in enumerate(segment.parts):
        yield _part(whole, index, part, wall, starts_key=playlist.independent)
        wall = wall + part.duration if wall is not None else None


def _has_all_parts(segment: Segment) -> bool:
    listed = sum((part.duration for part in segment.parts), Fraction())
    return bool(segment.parts) and listed > segment.duration - _PARTS_MISSING_SECONDS


def _part(
    whole: Piece, index: int, part: Part, wall: Fraction | None, *, starts_key: bool
) -> Piece:
    return replace(
        whole,
        part=index,
        uri=part.uri,
        duration=part.duration,
        is_whole=False,
        byterange=part.byterange,
        wall=wall,
        independent=part.independent or (starts_key and index == 0),
        begins=whole.begins and index == 0,
        gap=part.gap or whole.gap,
    )


def _absolute(piece: Piece, before: Address) -> str:
    """A byte range with its offset: where it has none it follows the piece before it."""
    if not piece.byterange or "@" in piece.byterange:
        return piece.byterange
    if before.url != piece.uri or not before.byterange or not is_usable(before.byterange):
        return f"{piece.byterange}@0"
    length, _, offset = before.byterange.partition("@")
    return f"{piece.byterange}@{int(length) + int(offset)}"


def start(playlist: MediaPlaylist) -> Start | None:
    """Where a player begins: a hold-back from the live edge, at the beginning of what has ended.

    Decoding begins at the last piece before that which needs no other. None: nothing is listed.
    """
    every = list(pieces(playlist))
    if not every:
        return None
    if playlist.ended:
        return Start(every[0].cursor, 0)
    target = sum((piece.duration for piece in every), Fraction()) - hold_back(playlist)
    at = Fraction()
    found, found_at = every[0], at
    for piece in every:
        if piece.independent and at <= target:
            found, found_at = piece, at
        at += piece.duration
    return Start(found.cursor, float(max(Fraction(), target - found_at)))


def hold_back(playlist: MediaPlaylist) -> Fraction:
    """How far behind the live edge a player of this playlist stays (rule 25), in seconds."""
    control = playlist.control
    if playlist.part_target and control.part_hold_back:
        return control.part_hold_back
    least = Fraction(_HOLD_BACK_TARGET_DURATIONS * (playlist.target_duration or 2))
    return control.hold_back or least


def following(playlist: MediaPlaylist, cursor: Cursor) -> tuple[list[Piece], bool]:
    """What is listed from a place on, and whether nothing is missing in between."""
    found = [piece for piece in pieces(playlist) if piece.cursor >= cursor]
    return found, not found or _joins(playlist, cursor, found[0])


def _joins(playlist: MediaPlaylist, cursor: Cursor, piece: Piece) -> bool:
    if piece.cursor == cursor:
        return True
    # The segment was complete already: its last part was the one before.
    complete = next((s for s in playlist.segments if s.msn == cursor[0]), None)
    ends_there = complete is not None and len(complete.parts) == cursor[1]
    return ends_there and piece.cursor == (cursor[0] + 1, 0)

"""Our own media playlists read back: what a server and a successor must know stands in the text.

Rule numbers are those of the project's rule list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from encoder.playlist import PartEntry, SegmentEntry

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a media playlist is: all that a blocking reload has to be compared with."""

    last_msn: int  # of the newest complete segment
    last_parts: int  # parts of that segment that are listed
    parts: int  # parts of segment last_msn + 1 that are listed
    target_duration: int
    part_target: Fraction | None
    hint_uri: str
    ended: bool
    discontinuity_sequence: int = 0  # of the newest segment


_NUMBER_TAGS = {
    name: re.compile(rf"^#EXT-X-{name}:(\d+)$", re.MULTILINE)
    for name in ("MEDIA-SEQUENCE", "TARGETDURATION")
}
_DISCONTINUITY_SEQUENCE = re.compile(r"^#EXT-X-DISCONTINUITY-SEQUENCE:(\d+)$", re.MULTILINE)
_SKIPPED = re.compile(r"^#EXT-X-SKIP:SKIPPED-SEGMENTS=(\d+)$", re.MULTILINE)
_PART_TARGET = re.compile(r"^#EXT-X-PART-INF:PART-TARGET=([\d.]+)$", re.MULTILINE)
_HINT = re.compile(r'^#EXT-X-PRELOAD-HINT:TYPE=PART,URI="([^"]*)"$', re.MULTILINE)


def read_position(text: str) -> Position:
    """Read one of our own media playlists. The text is the truth: there is no second file.

    Raises:
        ValueError: the text is not a media playlist of ours.
    """
    # A long window is large: its tags are looked for only where they can be.
    first = text.find("\n#EXTINF:")
    head = text if first < 0 else text[:first]
    numbers = {}
    for name, pattern in _NUMBER_TAGS.items():
        match = pattern.search(head)
        if match is None:
            raise ValueError(f"no {name} in the playlist")
        numbers[name] = int(match[1])
    skipped = _SKIPPED.search(head)
    complete = text.count("\n#EXTINF:") + (int(skipped[1]) if skipped else 0)
    last = max(0, text.rfind("\n#EXTINF:"))
    tail, before = text[last:], text[max(0, text.rfind("\n#EXTINF:", 0, last)) : last]
    part_target, hint = _PART_TARGET.search(head), _HINT.search(tail)
    slid_out = _DISCONTINUITY_SEQUENCE.search(head)
    return Position(
        last_msn=numbers["MEDIA-SEQUENCE"] + complete - 1,
        last_parts=before.count("\n#EXT-X-PART:"),
        parts=tail.count("\n#EXT-X-PART:"),
        target_duration=numbers["TARGETDURATION"],
        part_target=Fraction(part_target[1]) if part_target else None,
        hint_uri=hint[1] if hint else "",
        ended=tail.rstrip().endswith("#EXT-X-ENDLIST"),
        discontinuity_sequence=(int(slid_out[1]) if slid_out else 0)
        + text.count("\n#EXT-X-DISCONTINUITY\n"),
    )


_PART_LINE = re.compile(r'#EXT-X-PART:DURATION=([\d.]+),URI="([^"]*)"(,INDEPENDENT=YES)?')


def read_segments(text: str) -> tuple[int, tuple[SegmentEntry, ...]]:
    """Read back one of our own media playlists, whole.

    Returns:
        EXT-X-DISCONTINUITY-SEQUENCE, and the segments; one in progress has no URI.

    Raises:
        ValueError: the text is not a media playlist of ours.
    """
    msn = read_position(text).last_msn + 1 - text.count("\n#EXTINF:")
    slid_out = _DISCONTINUITY_SEQUENCE.search(text)
    entries: list[SegmentEntry] = []
    map_uri = ""
    draft = fresh = SegmentEntry(msn, "", Fraction(), "", 0)
    for line in text.splitlines():
        tag, _, value = line.partition(":")
        if tag == "#EXT-X-DISCONTINUITY":
            draft = replace(draft, discontinuity=True)
        elif tag == "#EXT-X-MAP":
            map_uri = value.partition('"')[2].rstrip('"')
        elif tag == "#EXT-X-PROGRAM-DATE-TIME":
            draft = replace(draft, wall_ms=_wall_ms(value))
        elif tag == "#EXT-X-GAP":
            draft = replace(draft, gap=True)
        elif tag == "#EXTINF":
            draft = replace(draft, duration=Fraction(value.rstrip(",")))
        elif match := _PART_LINE.fullmatch(line):
            part = PartEntry(match[2], Fraction(match[1]), bool(match[3]))
            draft = replace(draft, parts=(*draft.parts, part))
        elif line and not line.startswith("#"):
            entries.append(replace(draft, uri=line, map_uri=map_uri))
            draft = fresh = replace(fresh, msn=fresh.msn + 1)
    if draft.parts:
        entries.append(replace(draft, map_uri=map_uri))
    return (int(slid_out[1]) if slid_out else 0), tuple(entries)


def _wall_ms(text: str) -> int:
    since = datetime.fromisoformat(text) - _EPOCH
    return since // timedelta(milliseconds=1)

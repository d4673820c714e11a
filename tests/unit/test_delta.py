"""Rule 42: merge(previous, delta) is the full playlist; only what is old enough is left out."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from encoder.playlist import (
    MediaPlaylist,
    PartEntry,
    SegmentEntry,
    ServerControl,
    render_media_playlist,
)
from encoder.playlist_reader import read_position

CONTROL = ServerControl(2, 6, Fraction(1, 5), Fraction(3, 5), can_skip_until=12)
# The lines that belong to one segment, its URI last.
SEGMENT = re.compile(r"(?:#EXT-X-(?:DISCONTINUITY\n|MAP|PROGRAM|PART:).*\n?)*#EXTINF:.*\n\S+\n")


def entry(msn: int, *, discontinuity: bool = False, run: str = "a") -> SegmentEntry:
    parts = tuple(PartEntry(f"{run}-{msn}.{i}.m4s", Fraction(1, 5), i == 0) for i in range(10))
    return SegmentEntry(
        msn, f"{run}-{msn}.m4s", Fraction(2), f"{run}-init.mp4", msn * 2000, discontinuity, parts
    )


def playlist(first: int, count: int, open_parts: int, discontinuity_at: int = 0) -> MediaPlaylist:
    segments = tuple(
        entry(
            msn,
            discontinuity=msn == discontinuity_at,
            run="b" if discontinuity_at and msn >= discontinuity_at else "a",
        )
        for msn in range(first, first + count)
    )
    last = entry(first + count)
    current = replace(last, uri="", parts=last.parts[:open_parts]) if open_parts else None
    return MediaPlaylist(CONTROL, segments, current, hint_uri="a-9.9.m4s")


def split(text: str) -> tuple[str, list[str], str]:
    """Header, the lines of each complete segment, and the rest."""
    first = text.index("#EXTINF") if "#EXTINF" in text else len(text)
    start = max(text.rfind(tag, 0, first) for tag in ("-SEQUENCE:", "#EXT-X-SKIP"))
    start = text.index("\n", start) + 1
    segments = SEGMENT.findall(text[start:])
    end = start + sum(len(lines) for lines in segments)
    return text[:start], segments, text[end:]


def plain(lines: str) -> str:
    """A segment without parts, which leave the playlist as it grows old (29)."""
    return re.sub(r"#EXT-X-PART:.*\n", "", lines)


@given(st.integers(1, 40), st.integers(0, 9), st.integers(0, 45))
def test_42_merging_a_delta_gives_the_full_playlist(
    count: int, open_parts: int, discontinuity_at: int
) -> None:
    now = playlist(5, count, open_parts, discontinuity_at)
    full, delta = render_media_playlist(now), render_media_playlist(now, delta=True)
    skipped = re.search(r"#EXT-X-SKIP:SKIPPED-SEGMENTS=(\d+)", delta)
    if skipped is None:
        assert delta == full
        return
    _header, whole, tail = split(full)
    delta_header, kept, delta_tail = split(delta)
    count_skipped = int(skipped[1])
    assert [plain(s) for s in whole[count_skipped:]] == [plain(s) for s in kept]
    assert tail == delta_tail
    assert "#EXT-X-VERSION:9" in delta_header
    assert "#EXT-X-VERSION:6" in full


@given(st.integers(1, 40), st.integers(0, 9))
def test_42_nothing_younger_than_the_boundary_is_skipped(count: int, open_parts: int) -> None:
    delta = render_media_playlist(playlist(5, count, open_parts), delta=True)
    left = delta.count("#EXTINF") * 2 + open_parts * Fraction(1, 5)
    if "#EXT-X-SKIP" in delta:
        assert 12 < left <= 14
    else:
        assert left == count * 2 + open_parts * Fraction(1, 5)


def test_3_an_ended_or_unskippable_playlist_has_no_delta() -> None:
    ended = replace(playlist(5, 20, 0), ended=True)
    assert "#EXT-X-SKIP" not in render_media_playlist(ended, delta=True)
    never = replace(playlist(5, 20, 0), control=replace(CONTROL, can_skip_until=None))
    assert "#EXT-X-SKIP" not in render_media_playlist(never, delta=True)
    assert "CAN-SKIP" not in render_media_playlist(never)


@given(st.integers(1, 40), st.integers(0, 9))
def test_the_position_is_the_same_in_a_delta(count: int, open_parts: int) -> None:
    now = playlist(5, count, open_parts)
    full = read_position(render_media_playlist(now))
    assert read_position(render_media_playlist(now, delta=True)) == full

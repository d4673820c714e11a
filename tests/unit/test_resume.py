"""Taking over the folder of an encoder process that died."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.packager import Past
from encoder.playlist import (
    MediaPlaylist,
    PartEntry,
    SegmentEntry,
    ServerControl,
    render_media_playlist,
)
from encoder.playlist_reader import read_segments
from encoder.resume import Resume, msn_by_clock, take_over
from encoder.store import StreamStore
from encoder.timing import plan

CONTROL = ServerControl(2, 6, Fraction(1, 5), Fraction(3, 5), 12)
BOTH = ("v0", "a0")


def entry(msn: int, *, discontinuity: bool = False, gap: bool = False) -> SegmentEntry:
    parts = tuple(PartEntry(f"ab-{msn}.{i}.m4s", Fraction(1, 5), i == 0) for i in range(10))
    wall = 1_790_000_000_000 + msn * 2000
    uri, start = f"ab-{msn}.m4s", "ab-init.mp4"
    return SegmentEntry(msn, uri, Fraction(2), start, wall, discontinuity, parts, gap)


def in_progress(msn: int, parts: int) -> SegmentEntry:
    whole = entry(msn)
    return replace(whole, uri="", duration=Fraction(), parts=whole.parts[:parts])


def leave(folder: Path, name: str, last: int, parts: int) -> None:
    """A rendition with segments 5 to ``last`` and some parts of the next."""
    segments = tuple(entry(msn) for msn in range(5, last + 1))
    current = in_progress(last + 1, parts) if parts else None
    playlist = MediaPlaylist(CONTROL, segments, current, hint_uri="ab-9.9.m4s")
    (folder / name).mkdir(parents=True)
    (folder / name / "media.m3u8").write_text(render_media_playlist(playlist))
    (folder / name / "ab-init.mp4").write_bytes(b"init")
    for segment in (*segments, *([current] if current else [])):
        for part in segment.parts:
            (folder / name / part.uri).write_bytes(f"<{part.uri}>".encode())
        if segment.uri:
            (folder / name / segment.uri).write_bytes(b"whole")


def taken(folder: Path) -> tuple[StreamStore, Resume]:
    store = StreamStore(folder, 10**6)
    store.open(BOTH)
    return store, take_over(store, BOTH, Fraction(2))


def test_where_nothing_was_left_nothing_is_taken_over(tmp_path: Path) -> None:
    assert taken(tmp_path)[1] == Resume(1, {})


def test_what_was_listed_stays_and_the_open_segment_is_closed(tmp_path: Path) -> None:
    leave(tmp_path, "v0", 7, 3)
    leave(tmp_path, "a0", 7, 2)
    store, resume = taken(tmp_path)
    assert resume.first_msn == 9
    assert [s.msn for s in resume.past["v0"].segments] == [5, 6, 7, 8]
    closed = resume.past["v0"].segments[-1]
    assert (closed.uri, closed.duration, closed.gap) == ("ab-8.m4s", Fraction(3, 5), False)
    assert (tmp_path / "v0/ab-8.m4s").read_bytes() == b"<ab-8.0.m4s><ab-8.1.m4s><ab-8.2.m4s>"
    store.remove_leftovers()
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.m*") if p.is_file()}
    listed = {f"{name}/ab-{msn}.m4s" for name in BOTH for msn in (5, 6, 7, 8)}
    listed |= {"v0/ab-init.mp4", "a0/ab-init.mp4"}
    for name in BOTH:
        listed |= {f"{name}/{p.uri}" for s in resume.past[name].segments for p in s.parts}
    assert left == listed  # 31


def test_19_a_rendition_that_was_behind_gets_a_gap(tmp_path: Path) -> None:
    leave(tmp_path, "v0", 7, 9)
    leave(tmp_path, "a0", 8, 1)
    _store, resume = taken(tmp_path)
    assert resume.first_msn == 10
    assert [(s.msn, s.gap) for s in resume.past["v0"].segments[-2:]] == [(8, False), (9, True)]
    assert [(s.msn, s.gap) for s in resume.past["a0"].segments[-2:]] == [(8, False), (9, False)]


def test_16_a_rendition_that_died_before_its_discontinuity_has_it_too(tmp_path: Path) -> None:
    """A process that took over and was killed when it had published a part of the sound alone."""
    leave(tmp_path, "v0", 8, 0)
    leave(tmp_path, "a0", 8, 0)
    broken = replace(in_progress(9, 2), discontinuity=True, wall_ms=1_790_000_090_000)
    path = tmp_path / "a0/media.m3u8"
    slid_out, segments = read_segments(path.read_text())
    playlist = MediaPlaylist(CONTROL, segments, broken, slid_out, hint_uri="ab-9.2.m4s")
    path.write_text(render_media_playlist(playlist))
    for part in broken.parts:
        (tmp_path / "a0" / part.uri).write_bytes(b"part")
    _store, resume = taken(tmp_path)
    assert resume.first_msn == 10
    for name in BOTH:
        last = resume.past[name].segments[-1]
        assert (last.msn, last.discontinuity, last.wall_ms) == (9, True, broken.wall_ms), name
        assert not any(segment.discontinuity for segment in resume.past[name].segments[:-1])
    assert resume.past["v0"].segments[-1].gap


def test_19_parts_that_are_gone_make_a_gap(tmp_path: Path) -> None:
    leave(tmp_path, "v0", 7, 3)
    leave(tmp_path, "a0", 7, 3)
    (tmp_path / "v0/ab-8.1.m4s").unlink()
    _store, resume = taken(tmp_path)
    assert resume.past["v0"].segments[-1].gap


def test_a_foreign_or_half_playlist_begins_anew(tmp_path: Path) -> None:
    leave(tmp_path, "v0", 7, 3)
    leave(tmp_path, "a0", 7, 3)
    (tmp_path / "a0/media.m3u8").write_text("#EXTM3U\n")
    assert taken(tmp_path)[1] == Resume(1, {})
    assert Resume().past.get("v0", Past()) == Past()


@given(
    st.integers(1, 9),
    st.integers(0, 9),
    st.sets(st.integers(5, 13)),
    st.sets(st.integers(5, 13)),
    st.integers(0, 3),
)
def test_reading_gives_back_what_was_rendered(
    count: int, open_parts: int, breaks: set[int], gaps: set[int], slid_out: int
) -> None:
    segments = tuple(
        entry(msn, discontinuity=msn in breaks, gap=msn in gaps) for msn in range(5, 5 + count)
    )
    current = in_progress(5 + count, open_parts) if open_parts else None
    playlist = MediaPlaylist(CONTROL, segments, current, slid_out, hint_uri="x")
    found, entries = read_segments(render_media_playlist(playlist))
    expected = (*segments, *([current] if current else []))
    assert found == slid_out
    assert [replace(e, parts=()) for e in entries] == [replace(e, parts=()) for e in expected]
    if current:
        assert entries[-1].parts == current.parts


def test_29_what_is_taken_over_keeps_its_parts_and_their_files(tmp_path: Path) -> None:
    """hls.js goes on from the last part it has: it must find that part."""
    for name in BOTH:
        leave(tmp_path, name, 9, 4)
    store, resume = taken(tmp_path)
    closed = resume.past["v0"].segments[-1]
    assert [part.uri for part in closed.parts] == [f"ab-10.{n}.m4s" for n in range(4)]
    store.remove_leftovers()
    for segment in resume.past["v0"].segments:
        assert all((tmp_path / "v0" / part.uri).is_file() for part in segment.parts)


# --- the first number of a stream that takes nothing over ----------------------------------------


def seconds_of(year: int, month: int, day: int, second: int = 0) -> float:
    return datetime(year, month, day, second=second, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("wall_seconds", "msn"),
    [
        (seconds_of(2026, 1, 1, 1), 5),
        (seconds_of(2026, 1, 1, 1) + 0.2499, 5),
        (seconds_of(2026, 1, 1, 1) + 0.25, 6),
        (seconds_of(2026, 11, 30), 1 + 4 * 86_400 * (365 - 32)),
        # A clock that was never set. hls.js takes 0 for "no blocking".
        (seconds_of(2026, 1, 1), 1),
        (seconds_of(2025, 12, 31), 1),
        (0.0, 1),
    ],
)
def test_a_stream_is_numbered_by_the_clock(wall_seconds: float, msn: int) -> None:
    assert msn_by_clock(wall_seconds) == msn


def test_numbers_fit_in_31_bits_for_seventeen_years() -> None:
    assert 2**30 < msn_by_clock(seconds_of(2043, 1, 1)) < 2**31 - 2**20


@given(
    st.floats(seconds_of(2026, 1, 1), seconds_of(2043, 1, 1)),
    st.floats(0.5, 5.0) | st.floats(0.5, 1_000_000.0),
    st.integers(1, 60),
    st.floats(1.0, 10.0),
    st.sampled_from([0.12, 0.2, None]),
)
def test_63_whoever_comes_half_a_second_later_begins_beyond(
    began: float, ran: float, fps: int, segment_seconds: float, part_seconds: float | None
) -> None:
    """A run is one segment ahead of real time, so that its first is complete at once."""
    timing = plan(
        fps=fps,
        audio_rate_hz=48_000,
        part_seconds=part_seconds,
        segment_seconds=round(segment_seconds, 2),
    )
    segments_begun = 1 + int((Fraction(ran) + timing.segment_seconds) / timing.segment_seconds)
    assert msn_by_clock(began + ran) >= msn_by_clock(began) + segments_begun

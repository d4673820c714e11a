"""A long window says what a short one would, at a cost that does not grow with it."""

from __future__ import annotations

import gzip
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder import playlist
from encoder.gzipped import deflated, gzipped
from encoder.playlist import (
    Forms,
    MediaPlaylist,
    PartEntry,
    RenditionReport,
    SegmentEntry,
    ServerControl,
    render_media_playlist,
)
from encoder.window import BLOCK_SEGMENTS, Window

LOW = ServerControl(2, 6, Fraction(1, 5), Fraction(3, 5), 12)
NO_DELTAS = replace(LOW, can_skip_until=None)
PLAIN = ServerControl(2, 6, None, None, 12)
REPORTS = (RenditionReport("../a0/media.m3u8", 9, 3),)


def entry(msn: int, *, broken: bool = False, gap: bool = False) -> SegmentEntry:
    """Segment ``msn``; every fortieth begins under another MAP."""
    parts = tuple(PartEntry(f"r-{msn}.{n}.m4s", Fraction(1, 5), n == 0) for n in range(10))
    start, wall = f"r{msn // 40}-init.mp4", 1_790_000_000_000 + 2000 * msn
    return SegmentEntry(msn, f"r-{msn}.m4s", Fraction(2), start, wall, broken, parts, gap)


def in_progress(msn: int, parts: int) -> SegmentEntry:
    whole = entry(msn)
    return replace(whole, uri="", duration=Fraction(), parts=whole.parts[:parts])


def shown(window: Window, control: ServerControl, current: SegmentEntry | None) -> MediaPlaylist:
    return MediaPlaylist(
        control, window.newest, current, 3, "r-9.9.m4s", REPORTS, older=window.older
    )


@given(
    st.sampled_from([LOW, NO_DELTAS, PLAIN]),
    st.integers(0, 3 * BLOCK_SEGMENTS + 9),
    st.integers(0, 4 * BLOCK_SEGMENTS),
    st.integers(0, 9),
    st.sets(st.integers(1, 150), max_size=4),
    st.booleans(),
    st.booleans(),
)
def test_it_says_what_all_lines_rendered_anew_say(
    control: ServerControl,
    length: int,
    slid: int,
    parts: int,
    marked: set[int],
    ended: bool,
    delta: bool,
) -> None:
    every = [entry(n, broken=n in marked, gap=n + 1 in marked) for n in range(1, length + slid + 1)]
    window = Window(control, every[:length])
    for later in every[length:]:
        window.append(later)
        window.popleft()
    current = in_progress(length + slid + 1, parts) if parts else None
    kept = replace(shown(window, control, current), ended=ended)
    plain = replace(kept, segments=tuple(every[slid:]), older=None)
    expected = render_media_playlist(plain, delta=delta)
    assert render_media_playlist(kept, delta=delta) == expected
    forms = Forms(kept)
    text, packed = forms.both(delta=delta)
    assert text.decode() == expected
    assert gzip.decompress(packed).decode() == expected
    assert forms.has_delta == (forms.both(delta=True) != forms.both())
    assert (len(window), window.seconds) == (length, Fraction(2 * length))
    assert window.first == (every[slid] if length else None)
    assert window.last == (every[-1] if length else None)


def test_work_per_part_and_per_segment_does_not_grow_with_the_window() -> None:
    for length in (100, 2000):
        window = Window(LOW, (entry(n) for n in range(1, length + 1)))
        before = window.older
        assert before is not None
        for block in before.blocks:
            assert len(block.packed) < len(block.text)
        assert len(window.newest) <= BLOCK_SEGMENTS + 8  # rendered for each part
        window.append(entry(length + 1))
        window.popleft()
        after = window.older
        assert after is not None
        again = [b for b in after.blocks if "text" not in vars(b) or "packed" not in vars(b)]
        assert len(again) <= 2, "the first one lost a segment; one may have become full"


def test_a_part_costs_the_packing_of_the_segment_in_progress(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whole and delta together: what stands before it is packed for its first part alone."""
    window = Window(LOW, (entry(n) for n in range(1, 9)))
    packed: list[int] = []

    def counted(data: bytes, after: bytes = b"") -> bytes:
        packed.append(len(data))
        return deflated(data, after)

    monkeypatch.setattr(playlist, "deflated", counted)
    playlist._packed_once.cache_clear()
    for parts in (1, 2, 3):
        packed.clear()
        forms = Forms(shown(window, LOW, in_progress(9, parts)))
        sizes = [len(text) for text, _gzip in (forms.both(), forms.both(delta=True))]
        assert forms.has_delta
        assert sizes[0] > sizes[1] > 1500
        if parts > 1:
            assert len(packed) == 1
            assert packed[0] < 500


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=60))
def test_30_the_longest_playlist_that_held_a_segment(steps: list[tuple[int, int]]) -> None:
    """Each step: a segment comes, so many leave; against the history of whole playlists."""
    window, history, retired = Window(LOW), [], []
    for msn, (seconds, leave) in enumerate(steps, 1):
        window.append(replace(entry(msn), duration=Fraction(seconds)))
        leaving = [window.popleft().msn for _ in range(min(leave, len(window) - 1))]
        retired += [(old, window.longest_with(old)) for old in leaving]
        window.note_length()
        first = window.first
        assert first is not None
        history.append((range(first.msn, msn + 1), window.seconds))
    for old, longest in retired:
        held = [seconds for listed, seconds in history if old in listed]
        assert longest == max(held) if held else longest >= 0


@given(st.lists(st.binary(max_size=5000), max_size=5))
def test_pieces_make_one_gzip_member(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    packed = gzipped(whole, *(deflated(piece) for piece in pieces))
    assert gzip.decompress(packed) == whole
    assert packed == gzipped(whole, *(deflated(piece) for piece in pieces)), "no time in it"

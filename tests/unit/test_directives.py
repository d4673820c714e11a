"""Rules 36-41, on positions alone."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.playlist_reader import Position
from server.directives import BadDirective, Directives


def at(
    last_msn: int = 7,
    parts: int = 3,
    last_parts: int = 10,
    part_target: Fraction | None = Fraction(1, 5),
    *,
    ended: bool = False,
) -> Position:
    """Segment 7 is complete with parts 0 to 9; of segment 8 parts 0 to 2 are there."""
    return Position(last_msn, last_parts, parts, 2, part_target, "hint", ended)


def test_without_directives_nothing_is_waited_for() -> None:
    assert Directives.parse({}).satisfied(at())


@pytest.mark.parametrize(
    ("query", "answered"),
    [
        ({"_HLS_msn": "7"}, True),
        ({"_HLS_msn": "8"}, False),  # 36: the whole segment, not its first part
        ({"_HLS_msn": "8", "_HLS_part": "2"}, True),
        ({"_HLS_msn": "8", "_HLS_part": "3"}, False),
        ({"_HLS_msn": "7", "_HLS_part": "9"}, True),
        ({"_HLS_msn": "7", "_HLS_part": "10"}, True),  # 36: rolls over to part 0 of 8, in progress
        ({"_HLS_msn": "9", "_HLS_part": "0"}, False),
        ({"_HLS_msn": "1"}, True),  # 37: passed, even if it left the window
        ({"_HLS_msn": "1", "_HLS_part": "5"}, True),
        ({"_HLS_msn": "0"}, True),
    ],
)
def test_36_37_what_is_answered_at_once(query: dict[str, str], answered: bool) -> None:
    assert Directives.parse(query).satisfied(at()) is answered


def test_36_roll_over_waits_while_the_next_segment_has_no_part() -> None:
    wanted = Directives(7, 10)
    assert not wanted.satisfied(at(parts=0))
    assert wanted.satisfied(at(parts=1))


@pytest.mark.parametrize(
    "query",
    [
        {"_HLS_part": "1"},
        {"_HLS_msn": "x"},
        {"_HLS_msn": ""},
        {"_HLS_msn": "-1"},
        {"_HLS_msn": "1.5"},
        {"_HLS_msn": "٣"},
        {"_HLS_msn": "9" * 19},
        {"_HLS_msn": "8", "_HLS_part": "+1"},
    ],
)
def test_38_bad_directives(query: dict[str, str]) -> None:
    with pytest.raises(BadDirective):
        Directives.parse(query)


@pytest.mark.parametrize(
    ("msn", "part", "too_far"),
    [
        (9, None, False),
        (10, None, True),
        (8, 17, False),  # three parts are there; 3 / 0.2 = 15 more may be asked for
        (8, 18, True),
        (9, 14, False),
        (9, 15, True),
    ],
)
def test_39_advance_limit(msn: int, part: int | None, too_far: bool) -> None:
    wanted = Directives(msn, part)
    if too_far:
        with pytest.raises(BadDirective):
            wanted.check_advance(at())
    else:
        wanted.check_advance(at())


def test_39_long_parts_allow_three() -> None:
    position = at(part_target=Fraction(1))
    Directives(8, 5).check_advance(position)
    with pytest.raises(BadDirective):
        Directives(8, 6).check_advance(position)


def test_41_directives_are_ignored_after_the_end() -> None:
    wanted = Directives(99, 3)
    wanted.check_advance(at(ended=True))
    assert wanted.satisfied(at(ended=True))


@given(st.text(max_size=30), st.text(max_size=30))
def test_parse_never_fails_otherwise(msn: str, part: str) -> None:
    try:
        wanted = Directives.parse({"_HLS_msn": msn, "_HLS_part": part})
    except BadDirective:
        return
    assert wanted.msn == int(msn)
    assert wanted.part == int(part)


@given(
    st.integers(0, 12),
    st.none() | st.integers(0, 30),
    st.integers(0, 9),
)
def test_what_was_answered_stays_answered(msn: int, part: int | None, parts: int) -> None:
    """More media never takes an answer back: a client that asks again is not held."""
    wanted = Directives(msn, part)
    if wanted.satisfied(at(parts=parts)):
        assert wanted.satisfied(at(parts=parts + 1))
        assert wanted.satisfied(at(last_msn=8, last_parts=10, parts=0)) or msn >= 8

"""Lip sync measured inside: what an encoder may do wrong, and what is seen of it."""

from __future__ import annotations

from fractions import Fraction

from encoder.ledger import HandOvers, Ledger
from encoder.offsets import TrackOffset
from encoder.timing import TrackTiming

VIDEO = TrackTiming(90_000, 3600, 5, Fraction(50))
SOUND = TrackTiming(48_000, 1024, 10, Fraction(94))


def test_frame_by_frame_it_is_none() -> None:
    for timing, first in ((VIDEO, 40 * 3600), (SOUND, 64 * 1024 - 2048)):
        offset = TrackOffset(first, timing)
        for frame in range(500):
            offset.note(first + frame * timing.frame_ticks)
            assert offset.seconds == 0


def test_a_frame_that_an_encoder_drops_is_seen_in_its_times() -> None:
    offset = TrackOffset(0, VIDEO)
    for frame in (0, 1, 2, 4):
        offset.note(frame * 3600)
    assert offset.seconds == Fraction(1, 25)


def test_a_frame_that_it_repeats_is_seen_as_well() -> None:
    offset = TrackOffset(0, VIDEO)
    for frame in (0, 1, 1):
        offset.note(frame * 3600)
    assert offset.seconds == Fraction(-1, 25)


def test_a_track_that_begins_late_is_seen() -> None:
    """As with a priming that is not the one that was expected."""
    offset = TrackOffset(-1024, SOUND)
    offset.note(0)
    assert offset.seconds == Fraction(1024, 48_000)


def test_the_largest_is_told_either_way() -> None:
    ledger = Ledger(HandOvers())
    assert ledger.figures()["av_offset_seconds"] is None
    for value in (0.0, 0.02, -0.04, 0.01):
        ledger.published(1, 0, 0.0, value)
    assert ledger.figures()["av_offset_seconds"] == -0.04

"""Which unit is due: exact for any frame rate and any hour."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from encoder.clock import NANOSECONDS, MediaClock

FPS = st.integers(1, 60)
EPOCHS = st.integers(0, 2**62)


@settings(max_examples=200, deadline=None)
@given(FPS, EPOCHS, st.integers(0, 10**9))
def test_a_unit_is_owed_from_the_nanosecond_it_is_due(fps: int, epoch: int, unit: int) -> None:
    clock = MediaClock(fps, epoch, next_unit=unit)
    assert clock.owed(clock.due_ns(unit) - 1) == 0
    assert clock.owed(clock.due_ns(unit)) == 1
    assert clock.lateness_ns(clock.due_ns(unit)) == 0


@settings(max_examples=200, deadline=None)
@given(FPS, EPOCHS, st.integers(0, 3600 * NANOSECONDS))
def test_units_keep_to_real_time_without_drift(fps: int, epoch: int, elapsed: int) -> None:
    clock = MediaClock(fps, epoch)
    owed = clock.owed(epoch + elapsed)
    clock.next_unit = owed
    assert clock.owed(epoch + elapsed) == 0
    assert 0 < clock.due_ns(owed) - (epoch + elapsed) <= -(-NANOSECONDS // fps)


def test_the_first_unit_is_due_at_once() -> None:
    clock = MediaClock(25, epoch_ns=1000)
    assert clock.owed(999) == 0
    assert clock.owed(1000) == 1


def test_feeding_pays_what_is_owed() -> None:
    clock = MediaClock(25, 0)
    now = clock.due_ns(9)
    for left in range(10, 0, -1):
        assert clock.owed(now) == left
        clock.fed()
    assert clock.owed(now) == 0
    assert clock.lateness_ns(now) == -NANOSECONDS // 25


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.integers(0, 10**6), st.lists(st.integers(1, 500), max_size=20))
def test_units_given_up_move_the_epoch_not_the_count(fps: int, unit: int, skips: list[int]) -> None:
    clock = MediaClock(fps, 0, next_unit=unit)
    now = clock.due_ns(unit + sum(skips))
    for units in skips:
        clock.skip(units)
    assert clock.next_unit == unit
    assert clock.skipped == sum(skips)
    assert abs(clock.due_ns(unit) - now) <= len(skips)  # a nanosecond each
    assert clock.owed(now + len(skips)) == 1


def test_a_rewind_owes_the_units_again() -> None:
    clock = MediaClock(25, 0, next_unit=100)
    now = clock.due_ns(100)
    clock.rewind(60)
    assert clock.owed(now) == 41

"""What is given up under pressure, in which order, and when it comes back."""

from __future__ import annotations

import pytest

from inference.governor import Effort, Governor, efforts


def after(governor: Governor, seconds: int, *, late: bool, busy: float = 1.0) -> Governor:
    for _ in range(seconds):
        governor = governor.second(late=late, busy=busy)
    return governor


def test_steps_go_first_then_pictures() -> None:
    line = efforts(15)
    assert line == (
        Effort(15),
        Effort(10),
        Effort(7),
        Effort(5),
        Effort(5, 2),
        Effort(5, 3),
        Effort(5, 5),
    )
    assert efforts(4) == (Effort(4), Effort(4, 2), Effort(4, 3), Effort(4, 5))


def test_three_late_seconds_cost_a_step() -> None:
    start = Governor(efforts(10))
    assert after(start, 2, late=True).effort == Effort(10)
    assert after(start, 3, late=True).effort == Effort(7)
    assert after(start, 6, late=True).effort == Effort(5)
    # not in a row
    mixed = after(after(after(start, 2, late=True), 1, late=False), 2, late=True)
    assert mixed.effort == Effort(10)


def test_what_is_late_though_there_is_room_is_somebody_elses_doing() -> None:
    start = Governor(efforts(10))
    assert after(start, 100, late=True, busy=0.5).effort == Effort(10)
    low = after(start, 3, late=True)
    assert after(low, 100, late=True, busy=0.5).effort == Effort(7), "and no reason to come back"


def test_it_ends_at_the_least_effort() -> None:
    assert after(Governor(efforts(10)), 1000, late=True).effort == Effort(5, 5)


def test_it_comes_back_step_by_step_where_there_is_room() -> None:
    low = after(Governor(efforts(10)), 9, late=True)
    assert low.effort == Effort(5, 2)
    assert after(low, 9, late=False, busy=0.3).effort == Effort(5, 2)
    assert after(low, 10, late=False, busy=0.3).effort == Effort(5)
    assert after(low, 30, late=False, busy=0.3).effort == Effort(10)
    assert after(low, 300, late=False, busy=0.7).effort == Effort(5, 2)  # no room


def test_who_relapses_waits_longer_each_time() -> None:
    governor, waits = after(Governor(efforts(10)), 3, late=True), []
    for _ in range(6):
        waited = 0
        while governor.level:
            governor = governor.second(late=False, busy=0.1)
            waited += 1
        waits.append(waited)
        governor = after(governor, 3, late=True)
    assert waits == [10, 20, 40, 80, 160, 160]


def test_a_machine_that_became_well_is_believed_again() -> None:
    governor = after(Governor(efforts(10)), 3, late=True)
    governor = after(governor, 10, late=False, busy=0.1)
    governor = after(governor, 3, late=True)
    assert governor.room_seconds == 20
    governor = after(governor, 100, late=False, busy=0.1)
    assert governor.level == 0
    assert after(governor, 3, late=True).room_seconds == 10


@pytest.mark.parametrize("late", [True, False])
def test_it_says_nothing_for_a_stream_at_ease(late: bool) -> None:
    governor = Governor(efforts(10))
    for second in range(500):
        governor = governor.second(late=late and second % 3 == 0, busy=0.9)
        assert governor.level == 0


def test_an_encoder_that_is_overloaded_is_relieved_though_the_face_has_room() -> None:
    """Whatever is not drawn and not new is less for the encoder, which gives up sound else."""

    def overloaded(governor: Governor, seconds: int) -> Governor:
        for _ in range(seconds):
            governor = governor.second(late=False, busy=0.1, overloaded=True)
        return governor

    start = Governor(efforts(10))
    assert overloaded(start, 2).effort == Effort(10)
    assert overloaded(start, 3).effort == Effort(7)
    low = overloaded(start, 9)
    assert low.effort == Effort(5, 2)
    assert after(low, 9, late=False, busy=0.1).effort == Effort(5, 2)
    assert after(low, 10, late=False, busy=0.1).effort == Effort(5)
    assert overloaded(start, 1000).effort == Effort(5, 5)
    assert overloaded(after(start, 8, late=False, busy=0.1), 2).calm_seconds == 0

"""When the wall clock is set, PROGRAM-DATE-TIME follows: late, once, and only if it must (14)."""

from __future__ import annotations

from encoder.clock import NANOSECONDS
from encoder.wall import STEADY_NS, WallWatch

HOUR_MS = 3_600_000
STEP_NS = NANOSECONDS // 10


def corrections(errors_ms: list[int]) -> list[tuple[int, int]]:
    """Look ten times a second; (look, correction) of those that were made, which then hold."""
    watch, moved, made = WallWatch(2000), 0, []
    for look, error_ms in enumerate(errors_ms):
        now_ns = NANOSECONDS + look * STEP_NS
        if correction := watch.correction_ms(now_ns, error_ms - moved):
            moved += correction
            made.append((look, correction))
    return made


def test_a_right_clock_and_small_errors_are_left_alone() -> None:
    assert corrections([0] * 1000) == []
    assert corrections([2000] * 1000) == []
    assert corrections([-2000] * 1000) == []


def test_a_jump_is_followed_once_when_it_has_lasted() -> None:
    lasted = STEADY_NS // STEP_NS
    assert corrections([0] * 5 + [HOUR_MS] * 500) == [(5 + lasted, HOUR_MS)]
    assert corrections([-HOUR_MS] * 500) == [(lasted, -HOUR_MS)]


def test_a_jump_that_is_taken_back_is_not_followed() -> None:
    assert corrections([HOUR_MS] * 90 + [0] * 500) == []


def test_of_two_jumps_in_a_moment_the_last_counts() -> None:
    made = corrections([HOUR_MS] * 50 + [2 * HOUR_MS] * 500)
    assert [correction for _, correction in made] == [2 * HOUR_MS]


def test_a_clock_that_creeps_is_followed_when_it_has_gone_too_far() -> None:
    made = corrections([look // 10 for look in range(60_000)])  # 10 ms each 10 s
    assert [correction for _, correction in made] == [2011, 2011]

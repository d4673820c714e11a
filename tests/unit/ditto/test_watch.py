"""Which units repeat a picture, and what a second amounts to; the clock is ours."""

from __future__ import annotations

from typing import Any

import pytest

from inference.ditto.governor import Effort
from inference.ditto.watch import MOST_WAITING, Watch


class Machine:
    """Draws pictures that take a known time, while an encoder shows 25 units a second."""

    def __init__(self, steps: int = 10) -> None:
        self.now = 100.0
        self.watch = Watch(steps, lambda: self.now)
        self.told: list[Effort] = []
        self.figures: list[dict[str, Any]] = []
        self.watch.on_effort = lambda now, _was: self.told.append(now)
        self.watch.on_second = self.figures.append
        self.shown_until = self.now  # media that the encoder has
        self.gaps = 0
        self.index = 0

    def run(self, units: int, picture_seconds: float) -> int:
        """The value is how many pictures were new."""
        new = 0
        for _ in range(units):
            ahead = self.shown_until - self.now
            if ahead < 0:
                self.gaps += 1
                self.shown_until, ahead = self.now, 0.0
            if ahead > 0.04 * (MOST_WAITING + 1):
                self.now = self.shown_until - 0.04 * (MOST_WAITING + 1)
                ahead = 0.04 * (MOST_WAITING + 1)
            waiting = max(0, min(MOST_WAITING, int(ahead / 0.04 - 1e-6)))
            repeats = self.watch.repeats(self.index, waiting)
            with self.watch.working(on_a_picture=not repeats):
                self.now += 0.001 if repeats else picture_seconds
            new += not repeats
            self.watch.unit_is_over()
            self.shown_until += 0.04
            self.index += 1
        return new


def test_a_machine_that_keeps_up_draws_every_picture() -> None:
    machine = Machine()
    machine.run(25, 0.02)
    assert machine.run(500, 0.02) == 500
    assert machine.told == []
    assert machine.figures[-1]["busy_share"] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("seconds", [0.05, 0.07, 0.1])
def test_a_slow_one_repeats_pictures_and_leaves_no_gap(seconds: float) -> None:
    machine = Machine()
    machine.run(50, seconds)
    gaps = machine.gaps
    new = machine.run(500, seconds)
    assert machine.gaps - gaps <= 2
    assert new == pytest.approx(500 * min(1, 0.04 / seconds), rel=0.35)
    assert machine.told[:3] == [Effort(7), Effort(5), Effort(5, 2)]
    assert machine.watch.repeated == 0  # counted by who repeats


def test_a_stream_that_starts_owes_many_units_at_once_and_that_is_no_weakness() -> None:
    machine = Machine()
    for _ in range(300):  # nothing waits, for the encoder takes all there is
        machine.watch.repeats(machine.index, 0)
        machine.now += 0.005
        machine.watch.unit_is_over()
    assert machine.told == []
    assert machine.figures == []


def test_nobody_knows_what_waits() -> None:
    watch = Watch(10)
    assert not any(watch.repeats(index, None) for index in range(100))

"""Which units hold a picture, and what a second amounts to; the clock is ours."""

from __future__ import annotations

from typing import Any

import pytest

from encoder.intake import queue_units
from inference.governor import Effort
from inference.watch import Watch
from tests.machine import Machine

ROOMS = [queue_units(latency) for latency in ("ultra", "low", "normal")]


class Artist:
    """Draws pictures that take a known time, for an encoder that shows 25 units a second."""

    def __init__(self, room: int = 2, steps: int = 10) -> None:
        self.machine = Machine(room)
        self.watch = Watch(25, steps, self.machine.clock)
        self.told: list[Effort] = []
        self.figures: list[dict[str, Any]] = []
        self.watch.on_effort = lambda now, _was: self.told.append(now)
        self.watch.on_second = self.figures.append
        self.index = 0

    def run(self, units: int, picture_seconds: float) -> int:
        """The value is how many pictures were new."""
        new = 0
        for _ in range(units):
            waiting = self.machine.wait()
            repeats = self.watch.repeats(self.index, waiting, self.machine.room)
            with self.watch.working(on_a_picture=not repeats):
                self.machine.work(0.001 if repeats else picture_seconds)
            new += not repeats
            self.watch.unit_is_over()
            self.machine.sent()
            self.index += 1
        return new


def test_the_profiles_have_room_for_one_to_three() -> None:
    assert ROOMS == [1, 2, 3]


@pytest.mark.parametrize("room", ROOMS)
def test_a_machine_that_keeps_up_draws_every_picture(room: int) -> None:
    artist = Artist(room)
    artist.run(25, 0.02)
    assert artist.run(500, 0.02) == 500
    assert artist.told == []
    assert artist.figures[-1]["busy_share"] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("seconds", [0.05, 0.07, 0.1])
def test_a_slow_one_repeats_pictures_and_leaves_no_gap(seconds: float, room: int) -> None:
    artist = Artist(room)
    new = artist.run(50, seconds)
    gaps = artist.machine.gaps
    later = artist.run(500, seconds)
    assert artist.machine.gaps - gaps <= 2
    assert later == pytest.approx(500 * min(1, 0.04 / seconds), rel=0.35)
    assert artist.told[:3] == [Effort(7), Effort(5), Effort(5, 2)]
    assert artist.watch.repeated == 550 - new - later


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("hiccups", [1, 10])
def test_a_hiccup_is_not_held_against_a_machine(hiccups: int, room: int) -> None:
    """One picture that takes longer than all that waits, or ten: the next ones are new again."""
    artist = Artist(room)
    artist.run(50, 0.01)
    artist.run(hiccups, 0.6)
    assert artist.run(25, 0.01) >= 10
    assert artist.run(1000, 0.01) == 1000
    assert artist.told == []


def test_what_was_slow_is_forgotten_while_nothing_is_drawn() -> None:
    artist = Artist(room=3)
    artist.run(10, 0.6)  # so long as no room could make up for
    assert artist.watch.repeats(0, 2, 3)
    for _ in range(60):
        with artist.watch.working(on_a_picture=False):
            artist.machine.work(0.001)
    assert not artist.watch.repeats(0, 2, 3)


@pytest.mark.parametrize("room", ROOMS)
def test_what_was_given_up_comes_back_when_the_machine_is_well_again(room: int) -> None:
    artist = Artist(room)
    artist.run(350, 0.07)
    assert artist.watch.effort.units_per_picture > 1
    artist.run(3000, 0.01)
    assert artist.told[-1] == Effort(10)
    assert artist.run(500, 0.01) == 500
    assert artist.machine.gaps <= 2


def test_a_face_without_steps_gives_up_pictures_alone() -> None:
    artist = Artist(steps=0)
    artist.run(1500, 0.15)
    assert artist.told[:3] == [Effort(0, 2), Effort(0, 3), Effort(0, 5)]
    assert "sampling_timesteps" not in artist.figures[-1]
    assert artist.told[0].told(25) == {"pictures_per_second": 12.5}


def test_a_stream_that_starts_owes_many_units_at_once_and_that_is_no_weakness() -> None:
    artist = Artist()
    for _ in range(300):  # nothing waits, for the encoder takes all there is
        artist.watch.repeats(artist.index, 0, 2)
        artist.machine.work(0.005)
        artist.watch.unit_is_over()
    assert artist.told == []
    assert artist.figures == []


def test_nobody_knows_what_waits() -> None:
    watch = Watch(25, 10)
    assert not any(watch.repeats(index, None, 0) for index in range(100))


def test_an_encoder_that_is_overloaded_counts_as_lateness_and_is_asked_once_a_second() -> None:
    artist, answers = Artist(), [False, True, True, True, False]
    asked = iter(answers)
    artist.watch.ask_overloaded = lambda: next(asked)
    # What it owes at its start is no second.
    while not artist.figures:
        artist.run(1, 0.001)
    artist.run(75, 0.001)
    assert artist.told == [Effort(7)]
    assert artist.watch.overloaded
    assert artist.run(25, 0.001) == 25
    assert not artist.watch.overloaded
    assert list(asked) == []

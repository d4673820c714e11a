"""Watches how a live face keeps up: tells which units repeat a picture, and what effort is worth.

The governor decides; here are the clock and the counting.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from inference.ditto.governor import Effort, Governor, efforts
from inference.ditto.layout import FPS

# A second of media that took less was not lived through: a stream that starts owes many units.
SHORTEST_SECOND = 0.7
# Units that wait at an encoder, at the most: encoder/intake.py has no more room.
MOST_WAITING = 3
# Of what a picture usually takes, the share that the newest one decides.
NEWEST_SHARE = 0.2


class Watch:
    """Of one stream.

    Args:
        steps: of the diffusion, at its best.
        now: seconds, rising.
    """

    def __init__(self, steps: int, now: Callable[[], float] = time.monotonic) -> None:
        self.governor = Governor(efforts(steps))
        self.on_effort: Callable[[Effort, Effort], None] = lambda _now, _was: None
        self.on_second: Callable[[dict[str, Any]], None] = lambda _figures: None
        self.units = self.repeated = 0  # pictures that were shown, and of them again
        self._now = now
        self._since = now()
        self._units = self._late = 0
        self._busy = 0.0
        self._usual = 0.0  # seconds for a picture

    @property
    def effort(self) -> Effort:
        """What a unit is worth now."""
        return self.governor.effort

    def repeats(self, index: int, waiting: int | None) -> bool:
        """Whether a unit shows the picture before it again.

        Args:
            index: of the unit.
            waiting: units that the encoder has and has not begun; None: nobody knows.
        """
        late = waiting is not None and waiting < self._units_of_a_picture
        self._late += late
        return late or index % self.effort.units_per_picture != 0

    @property
    def _units_of_a_picture(self) -> int:
        """So many are shown while one is made: fewer must not wait, or there is a gap."""
        return min(MOST_WAITING, max(1, int(self._usual * FPS)))

    @contextmanager
    def working(self, *, on_a_picture: bool) -> Iterator[None]:
        """Around what is done for a unit."""
        began = self._now()
        try:
            yield
        finally:
            taken = self._now() - began
            self._busy += taken
            if on_a_picture:
                self._usual += NEWEST_SHARE * (taken - self._usual)

    def unit_is_over(self) -> None:
        """Count it; each 25 are a second."""
        self._units += 1
        self.units += 1
        if self._units < FPS:
            return
        now = self._now()
        if now - self._since >= SHORTEST_SECOND:
            self._second(self._busy / (now - self._since))
        self._since, self._units, self._late, self._busy = now, 0, 0, 0.0

    def _second(self, busy: float) -> None:
        was = self.effort
        self.governor = self.governor.second(late=self._late > 0, busy=busy)
        if self.effort != was:
            self.on_effort(self.effort, was)
        self.on_second(
            {
                "sampling_timesteps": self.effort.steps,
                "units_per_picture": self.effort.units_per_picture,
                "busy_share": round(busy, 3),
                "pictures": self.units - self.repeated,
                "pictures_repeated": self.repeated,
            }
        )

"""Watches how a live face keeps up: tells which units hold a picture, and what effort is worth.

The governor decides; here are the clock and the counting.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from inference.governor import Effort, Governor, efforts

# A second of media that took less was not lived through: a stream that starts owes many units.
SHORTEST_SECOND = 0.7
# Of what a picture usually takes, the share that the newest one decides ...
NEWEST_SHARE = 0.2
# ... and the share that is forgotten with each unit that has no new one: it may be over.
FORGOTTEN_SHARE = 0.05


class Watch:
    """Of one stream.

    Args:
        fps: units a second.
        steps: of the diffusion, at its best; 0: the face has none.
        now: seconds, rising.
    """

    def __init__(self, fps: int, steps: int = 0, now: Callable[[], float] = time.monotonic) -> None:
        self.governor = Governor(efforts(steps))
        self.on_effort: Callable[[Effort, Effort], None] = lambda _now, _was: None
        self.on_second: Callable[[dict[str, Any]], None] = lambda _figures: None
        # Asked once a second: whether the encoder gives up units.
        self.ask_overloaded: Callable[[], bool] = lambda: False
        self.overloaded = False  # as it was answered last
        self.units = self.repeated = 0  # pictures that were shown, and of them again
        self.now = now
        self._fps = fps
        self._since = now()
        self._units = self._late = 0
        self._busy = 0.0
        self._usual = 0.0  # seconds for a picture

    @property
    def effort(self) -> Effort:
        """What a unit is worth now."""
        return self.governor.effort

    def repeats(self, index: int, waiting: int | None, room: int) -> bool:
        """Whether a unit shows the picture before it again.

        Args:
            index: of the unit.
            waiting: units that the encoder has and has not begun; None: nobody knows.
            room: units that can wait there.
        """
        late = waiting is not None and waiting < min(room, self._units_of_a_picture)
        self._late += late
        return late or index % self.effort.units_per_picture != 0

    @property
    def _units_of_a_picture(self) -> int:
        """So many are shown while one is made: where fewer wait, there is a gap."""
        return max(1, int(self._usual * self._fps))

    @contextmanager
    def working(self, *, on_a_picture: bool) -> Iterator[None]:
        """Around what is done for a unit."""
        began = self.now()
        try:
            yield
        finally:
            taken = self.now() - began
            self._busy += taken
            if on_a_picture:
                self._usual += NEWEST_SHARE * (taken - self._usual)
            else:
                self._usual -= FORGOTTEN_SHARE * self._usual
                self.repeated += 1

    def unit_is_over(self) -> None:
        """Count it, and look back at each second of them."""
        self._units += 1
        self.units += 1
        if self._units < self._fps:
            return
        now = self.now()
        if now - self._since >= SHORTEST_SECOND:
            self._second(self._busy / (now - self._since))
        self._since, self._units, self._late, self._busy = now, 0, 0, 0.0

    def _second(self, busy: float) -> None:
        was = self.effort
        self.overloaded = self.ask_overloaded()
        late = self._late > 0
        self.governor = self.governor.second(late=late, busy=busy, overloaded=self.overloaded)
        if self.effort != was:
            self.on_effort(self.effort, was)
        steps = {"sampling_timesteps": self.effort.steps} if self.effort.steps else {}
        self.on_second(
            {
                **steps,
                "units_per_picture": self.effort.units_per_picture,
                "busy_share": round(busy, 3),
                "pictures": self.units - self.repeated,
                "pictures_repeated": self.repeated,
            }
        )

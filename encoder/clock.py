"""The media clock: which unit of the timeline is due. Pure arithmetic on nanoseconds.

Unit ``k`` is due ``k / fps`` after the epoch. Time never stops: a unit that the source does not
deliver is filled with the last picture and silence. Only an encoder that cannot keep up makes the
timeline give units up (:meth:`MediaClock.skip`), which moves the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

NANOSECONDS = 1_000_000_000


@dataclass(slots=True)
class MediaClock:
    """Counts units of ``1/fps`` second. ``next_unit`` is the next one to feed."""

    fps: int
    epoch_ns: int
    next_unit: int = 0
    skipped: int = 0

    def due_ns(self, unit: int) -> int:
        """The instant at which a unit is due."""
        return self.epoch_ns - (-unit * NANOSECONDS // self.fps)  # rounded up: never early

    def owed(self, now_ns: int) -> int:
        """How many units are due and not yet fed; 0 or more."""
        due = (now_ns - self.epoch_ns) * self.fps // NANOSECONDS + 1
        return max(0, due - self.next_unit)

    def lateness_ns(self, now_ns: int) -> int:
        """How long the next unit has been due; negative while it is not."""
        return now_ns - self.due_ns(self.next_unit)

    def fed(self) -> None:
        """The next unit was handed to the encoder."""
        self.next_unit += 1

    def skip(self, units: int) -> None:
        """Give up units that could not be encoded: the epoch moves, the count does not."""
        self.epoch_ns += units * NANOSECONDS // self.fps
        self.skipped += units

    def rewind(self, unit: int) -> None:
        """Feed again from an earlier unit: what a dead encoder had taken and not returned."""
        self.next_unit = unit

"""A machine whose work takes as long as a test says, and an encoder that shows what it makes."""

from __future__ import annotations

from dataclasses import dataclass

UNIT_SECONDS = 0.04
# As encoder/feeder.py: so late a unit may come before the last picture and silence replace it.
GRACE_SECONDS = 1.5 * UNIT_SECONDS


@dataclass
class Machine:
    """Its clock moves only by work, and by waiting for the encoder.

    Args:
        room: units that may wait at the encoder, as ``rawmedia.Producer.room`` has it.
    """

    room: int
    now: float = 100.0
    gaps: int = 0  # units of silence, because nothing came in time
    _shown_until: float = 100.0  # of the media that the encoder has

    def clock(self) -> float:
        """Seconds, rising."""
        return self.now

    def work(self, seconds: float) -> None:
        """Something takes so long."""
        self.now += seconds

    def wait(self) -> int:
        """Until the encoder takes another unit; how many wait there then."""
        self.now = max(self.now, self._shown_until - (self.room + 1) * UNIT_SECONDS)
        ahead = self._shown_until - self.now
        return max(0, min(self.room, int(ahead / UNIT_SECONDS - 1e-6)))

    def sent(self) -> None:
        """A unit is there; where it comes too late others were shown in its place."""
        while self.now - self._shown_until > GRACE_SECONDS:
            self.gaps += 1
            self._shown_until += UNIT_SECONDS
        self._shown_until += UNIT_SECONDS

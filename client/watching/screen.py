"""When pictures are shown: a player's clock, and what a viewer sees of it.

Nothing is drawn. A picture that is decoded in time is shown when it is due, one that comes late
when it comes, and then the clock waits for it, as a player's does when its buffer runs dry.
"""

from __future__ import annotations

import queue
import time
from array import array
from dataclasses import dataclass, field

# A picture that is later than this is a stall; below it the next ones are in time again.
STALL_SECONDS = 0.1
# Half a minute at 25 fps, as hls.js buffers of what is not live.
MOST_PICTURES = 750


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture.

    ``stretch`` numbers the stretches of media with one time line, ``seconds`` is its time in it.
    ``missing_seconds`` lie between that stretch and the one before. ``wall`` is when the picture
    was live, in seconds since 1970; None where the playlist does not tell. ``at`` is the monotonic
    time at which it was decoded.
    """

    stretch: int
    seconds: float
    duration_seconds: float
    at: float
    wall: float | None = None
    missing_seconds: float = 0.0


@dataclass(slots=True)
class Clock:
    """Says when a picture is due, in monotonic time."""

    _stretch: int = -1
    _zero: float = 0.0  # when second 0 of the stretch is due
    _free_at: float = 0.0  # when the last picture has been shown long enough
    stalls: int = 0
    stalled_seconds: float = 0.0

    def due(self, picture: Picture) -> float:
        """When to show it; counts a stall if it comes too late."""
        if self._stretch < 0:
            self._zero = picture.at - picture.seconds
        elif picture.stretch != self._stretch:
            self._zero = self._free_at + picture.missing_seconds - picture.seconds
        self._stretch = picture.stretch
        due = self._zero + picture.seconds
        late = picture.at - due
        if late > STALL_SECONDS:
            self.stalls += 1
            self.stalled_seconds += late
            self._zero += late
            due += late
        self._free_at = due + picture.duration_seconds
        return due

    def end(self, now: float) -> None:
        """Count the stall that lasts until the end, if there is one."""
        late = now - self._free_at
        if self._stretch >= 0 and late > STALL_SECONDS:
            self.stalls += 1
            self.stalled_seconds += late


@dataclass(slots=True)
class Seen:
    """What was shown. Times are monotonic."""

    first_at: float | None = None
    last_at: float = 0.0
    shown: int = 0
    intervals: array[float] = field(default_factory=lambda: array("d"))
    latencies: array[float] = field(default_factory=lambda: array("d"))

    def add(self, at: float, latency_seconds: float | None) -> None:
        """One picture was shown."""
        if self.first_at is None:
            self.first_at = at
        else:
            self.intervals.append(at - self.last_at)
        self.last_at = at
        self.shown += 1
        if latency_seconds is not None:
            self.latencies.append(latency_seconds)


class Screen:
    """Shows pictures in time; decoders put them, one loop shows them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.seen = Seen()
        self.is_over = False  # all that will ever come was shown
        self._pictures: queue.SimpleQueue[Picture | None] = queue.SimpleQueue()
        self._next: tuple[Picture, float] | None = None  # and when it is due

    def put(self, picture: Picture) -> None:
        """One more, in the order of showing."""
        self._pictures.put(picture)

    @property
    def is_full(self) -> bool:
        """Whether players would fetch no more for now."""
        return self._pictures.qsize() > MOST_PICTURES

    def finish(self) -> None:
        """No more will come."""
        self._pictures.put(None)

    def show(self, until: float) -> None:
        """Show what is due before an instant; returns then, or when all is over."""
        while not self.is_over and (left := until - time.monotonic()) > 0:
            if self._next is None:
                self._take(left)
                continue
            picture, due = self._next
            if due >= until:
                time.sleep(left)
                return
            time.sleep(max(0.0, due - time.monotonic()))
            latency = None if picture.wall is None else time.time() - picture.wall
            self.seen.add(time.monotonic(), latency)
            self._next = None

    def _take(self, seconds: float) -> None:
        try:
            picture = self._pictures.get(timeout=seconds)
        except queue.Empty:
            return
        if picture is None:
            self.is_over = True
        else:
            self._next = picture, self.clock.due(picture)

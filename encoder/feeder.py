"""Decides, unit by unit, what ffmpeg is fed: the source's next unit, or the last picture again.

The clock says which unit is due, the intake what the source has sent. Rules of the house:

- time never stops: a unit that does not come in time is the last picture and silence;
- a start, or an encoder's restart, owes many units at once: they are fed as fast as ffmpeg takes
  them, so the stream begins with a whole segment and a replaced encoder catches up;
- an encoder slower than real time costs whole units at the input, never a growing delay: for
  each unit that the timeline gives up the source loses one, so it stays in step with the clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from encoder.clock import NANOSECONDS, MediaClock
from encoder.intake import QUEUE_UNITS, Intake, Unit
from encoder.ledger import HandOvers
from encoder.pipes import PipeWriter
from rawmedia import Frame, MediaFormat

# Behind by more than this, the encoder has to catch up ...
SLACK_UNITS = QUEUE_UNITS + 5
# ... and if it does not come nearer for so long while it takes frames, it is overloaded ...
PATIENCE_NS = 2 * NANOSECONDS
# ... until it has kept up for this long.
OVERLOAD_MEMORY_NS = 5 * NANOSECONDS
# Sound kept for an encoder that has to be replaced.
HISTORY_SECONDS = 4
_SHORTEST_NAP_NS = 5_000_000


class SoundHistory:
    """The last seconds of PCM by sample number, so that a new encoder can be fed them again."""

    def __init__(self, media: MediaFormat) -> None:
        self._sample_bytes = 2 * media.audio_channels
        self._limit_bytes = HISTORY_SECONDS * media.audio_rate_hz * self._sample_bytes
        self._start = 0
        self._data = bytearray()

    @property
    def start(self) -> int:
        """Number of the oldest sample kept."""
        return self._start

    @property
    def end(self) -> int:
        """Number of the next sample to come."""
        return self._start + len(self._data) // self._sample_bytes

    def append(self, samples: bytes | memoryview) -> None:
        """Add interleaved s16 samples."""
        self._data += samples
        surplus = len(self._data) - 2 * self._limit_bytes
        if surplus > 0:  # cut rarely: half of what is held at a time
            del self._data[: self._limit_bytes]
            self._start += self._limit_bytes // self._sample_bytes

    def between(self, first: int, end: int) -> bytes:
        """The samples ``first`` to ``end`` (not included)."""
        low, high = ((n - self._start) * self._sample_bytes for n in (first, end))
        return bytes(self._data[max(0, low) : max(0, high)])


@dataclass(slots=True)
class Counters:
    """What an operator wants to know of the feeding."""

    fed: int = 0
    repeated: int = 0  # units filled with the last picture and silence
    overloads: int = 0  # times the encoder fell behind


@dataclass(slots=True)
class Feeder:
    """Feeds one encoder run after the other. ``pump`` is called whenever something changed."""

    media: MediaFormat
    clock: MediaClock
    intake: Intake
    picture: Frame  # shown until the source sends one
    counters: Counters = field(default_factory=Counters)
    handed: HandOvers = field(default_factory=HandOvers)
    _video: PipeWriter | None = None
    _audio: PipeWriter | None = None
    _history: SoundHistory = field(init=False)
    _next_sample: int = 0
    _held: Unit | None = None
    # Units that were fed before, and the place in the video pipe up to which it refers to them.
    _lent: deque[tuple[int, Unit]] = field(default_factory=deque)
    _nearest: int | None = None  # fewest units owed since it fell behind; None: it is not
    _nearest_ns: int = 0  # when that was
    _overloaded_until_ns: int = 0
    _to_drop: int = 0  # units that the source shall lose for those the timeline gave up
    _silence: bytes = field(init=False)
    _unit_samples: int = field(init=False)

    def __post_init__(self) -> None:
        self._history = SoundHistory(self.media)
        self._silence = bytes(self.media.samples_bytes)
        self._unit_samples = self.media.samples_per_unit

    def begin_run(self, video: PipeWriter, audio: PipeWriter, unit: int, sample: int) -> None:
        """Feed a new encoder from ``unit`` on, and sound from ``sample`` on.

        Args:
            video: its picture pipe.
            audio: its sound pipe.
            unit: first frame it shall encode; it may have been fed to an earlier one.
            sample: first sample it shall encode, at most 4 s ago.
        """
        self._give_back_lent()  # the pipe of the run before is gone
        self._video, self._audio = video, audio
        self._next_sample = sample
        self._nearest = None
        self.clock.rewind(unit)

    def end_run(self) -> None:
        """No encoder for now; units wait. It may still read what it was fed."""
        self._video = self._audio = None

    def close(self) -> None:
        """The last encoder has ended: the source gets back all that is its own."""
        self._give_back_lent()
        if self._held is not None:
            self.intake.release(self._held)
            self._held = None

    def give_back(self) -> None:
        """Let the source draw into what the encoder has read."""
        if self._lent and self._video is not None:
            taken = self._video.taken_bytes
            while self._lent and self._lent[0][0] <= taken:
                self.intake.release(self._lent.popleft()[1])

    def _give_back_lent(self) -> None:
        while self._lent:
            self.intake.release(self._lent.popleft()[1])

    @property
    def overloaded(self) -> bool:
        """Whether units are given up because the encoder is slower than real time."""
        return self._overloaded_until_ns > 0

    def pump(self, now_ns: int) -> None:
        """Feed what is due and possible at ``now_ns`` (monotonic)."""
        self.give_back()
        if self._can_write():  # a stuck encoder is no slow one: units wait for its successor
            self._watch_load(now_ns)
        while self._can_write() and self.clock.owed(now_ns):
            unit = self.clock.next_unit
            if not self._feed_one(now_ns):
                return
            self.handed.note(unit, now_ns)

    def next_wake_ns(self, now_ns: int) -> int:
        """When to pump again if nothing else happens: the next unit is due, or overdue.

        Where there is none to feed yet, its arrival calls for a pump: nothing is won by looking
        for it when it is due.
        """
        due = self.clock.due_ns(self.clock.next_unit)
        if now_ns < due and (self.intake.waiting or self._is_replay):
            return due
        return max(now_ns + _SHORTEST_NAP_NS, due + self._grace_ns + 1)

    @property
    def _is_replay(self) -> bool:
        """Whether the next unit was fed to an earlier encoder."""
        return (self.clock.next_unit + 1) * self._unit_samples <= self._history.end

    @property
    def _grace_ns(self) -> int:
        """A unit may come one frame and a half late before the last picture replaces it.

        Less would make gaps in the sound of every short stall of a busy machine; the part it
        belongs to is published later by no more than this.
        """
        return 3 * NANOSECONDS // self.media.fps // 2

    def _can_write(self) -> bool:
        if self._video is None or self._audio is None:
            return False
        one_second = len(self._silence) * self.media.fps
        return self._video.idle and self._audio.pending_bytes < one_second

    def _watch_load(self, now_ns: int) -> None:
        if self.overloaded:
            self._give_up_what_is_late(now_ns)
            return
        owed = self.clock.owed(now_ns)
        if owed <= SLACK_UNITS:
            self._nearest = None
        elif self._nearest is None or owed < self._nearest:
            self._nearest, self._nearest_ns = owed, now_ns
        elif now_ns - self._nearest_ns > PATIENCE_NS:
            self.counters.overloads += 1
            self._overloaded_until_ns = now_ns + OVERLOAD_MEMORY_NS
            self._give_up_what_is_late(now_ns)

    def _give_up_what_is_late(self, now_ns: int) -> None:
        """More is owed than can wait at the input: only a slow encoder gets there, for what a slow
        source owes is filled before.
        """
        owed = self.clock.owed(now_ns)
        if owed > QUEUE_UNITS:
            given_up = owed - 1
            self.clock.skip(given_up)
            self._to_drop += given_up
            self._overloaded_until_ns = now_ns + OVERLOAD_MEMORY_NS
        elif now_ns > self._overloaded_until_ns:
            self._overloaded_until_ns, self._nearest, self._to_drop = 0, None, 0
        # Only what waits beyond what is owed: the place of any other unit would be a silence.
        while self._to_drop and self.intake.waiting > max(1, self.clock.owed(now_ns)):
            self.intake.drop_oldest()
            self._to_drop -= 1

    def _feed_one(self, now_ns: int) -> bool:
        """Feed the next unit; False: wait for the source a little longer."""
        replay = self._is_replay
        missing = self.clock.owed(now_ns) - self.intake.waiting
        # The gap is filled before what waits is fed: a live source never makes up for it, and
        # what comes last stays what is newest.
        if replay or (missing > 0 and self.clock.lateness_ns(now_ns) > self._grace_ns):
            self._write(self._held, None if replay else self._silence)
            self.counters.repeated += 1
            return True
        unit = self.intake.take()
        if unit is None:
            return False
        if self._held is not None:
            assert self._video is not None
            self._lent.append((self._video.queued_bytes, self._held))
            self.give_back()  # mostly it was read long ago
        self._held = unit
        self.intake.fed(unit, self.clock.next_unit)
        self._write(unit, unit.samples.tobytes())
        return True

    def _write(self, unit: Unit | None, samples: bytes | None) -> None:
        assert self._video is not None
        assert self._audio is not None
        if samples is not None:
            self._history.append(samples)
        end = (self.clock.next_unit + 1) * self._unit_samples
        self._audio.write(self._history.between(self._next_sample, end))
        self._next_sample = max(self._next_sample, end)
        if unit is None:
            self._video.write(self.picture.data)
        else:
            self._video.write(unit.frame.data, unit.extent)
        self.clock.fed()
        self.counters.fed += 1


def slate(media: MediaFormat) -> Frame:
    """What a stream shows before its source's first picture: a calm dark gradient."""
    rows = np.linspace(1.0, 0.55, media.height)[:, None, None]
    colour = np.array([72.0, 52.0, 44.0])  # BGR
    picture = np.broadcast_to(rows * colour, (media.height, media.width, 3))
    return np.ascontiguousarray(picture.astype(np.uint8))

"""Somebody who speaks live: a line whose end nobody knows, said while it is heard.

To the face it is a line like any other. Units are made when they are first asked for and kept for a
while, so that the face can go back and draw them anew.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from inference.errors import InferenceError
from inference.line import EMPHASIS_SECONDS, ease_units, eased
from inference.live_mouth import AHEAD_SECONDS, LiveMouth
from inference.live_sound import Account, Converter, LiveSound
from inference.mouth import REST_SHAPE, MouthShape
from rawmedia import MediaFormat, Samples

RATE_LIMITS_HZ = (8_000, 48_000)
# Two of what the encoder process can give back, and some.
KEPT_UNITS = 64
# A sender may be so far ahead of the clock; what a network held back comes at once as well.
MOST_AHEAD_SECONDS, LONGEST_STALL_SECONDS = 1.0, 10.0
# No two clocks agree: sound cards are off by up to a thousandth.
TOLERANCE = 1.005
# Of a line that has not ended yet.
_ENDLESS = 1 << 60


class TooFast(InferenceError):
    """Sound comes faster than it can be heard."""

    def __init__(self, ahead_seconds: float) -> None:
        super().__init__(
            f"the sound is {ahead_seconds:.1f} s ahead of the clock, {MOST_AHEAD_SECONDS:g} s is "
            "the most: send as you record, or post it"
        )


@dataclass(frozen=True, slots=True)
class _Unit:
    samples: Samples
    shape: MouthShape
    emphasis: float


class LiveLine:
    """What one speaker says.

    Args:
        number: of the utterance.
        rate_hz: of the sound that comes.
        media: of the stream.
        depth_seconds: of its jitter buffer.
        now: seconds, rising.
    """

    lead = 0  # units before the first sound: nobody knows when that will be

    def __init__(
        self,
        number: int,
        rate_hz: int,
        media: MediaFormat,
        depth_seconds: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.number = number
        self.ease = ease_units(media.fps)
        self.units = _ENDLESS
        self.has_begun = False
        self.was_interrupted = False
        self.on_interrupt: Callable[[], None] = lambda: None
        self._rate_hz, self._media, self._now = rate_hz, media, now
        self._converter = Converter(rate_hz, media)
        self._sound = LiveSound(media, depth_seconds)
        self._is_open = True
        self._ahead, self._looked = 0.0, now()
        self._mouth = LiveMouth(media)
        self._made: dict[int, _Unit] = {}
        self._openings: deque[float] = deque(maxlen=max(1, round(EMPHASIS_SECONDS * media.fps)))

    # --- from who listens to the speaker ---------------------------------------------------------

    def hear(self, data: bytes) -> None:
        """Take the next s16le samples.

        Raises:
            TooFast: nobody could have spoken them since the ones before.
        """
        now = self._now()
        ahead = self._ahead - (now - self._looked) * TOLERANCE
        self._looked = now
        self._ahead = max(ahead, -LONGEST_STALL_SECONDS) + len(data) / 2 / self._rate_hz
        if self._ahead > MOST_AHEAD_SECONDS:
            raise TooFast(self._ahead)
        self._sound.add(self._converter.convert(data))

    def finish(self) -> None:
        """The speaker is gone; what he said last is still heard."""
        self._is_open = False
        self._sound.finish()

    def interrupt(self) -> None:
        """Nothing more of it is wanted."""
        self.was_interrupted = True
        self.finish()
        self.on_interrupt()

    @property
    def account(self) -> Account:
        """What became of the sound so far."""
        return self._sound.account

    # --- from the floor --------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether the speaker is there."""
        return self._is_open

    @property
    def is_ready(self) -> bool:
        """Whether it can begin."""
        return self._sound.is_ready

    # --- from the face ---------------------------------------------------------------------------

    def left(self, _place: int) -> int:
        """Units to come that are known of: none."""
        return 0

    def samples(self, place: int) -> Samples | int:
        """What is heard at a place."""
        unit = self._unit(place)
        return 0 if unit is None else unit.samples

    def known(self, place: int) -> Samples | None:
        """What was heard at a place, or has come to be heard there; nothing is taken."""
        if place in self._made:
            return self._made[place].samples
        size = self._media.samples_per_unit
        first = (place - max(self._made, default=-1) - 1) * size
        if first < 0:
            return None
        waiting = self._sound.ahead(first + size)
        return waiting[first:] if len(waiting) == first + size else None

    def shape(self, place: int) -> MouthShape:
        """The mouth at a place; it comes from rest and goes back to it."""
        unit = self._unit(place)
        if unit is not None:
            # Twice the usual way: nobody knew before that he would begin.
            return eased(unit.shape, (place + 1) / (2 * self.ease))
        last = self._made.get(self.units - 1)
        if place < 0 or last is None:
            return REST_SHAPE
        return eased(last.shape, 1 - (place - self.units + 1) / (self.ease + 1))

    def emphasised(self, place: int) -> float:
        """0 to 1: slow loudness."""
        unit = self._unit(place)
        return 0.0 if unit is None else unit.emphasis

    def _unit(self, place: int) -> _Unit | None:
        """None before its beginning and after its end."""
        if place in self._made:
            return self._made[place]
        if self._sound.is_over:
            self.units = min(self.units, place)
        if not 0 <= place < self.units:
            return None
        unit = self._made[place] = self._next_unit()
        self._made.pop(place - KEPT_UNITS, None)
        return unit

    def _next_unit(self) -> _Unit:
        media = self._media
        samples = self._sound.take(media.samples_per_unit)
        ahead = self._sound.ahead(round(AHEAD_SECONDS * media.audio_rate_hz))
        shape = self._mouth.shape(samples, ahead)
        self._openings.append(shape.open)
        emphasis = min(1.3 * float(np.mean(self._openings)), 1.0)
        return _Unit(samples, shape, emphasis)

"""Bit rates: what segments really weighed, and what may be announced before they are there (48).

BANDWIDTH is a promise about media to come: players read the multivariant playlist once. So it is
a bound that follows from the rate control, with the weight of the boxes as measured; it is raised
when the media exceeds it all the same, and never lowered while the stream is live, since what is
still now may be hard to encode in a minute. Behind ENDLIST there is nothing to come, and it is
what was measured.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from encoder.boxes import Sample, write_fragment
from encoder.candidate import RateControl
from encoder.sound import SoundCodec
from encoder.timing import Timing, TrackTiming

# Rule 48 lets media weigh 125 % and 110 % of what was told. Up to here a promise counts as kept;
# beyond, it is raised well above what was measured: players do not read it twice.
KEPT, RAISE = Fraction(105, 100), Fraction(110, 100)
# A run is 1.5 target durations long; segments that short come only at the end of an encoder run.
_LONGEST_RUN = 16
# Fewer segments than Apple wants in a playlist tell no average: one key frame weighs too much.
_AVERAGE_SEGMENTS = 6
_IFRAME_BOXES_BYTES = len(write_fragment(1, [Sample(0, True, b"")], 1))


@dataclass(frozen=True, slots=True)
class Rates:
    """Bits a second: of the heaviest run of segments that counts as one, and of all."""

    peak: int
    average: int

    def __add__(self, other: Rates) -> Rates:
        return Rates(self.peak + other.peak, self.average + other.average)

    def raised_to(self, measured: Rates) -> Rates:
        """This promise, or a new one where the media weighs more."""
        return Rates(_raised(self.peak, measured.peak), _raised(self.average, measured.average))


NO_RATES = Rates(0, 0)


def _raised(promised: int, measured: int) -> int:
    return promised if measured <= promised * KEPT else math.ceil(measured * RAISE)


@dataclass(frozen=True, slots=True)
class Weight:
    """One segment."""

    bits: int
    seconds: Fraction


class RateMeter:
    """Weighs the segments of a rendition; a long window costs no more than a short one.

    A peak is that of any run of segments of 0.5 to 1.5 target durations (§1). A stream shorter than
    that is its own peak.

    Args:
        target_duration: of the playlist, seconds.
        window_segments: complete segments in it.
    """

    def __init__(self, target_duration: int, window_segments: int) -> None:
        self._target_duration = target_duration
        self._longest = window_segments
        self._weights: deque[tuple[Weight, int]] = deque()  # and the peak of the runs that end so
        self._bits, self._seconds = 0, Fraction()
        self._last: deque[Weight] = deque(maxlen=_LONGEST_RUN)
        self._window = self._worst = NO_RATES

    def add(self, weight: Weight) -> None:
        """Take the next segment."""
        self._last.append(weight)
        self._weights.append((weight, max(_runs(self._last, self._target_duration), default=0)))
        self._bits, self._seconds = self._bits + weight.bits, self._seconds + weight.seconds
        if len(self._weights) > self._longest:
            old, _ = self._weights.popleft()
            self._bits, self._seconds = self._bits - old.bits, self._seconds - old.seconds
        average = math.ceil(self._bits / self._seconds)
        self._window = Rates(max(peak for _, peak in self._weights) or average, average)
        if len(self._weights) < _AVERAGE_SEGMENTS:
            average = 0
        self._worst = Rates(
            max(self._worst.peak, self._window.peak), max(self._worst.average, average)
        )

    @property
    def window(self) -> Rates:
        """Of the segments that are listed now."""
        return self._window

    @property
    def worst(self) -> Rates:
        """The highest that the window ever had; an average only of six segments or more."""
        return self._worst


def _runs(weights: Sequence[Weight], target_duration: int) -> Iterator[int]:
    """Rates of the runs that end with the last segment."""
    bits, seconds = 0, Fraction()
    for weight in reversed(weights):
        bits, seconds = bits + weight.bits, seconds + weight.seconds
        if seconds * 2 > 3 * target_duration:
            return
        if seconds * 2 >= target_duration:
            yield math.ceil(bits / seconds)


def boxes_rate(track: TrackTiming, *, is_video: bool) -> int:
    """Bits a second of what is no sample: the boxes of one segment are written and weighed."""
    frames, boxes_bytes, at = track.segment_start(1), 0, 0
    frame = Sample(0, True, b"1")
    while at < frames:
        alone = is_video and at == 0  # the segmenter writes the IDR apart
        count = min(track.part_frames, frames - at)
        runs = [1, count - 1] if alone else [count]
        for run in filter(None, runs):
            boxes_bytes += len(write_fragment(1, [frame] * run, track.frame_ticks)) - run
        at += count
    return math.ceil(8 * boxes_bytes / (frames * track.frame_seconds))


def video_bound(kbit: int, timing: Timing) -> Rates:
    """The most that a rung can weigh: the rate, one full buffer in a segment, and boxes."""
    rate = RateControl.constant(kbit)
    boxes = boxes_rate(timing.video, is_video=True)
    peak = math.ceil(1000 * (rate.max_kbit + rate.buffer_kbit / timing.segment_seconds))
    return Rates(peak + boxes, 1000 * rate.video_kbit + boxes)


def iframes_bound(kbit: int, timing: Timing) -> Rates:
    """The same for key frames alone: none is larger than the buffer."""
    bits = 1000 * RateControl.constant(kbit).buffer_kbit + 8 * _IFRAME_BOXES_BYTES
    rate = math.ceil(bits / timing.segment_seconds)
    return Rates(rate, rate)


def audio_bound(codec: SoundCodec, kbit: int, timing: Timing) -> Rates:
    """The same for sound."""
    boxes = boxes_rate(timing.audio, is_video=False)
    saved_up = 1000 * kbit * codec.saved_up_seconds / timing.segment_seconds
    # What is saved up once is spent once: over six segments and more it counts that much less.
    average = math.ceil(1000 * kbit + saved_up / _AVERAGE_SEGMENTS) + boxes
    return Rates(math.ceil(1000 * kbit + saved_up) + boxes, average)

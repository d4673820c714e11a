"""What a face hears now, and what it expects to hear next.

The model needs sound ahead of the frame it moves. What an instant says decides what is expected:
the rest of its line, then silence; of somebody who speaks live, what has come of him so far. Where
that was wrong - a line begins or is cut off, somebody goes on - the motion is thought anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from inference.ditto.layout import SAMPLE_HZ, SAMPLES_PER_FRAME, Floats
from inference.line import Line, Spoken
from inference.presenter import Instant
from rawmedia import MediaFormat, Samples

# Of what was heard, frames that may be asked for again, and that a window reaches back.
REMEMBERED_FRAMES = 80
# An expectation is compared so far ahead: no window, with its groups and its reach, goes further.
EXPECTED_FRAMES = 160

_SILENCE = np.zeros(SAMPLES_PER_FRAME, np.float32)
Place = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Expectation:
    """What a frame's line lets expect of all later ones."""

    line: Spoken | None = None
    origin: int = 0  # the frame of the line's first sound
    end: int = 0  # the first place of which nothing is known, or that was cut off

    def is_that_of(self, other: Expectation) -> bool:
        """Whether both let expect the same; lines are told apart, not compared."""
        same_line = self.line is other.line
        return same_line and (self.origin, self.end) == (other.origin, other.end)

    def place(self, frame: int) -> Place | None:
        """Which line's place is heard in a frame; None: nothing."""
        place = frame - self.origin
        return (id(self.line), place) if self.line is not None and 0 <= place < self.end else None


class Listener:
    """Keeps what was heard, frame by frame.

    Args:
        media: of the stream.
        block: frames after which it is looked again how much has come of a live speaker.
    """

    def __init__(self, media: MediaFormat, block: int) -> None:
        # From the first frame that is heard otherwise than expected, and the first to be shown.
        self.on_change: Callable[[int, int], None] = lambda _first, _now: None
        self._voices = Voices(media)
        self._block = block
        self._expected = Expectation()
        self._past: dict[int, Place | None] = {}  # what was expected of a frame when it came
        self._sounds: dict[int, Floats] = {}

    def note(self, now: Instant) -> None:
        """An instant is to be shown; one that was noted already is shown anew."""
        before, self._expected = self._expected, self._of(now)
        if not self._expected.is_that_of(before) or now.index in self._past:
            self._look_for_surprise(before, now.index)
        self._past[now.index] = self._expected.place(now.index)
        self._sounds[now.index] = self._voices.heard(now.line, self._end(now), now.place)
        for old in [i for i in self._past if i < now.index - REMEMBERED_FRAMES]:
            del self._past[old], self._sounds[old]

    def between(self, first: int, end: int) -> Floats:
        """Samples at 16 kHz, as heard or expected; before the start is silence."""
        low, high = first // SAMPLES_PER_FRAME, -(-end // SAMPLES_PER_FRAME)
        whole = np.concatenate([self._sound(frame) for frame in range(low, high)])
        start = first - low * SAMPLES_PER_FRAME
        return whole[start : start + end - first]

    def _of(self, now: Instant) -> Expectation:
        if now.line is None:
            return Expectation()
        origin, was = now.index - now.place, self._expected
        if isinstance(now.line, Line) or now.cut is not None:
            return Expectation(now.line, origin, self._end(now))
        if was.line is now.line and was.origin == origin and now.index % self._block:
            return was
        known = now.place
        while known < now.place + EXPECTED_FRAMES and now.line.known(known) is not None:
            known += 1
        return Expectation(now.line, origin, known)

    @staticmethod
    def _end(now: Instant) -> int:
        if now.line is None:
            return 0
        return now.line.units if now.cut is None else min(now.cut, now.line.units)

    def _look_for_surprise(self, before: Expectation, index: int) -> None:
        first = self._first_surprise(before, index)
        if first is None:
            return
        self._past = {
            i: self._expected.place(i) if i >= first else p
            for i, p in self._past.items()
            if i < index
        }
        self._sounds = {i: s for i, s in self._sounds.items() if i < index}
        self.on_change(first, index)

    def _first_surprise(self, before: Expectation, index: int) -> int | None:
        """Of a live speaker it may lie behind: more had come than was expected."""
        goes_on = before.line is self._expected.line and before.origin == self._expected.origin
        start = min(index, before.origin + before.end) if goes_on else index
        for frame in range(max(start, index - REMEMBERED_FRAMES), index + EXPECTED_FRAMES):
            was = self._past[frame] if frame in self._past else before.place(frame)
            if was != self._expected.place(frame):
                return frame
        return None

    def _sound(self, frame: int) -> Floats:
        known = self._sounds.get(frame)
        if known is not None:
            return known
        expected = self._expected
        return self._voices.heard(expected.line, expected.end, frame - expected.origin)


class Voices:
    """Lines as the model hears them: mono, 16 kHz, 640 samples to a frame.

    Args:
        media: of the stream.
    """

    def __init__(self, media: MediaFormat) -> None:
        self._media = media

    def heard(self, line: Spoken | None, end: int, place: int) -> Floats:
        """(640,) samples from -1 to 1 of a place; silence outside of 0 to ``end``."""
        if line is None or not 0 <= place < end:
            return _SILENCE
        if isinstance(line, Line):
            assert line.mono is not None  # see heard_whole()
            return line.mono[place * SAMPLES_PER_FRAME : (place + 1) * SAMPLES_PER_FRAME]
        return self._piece(line, place)

    def _piece(self, line: Spoken, place: int) -> Floats:
        """Of somebody who speaks live, with its neighbours: a filter begins and ends in them."""
        empty = np.zeros((self._media.samples_per_unit, self._media.audio_channels), np.int16)
        around = [line.known(place + step) for step in (-1, 0, 1)]
        known = [empty if unit is None else unit for unit in around]
        sound = to_model(np.concatenate(known), self._media.audio_rate_hz)
        return sound[SAMPLES_PER_FRAME : 2 * SAMPLES_PER_FRAME]


def heard_whole(line: Line, media: MediaFormat) -> Line:
    """A line with its sound as the model hears it: 25 ms of work for each minute of it."""
    return replace(line, mono=to_model(line.clip.samples, media.audio_rate_hz))


def to_model(samples: Samples, rate_hz: int) -> Floats:
    """Mono at 16 kHz from -1 to 1, as long as the sound is."""
    mono: Floats = samples.mean(axis=1, dtype=np.float32) / np.float32(32768)
    if rate_hz == SAMPLE_HZ:
        return mono
    import soxr  # here: a stream at 16 kHz needs none of it

    wanted = len(mono) * SAMPLE_HZ // rate_hz
    sound = np.asarray(soxr.resample(mono, rate_hz, SAMPLE_HZ), np.float32)[:wanted]
    return np.pad(sound, (0, wanted - len(sound)))

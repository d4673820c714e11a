"""The talking head as a live source: what a presenter does, with a face that thinks ahead.

What an instant says decides what is heard now and what is expected next: the rest of its line, then
silence. Where the expectation was wrong - a line begins, or is cut off - the motion is thought anew
from the first frame that nobody has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from inference.ditto.governor import Effort
from inference.ditto.layout import FPS, SAMPLE_HZ, SAMPLES_PER_FRAME, Floats
from inference.ditto.mind import LiveMind, Mind
from inference.ditto.painter import Look, Painter
from inference.ditto.watch import Watch
from inference.line import Line
from inference.presenter import Instant, Talker
from inference.utterances import Utterances
from rawmedia import Frame, MediaFormat, Samples

# Lips come from rest and go back to it within so many frames.
LIPS_FRAMES = 5
# Of what was heard and shown, frames that may be asked for again, and that a window reaches back.
REMEMBERED_FRAMES = 80
# An expectation is compared so far ahead: no window, with its groups and its reach, goes further.
EXPECTED_FRAMES = 160


@dataclass(frozen=True, slots=True, eq=False)
class Expectation:
    """What a frame's line lets expect of all later ones."""

    line: Line | None = None
    origin: int = 0  # the frame of the line's first sound
    cut: int | None = None  # the place at which it was cut off

    @classmethod
    def at(cls, now: Instant) -> Expectation:
        """Of an instant."""
        return cls(now.line, now.index - now.place, now.cut) if now.line else cls()

    def is_that_of(self, other: Expectation) -> bool:
        """Whether both let expect the same; lines are told apart, not compared."""
        same_line = self.line is other.line
        return same_line and (self.origin, self.cut) == (other.origin, other.cut)

    def place(self, frame: int) -> tuple[int, int] | None:
        """Which line's place is heard in a frame; None: nothing."""
        place = frame - self.origin
        if self.line is None or not 0 <= place < self.line.units:
            return None
        return None if self.cut is not None and place >= self.cut else (id(self.line), place)


class Speaker(Talker):
    """A talker that is drawn by the model.

    Args:
        mind: its overlap must be a live one.
        painter: of the same avatar.
        media: of the stream; 25 frames a second.
        repeated, pause_units, utterances, yields: see :class:`inference.presenter.Talker`.
        close: gives back what the model holds.
    """

    def __init__(
        self,
        mind: Mind,
        painter: Painter,
        media: MediaFormat,
        repeated: Line | None = None,
        pause_units: int = 0,
        utterances: Utterances | None = None,
        *,
        yields: bool = False,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        assert media.fps == FPS
        super().__init__(painter, media, repeated, pause_units, utterances, yields=yields)
        self.painter = painter
        self.watch = Watch(mind.recipe.steps)
        self.watch.on_effort = self._effort_changed
        self.watch.on_second = lambda figures: self.tell_figures(figures)
        self._shown: Frame | None = None
        self._close = close
        self._expected = Expectation()
        self._past: dict[int, tuple[int, int] | None] = {}
        self._sounds: dict[int, Floats] = {}
        self._lips: dict[int, int] = {}  # how many frames they are on their way
        self._voices = Voices(media)
        self.mind = LiveMind(mind, self._heard_between)
        painter.measure_from(self.mind.zero())

    def close(self) -> None:
        """Give back what the model holds."""
        self._close()

    def go_back(self, units: int) -> None:
        """As told; the last picture drawn is none that comes before what is drawn next."""
        if units:
            self._shown = None
        super().go_back(units)

    def _draw(self, frame: Frame, now: Instant) -> None:
        self._listen(now)
        lips = self._lips_of(now)
        if self.watch.repeats(now.index, self.waiting_units) and self._shown is not None:
            self.watch.repeated += 1
            np.copyto(frame, self._shown)
        else:
            with self.watch.working():
                self.mind.steps = self.watch.effort.steps
                self.painter.draw(frame, now.index, self.mind.at(now.index), lips)
            self._shown = frame.copy()
        self.watch.unit_is_over()

    def _effort_changed(self, now: Effort, was: Effort) -> None:
        worse = now.steps < was.steps or now.units_per_picture > was.units_per_picture
        self.tell(
            "effort",
            sampling_timesteps=now.steps,
            pictures_per_second=round(FPS / now.units_per_picture, 2),
            was={
                "sampling_timesteps": was.steps,
                "pictures_per_second": round(FPS / was.units_per_picture, 2),
            },
            reason="pictures came late" if worse else "there is room",
        )

    # --- sound -----------------------------------------------------------------------------------

    def _listen(self, now: Instant) -> None:
        """Note what is heard, and let the mind know where it is not what was expected."""
        before, self._expected = self._expected, Expectation.at(now)
        if not self._expected.is_that_of(before) or now.index in self._past:
            first = self._first_surprise(before, now.index)
            if first is not None:
                self._past = {i: p for i, p in self._past.items() if i < now.index}
                self._sounds = {i: s for i, s in self._sounds.items() if i < now.index}
                self.mind.changed(first, now.index)
        self._past[now.index] = self._expected.place(now.index)
        self._sounds[now.index] = self._voices.heard(self._expected, now.index)
        for old in [i for i in self._past if i < now.index - REMEMBERED_FRAMES]:
            del self._past[old], self._sounds[old]

    def _first_surprise(self, before: Expectation, index: int) -> int | None:
        for frame in range(index, index + EXPECTED_FRAMES):
            was = self._past[frame] if frame in self._past else before.place(frame)
            if was != self._expected.place(frame):
                return frame
        return None

    def _heard_between(self, first: int, end: int) -> Floats:
        """Samples at 16 kHz, as heard or expected; before the start is silence."""
        low, high = first // SAMPLES_PER_FRAME, -(-end // SAMPLES_PER_FRAME)
        whole = np.concatenate([self._sound(frame) for frame in range(low, high)])
        start = first - low * SAMPLES_PER_FRAME
        return whole[start : start + end - first]

    def _sound(self, frame: int) -> Floats:
        known = self._sounds.get(frame)
        return self._voices.heard(self._expected, frame) if known is None else known

    # --- lips ------------------------------------------------------------------------------------

    def _lips_of(self, now: Instant) -> float:
        """0 at rest, 1 as driven; ramps between."""
        before = self._lips.get(now.index - 1, 0)
        speaks = now.line is not None and now.cut is None and now.place < now.line.units
        lips = min(LIPS_FRAMES, before + 1) if speaks else max(0, before - 1)
        self._lips[now.index] = lips
        self._lips.pop(now.index - REMEMBERED_FRAMES, None)
        return lips / LIPS_FRAMES


class Voices:
    """Lines as the model hears them: mono, 16 kHz, 640 samples to a frame.

    Args:
        media: of the stream.
    """

    def __init__(self, media: MediaFormat) -> None:
        self._rate_hz = media.audio_rate_hz
        self._newest: list[_Voice] = []

    def heard(self, expected: Expectation, frame: int) -> Floats:
        """(640,) samples from -1 to 1."""
        if expected.line is None or expected.place(frame) is None:
            return _SILENCE
        place = frame - expected.origin
        sound = self._voice(expected.line).sound
        return sound[place * SAMPLES_PER_FRAME : (place + 1) * SAMPLES_PER_FRAME]

    def _voice(self, line: Line) -> _Voice:
        for voice in self._newest:
            if voice.line is line:
                return voice
        # the line that is said, and the one before it
        self._newest = [_Voice(line, self._rate_hz), *self._newest[:1]]
        return self._newest[0]


_SILENCE = np.zeros(SAMPLES_PER_FRAME, np.float32)


class _Voice:
    def __init__(self, line: Line, rate_hz: int) -> None:
        self.line = line
        self.sound = to_model(line.clip.samples, rate_hz)


def to_model(samples: Samples, rate_hz: int) -> Floats:
    """Mono at 16 kHz from -1 to 1, as long as the sound is."""
    mono = samples.mean(axis=1, dtype=np.float32) / np.float32(32768)
    if rate_hz == SAMPLE_HZ:
        return mono
    import soxr  # here: a stream at 16 kHz needs none of it

    wanted = len(mono) * SAMPLE_HZ // rate_hz
    sound = np.asarray(soxr.resample(mono, rate_hz, SAMPLE_HZ), np.float32)[:wanted]
    return np.pad(sound, (0, wanted - len(sound)))

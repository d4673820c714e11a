"""The talking head as a live source: what a presenter does, with a face that thinks ahead."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from inference.ditto.governor import Effort
from inference.ditto.layout import FPS
from inference.ditto.listening import REMEMBERED_FRAMES, Listener
from inference.ditto.mind import LiveMind, Mind
from inference.ditto.painter import Look, Painter, Worn
from inference.ditto.watch import Watch
from inference.line import Line
from inference.presenter import Instant, Talker
from inference.utterances import Utterances
from rawmedia import Frame, MediaFormat

# Lips come from rest and go back to it within so many frames.
LIPS_FRAMES = 5


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
        self._close = close
        self._shown: Frame | None = None
        self._lips: dict[int, int] = {}  # how many frames they are on their way
        self._listener = Listener(media, mind.joining.overlap.valid)
        self.mind = LiveMind(mind, self._listener.between)
        self._listener.on_change = self.mind.changed
        painter.measure_from(self.mind.zero())

    def close(self) -> None:
        """Give back what the model holds."""
        self._close()

    def go_back(self, units: int) -> None:
        """As told; the last picture drawn is none that comes before what is drawn next."""
        if units:
            self._shown = None
        super().go_back(units)

    def _put_on(self, face: Look | Worn) -> Worn:
        self._shown = None  # it is of the face before
        return self.painter.wear(face)

    def _draw(self, frame: Frame, now: Instant) -> None:
        lips = self._lips_of(now)
        repeats = self.watch.repeats(now.index, self.waiting_units)
        before = self._shown if repeats else None
        with self.watch.working(on_a_picture=before is None):
            self._listener.note(now)
            if before is not None:
                self.watch.repeated += 1
                np.copyto(frame, before)
            else:
                self.mind.steps = self.watch.effort.steps
                self.painter.draw(frame, now.index, self.mind.at(now.index), lips)
                self._shown = frame.copy()
        self.watch.unit_is_over()

    def _lips_of(self, now: Instant) -> float:
        """0 at rest, 1 as driven; ramps between."""
        before = self._lips.get(now.index - 1, 0)
        speaks = now.line is not None and now.cut is None and now.place < now.line.units
        lips = min(LIPS_FRAMES, before + 1) if speaks else max(0, before - 1)
        self._lips[now.index] = lips
        self._lips.pop(now.index - REMEMBERED_FRAMES, None)
        return lips / LIPS_FRAMES

    def _effort_changed(self, now: Effort, was: Effort) -> None:
        worse = (now.steps, -now.units_per_picture) < (was.steps, -was.units_per_picture)
        reason = "pictures came late" if worse else "there is room"
        self.tell("effort", **_told(now), was=_told(was), reason=reason)


def _told(effort: Effort) -> dict[str, float]:
    return {
        "sampling_timesteps": effort.steps,
        "pictures_per_second": round(FPS / effort.units_per_picture, 2),
    }

"""The talking head as a live source: what a presenter does, with a face that thinks ahead."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from inference.ditto.joints import Joints, speaks
from inference.ditto.layout import FPS, Floats
from inference.ditto.listening import REMEMBERED_FRAMES, Listener, heard_whole
from inference.ditto.mind import LiveMind, Mind
from inference.ditto.painter import Look, Painter, Worn
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
        super().__init__(
            painter,
            media,
            repeated and heard_whole(repeated, media),
            pause_units,
            utterances,
            yields=yields,
            steps=mind.recipe.steps,
        )
        if utterances is not None:
            utterances.prepare_with(lambda line: heard_whole(line, media))
        self.painter = painter
        self._close = close
        self._lips: dict[int, int] = {}  # how many frames they are on their way
        self._motion: Floats = np.zeros(0, np.float32)  # of the newest instant
        self._listener = Listener(media, mind.joining.overlap.valid)
        self.mind = LiveMind(mind, self._listener.between)
        self._listener.on_change = self.mind.changed
        self._joints = Joints(self.mind.known)
        painter.measure_from(self.mind.zero())

    def close(self) -> None:
        """Give back what the model holds."""
        self._close()

    def _follow(self, now: Instant) -> None:
        """Lips, hearing and this frame's share of the thinking: a held picture puts nothing off."""
        self._move_lips(now)
        self._listener.note(now)
        self.mind.steps = self.watch.effort.steps
        self._motion = self._joints.eased(now, self.mind.at(now.index))

    def _put_on(self, face: Look | Worn) -> Worn:
        return self.painter.wear(face)

    def _draw(self, frame: Frame, now: Instant) -> None:
        lips = self._lips[now.index] / LIPS_FRAMES
        self.painter.draw(frame, now.index, self._motion, lips)

    def _move_lips(self, now: Instant) -> None:
        """They come from rest and go back to it, a step with each frame."""
        before = self._lips.get(now.index - 1, 0)
        opens = speaks(now)
        self._lips[now.index] = min(LIPS_FRAMES, before + 1) if opens else max(0, before - 1)
        self._lips.pop(now.index - REMEMBERED_FRAMES, None)

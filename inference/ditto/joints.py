"""Lips at both ends of an utterance: they part for its first sound, and close from its last one.

A sound may begin and end at full voice, and the model follows it. A presenter's lips need a moment
then (inference/line.py), and so do these: before the first sound they are on their way to where it
will have them, and after the last one on their way back. Head and eyes are left to the model.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from inference.ditto.layout import LIPS, MOTION_DIMS, Floats, group_mask
from inference.presenter import Instant

# Frames after the last sound in which the lips are still on their way.
CLOSING_FRAMES = 3
# More than an encoder ever gives back.
_REMEMBERED_FRAMES = 40
_LIPS = np.concatenate((np.zeros(MOTION_DIMS - 63, np.bool_), group_mask(LIPS)))


def speaks(now: Instant) -> bool:
    """Whether something is being said, or about to be, that was not cut off."""
    return now.line is not None and now.cut is None and now.place < now.line.units


class Joints:
    """Of one face.

    Args:
        known: the motion (265,) of a frame that is not shown yet; None: nobody has thought of it.
    """

    def __init__(self, known: Callable[[int], Floats | None]) -> None:
        self._known = known
        self._said: dict[int, Floats] = {}  # motion of frames that spoke

    def eased(self, now: Instant, motion: Floats) -> Floats:
        """(265,) of an instant, with lips that do not jump; after ``go_back`` they come again."""
        self._said.pop(now.index - _REMEMBERED_FRAMES, None)
        if speaks(now):
            self._said[now.index] = shown = self._parting(now, motion)
            return shown
        self._said.pop(now.index, None)
        return self._closing(now.index, motion)

    def _parting(self, now: Instant, motion: Floats) -> Floats:
        assert now.line is not None
        first = self._known(now.index - now.place) if now.place < 0 else None
        if first is None:
            return motion
        return _with_lips(motion, first, 1 + now.place / (now.line.lead + 1))

    def _closing(self, index: int, motion: Floats) -> Floats:
        for back in range(1, CLOSING_FRAMES + 1):
            last = self._said.get(index - back)
            if last is not None:
                return _with_lips(motion, last, 1 - back / (CLOSING_FRAMES + 1))
        return motion


def _with_lips(motion: Floats, other: Floats, share: float) -> Floats:
    """A motion whose lips are nearer to those of another one by a share."""
    mixed = (1 - np.float32(share)) * motion + np.float32(share) * other
    return np.where(_LIPS, mixed, motion)

"""The built-in presenter, drawn by us (first sketch)."""

from __future__ import annotations

import cv2

from inference.motion import Pose
from inference.mouth import MouthShape
from inference.presenter import Region
from rawmedia import Frame

cv2.setNumThreads(1)


class Character:
    """A face for frames of one size."""

    def __init__(self, width: int, height: int) -> None:
        self._centre = (width // 2, height // 2)
        self._unit = min(width, height) / 720

    @property
    def mouth_region(self) -> Region:
        """(x, y, w, h) around the mouth."""
        (x, y), u = self._centre, self._unit
        return round(x - 60 * u), round(y + 30 * u), max(1, round(120 * u)), max(1, round(110 * u))

    def draw(self, frame: Frame, mouth: MouthShape, pose: Pose) -> None:
        """Draw the whole picture."""
        frame[:] = (150, 140, 110)
        (x, y), u = self._centre, self._unit
        cv2.ellipse(frame, (x, y), (round(110 * u), round(150 * u)), 0, 0, 360, (150, 190, 240), -1)
        for side in (-1, 1):
            eye = (round(x + side * 42 * u), round(y - 20 * u))
            height = round(14 * u * (1 - pose.lids))
            cv2.ellipse(frame, eye, (round(18 * u), height), 0, 0, 360, (90, 60, 40), -1)
        size = (round((30 + 10 * mouth.wide - 12 * mouth.round) * u), round(34 * mouth.open * u))
        cv2.ellipse(frame, (x, round(y + 85 * u)), size, 0, 0, 360, (40, 20, 60), -1)

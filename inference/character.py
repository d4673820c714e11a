"""The built-in presenter: our own drawing, sharp at every size, alive in every frame."""

from __future__ import annotations

import math

import cv2
import numpy as np

from inference import features, figure
from inference.motion import Pose
from inference.mouth import MouthShape
from inference.paint import Matrix, lay_over, lay_premultiplied
from inference.painting import Place, painting
from inference.presenter import Region
from rawmedia import Frame

# The neighbourhood that must be drawn again for every frame: jaw, nose and mouth.
LOWER_FACE = (-100.0, -20.0, 100.0, 150.0)
NECK_PIVOT = (0.0, 190.0)  # the head turns and tilts about the neck, not about the nose

# How far a pose of 1 goes, in units and radians.
HEAD_X, HEAD_Y, HEAD_TILT, HEAD_TURN = 3.0, 2.6, 0.026, 3.2
BREATH_Y, BREATH_HEAD = 2.6, 1.0
BODY_RAISE = 12.0  # a shorter neck than the one drawn


class Character:
    """The presenter for frames of one size."""

    def __init__(self, width: int, height: int) -> None:
        self._unit = max(1.13 * min(height / 720, width / 620), 0.56 * height / 680)
        self._centre = (width / 2, min(0.455 * height, height - 0.4 * 300 * self._unit))
        # twice the pixels shown: every later turn and shift stays sharp
        scale = max(0.5, min(2 * self._unit, max(3.0, self._unit)))
        painted = painting(Place(width, height, self._centre, self._unit, scale))
        self._studio, self._body = painted.studio, painted.body
        self._head, self._jaw = painted.head, painted.jaw
        self._features = features.Features(self._head)
        self._clean = self._head.pixels.copy()
        self._lower, self._opening = self._clean, -1.0  # the lower face, and how open it is there

    @property
    def mouth_region(self) -> Region:
        """(x, y, w, h) of the pixels in which the mouth moves, whatever the head does."""
        left, top, right, bottom = features.MEASURE_EXTENT
        height, width = self._studio.shape[:2]
        x0, y0 = self._at(left, top)
        x1, y1 = self._at(right, bottom)
        x0, y0 = max(0, math.floor(x0)), max(0, math.floor(y0))
        x1, y1 = min(width, math.ceil(x1)), min(height, math.ceil(y1))
        return x0, y0, max(1, x1 - x0), max(1, y1 - y0)

    def draw(self, frame: Frame, mouth: MouthShape, pose: Pose) -> None:
        """Draw the whole picture."""
        self._draw_head(mouth, pose)
        np.copyto(frame, self._studio)
        lay_over(frame, self._head, self._head_matrix(pose), figure.HEAD_EXTENT)
        lay_over(frame, self._body, self._body_matrix(pose), figure.BODY_EXTENT)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return self._centre[0] + x * self._unit, self._centre[1] + y * self._unit

    def _draw_head(self, mouth: MouthShape, pose: Pose) -> None:
        eyes = self._head.box(*features.EYES_EXTENT)
        self._head.pixels[eyes] = self._clean[eyes]
        self._draw_lower_face(mouth.open)
        self._features.draw(mouth, pose, HEAD_TURN * pose.turn)

    def _draw_lower_face(self, opening: float) -> None:
        """As it was for the same opening, else anew."""
        area = self._head.box(*LOWER_FACE)
        if opening != self._opening:
            self._head.pixels[area] = self._clean[area]
            self._draw_jaw(opening)
            self._lower, self._opening = self._head.pixels[area].copy(), opening
        else:
            self._head.pixels[area] = self._lower

    def _draw_jaw(self, opening: float) -> None:
        """Stretch the lower face downwards: the chin follows the mouth, the seam stays."""
        left, top, right, bottom = figure.JAW_EXTENT
        rows, columns = self._head.box(left, top, right, bottom + features.JAW_DROP)
        area = self._head.pixels[rows, columns]
        stretch = 1.0 + features.JAW_DROP * opening / (131.0 - top)
        matrix = np.array(((1.0, 0.0, 0.0), (0.0, 1.0 / stretch, 0.0)))
        size = (area.shape[1], area.shape[0])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        lay_premultiplied(area, cv2.warpAffine(self._jaw.pixels, matrix, size, flags=flags))

    def _head_matrix(self, pose: Pose) -> Matrix:
        x, y = self._at(*NECK_PIVOT)
        x += HEAD_X * pose.x * self._unit
        y += (HEAD_Y * pose.y - BREATH_HEAD * pose.breath) * self._unit
        angle = HEAD_TILT * pose.tilt
        cosine, sine = self._unit * math.cos(angle), self._unit * math.sin(angle)
        px, py = NECK_PIVOT
        return np.array(
            (
                (cosine, -sine, x - cosine * px + sine * py),
                (sine, cosine, y - sine * px - cosine * py),
            )
        )

    def _body_matrix(self, pose: Pose) -> Matrix:
        x, y = self._centre
        wide = self._unit * (1.0 + 0.004 * pose.breath)
        lift = BREATH_Y * pose.breath * self._unit
        raised = y - lift - BODY_RAISE * self._unit
        return np.array(((wide, 0.0, x), (0.0, self._unit, raised)))

"""How a photo moves: displacement fields of a face, computed once, weighted for every frame.

The first warp works on the resting face: the jaw drops away from the seam of the lips, lips widen
or round, lids close. The second moves the whole head a little, and the shoulders with the breath.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.landmarks import Landmarks
from inference.lips import Numbers, Seam, to_pixels
from inference.motion import Pose
from inference.mouth import MouthShape
from inference.paint import Extent
from inference.presenter import Region
from rawmedia import Frame

Field = NDArray[np.float32]

# All lengths in hundredths of the distance between the eyes; the origin is the mouth.
FACE_EXTENT = (-150.0, -190.0, 150.0, 200.0)
HEAD_EXTENT = (-330.0, -330.0, 330.0, 260.0)
CHIN = 62.0
NECK = 150.0
DROP = 27.0  # of the lower lip, fully open
LIFT = 4.0  # of the upper lip
ARCH = 2.8  # the lower lip is a tray, not a wedge
WIDEN, NARROW = 0.1, 0.24
EYE_HALF, LID_TOP, LID_BOTTOM, BROW = 26.0, -8.0, 9.5, -26.0
GAZE_X, GAZE_Y, BROW_LIFT = 3.5, 1.6, 2.4
HEAD_X, HEAD_Y, HEAD_TILT = 2.6, 2.0, 0.012
BREATH = 1.6


class Expressions:
    """The first warp: jaw, lips and lids, of the resting face."""

    def __init__(self, picture: Frame, landmarks: Landmarks, seam: Seam) -> None:
        self._picture = picture
        x, y, width, height = region(picture, to_pixels(landmarks), FACE_EXTENT)
        self._area = (slice(y, y + height), slice(x, x + width))
        self._x, self._y = _grid(x, y, width, height)
        u, v = _upright(landmarks, self._x, self._y)
        down = landmarks.eye_distance / 100
        cosine, sine = math.cos(landmarks.tilt) * down, math.sin(landmarks.tilt) * down
        jaw = jaw_field(u, v, seam)
        self._jaw_x, self._jaw_y = -sine * jaw, cosine * jaw
        lips = _lips_field(u, v, seam)
        self._lips_x, self._lips_y = cosine * lips, sine * lips
        # lids move straight down: blinks are short, and a head is hardly ever tilted far
        self._eyes = [_Eye(u, v, eye, landmarks) for eye in eye_places(landmarks)]
        self._map_x, self._map_y = np.empty_like(self._x), np.empty_like(self._y)

    def draw(self, still: Frame, mouth: MouthShape, pose: Pose) -> None:
        """Put this moment's face into ``still``."""
        area = still[self._area]
        if not any((mouth.open, mouth.wide, mouth.round, *_of_eyes(pose))):
            area[:] = self._picture[self._area]
            return
        stretch = lip_stretch(mouth)
        np.copyto(self._map_x, self._x)
        np.copyto(self._map_y, self._y)
        for target, jaw, lips in (
            (self._map_x, self._jaw_x, self._lips_x),
            (self._map_y, self._jaw_y, self._lips_y),
        ):
            cv2.scaleAdd(jaw, -mouth.open, target, target)
            cv2.scaleAdd(lips, -stretch, target, target)
        for eye in self._eyes:
            eye.move(self._map_x, self._map_y, pose)
        cv2.remap(
            self._picture, self._map_x, self._map_y, cv2.INTER_LINEAR, area, cv2.BORDER_REPLICATE
        )


class HeadMotion:
    """The second warp: the head sways, the shoulders breathe, the background stays."""

    def __init__(self, picture: Frame, landmarks: Landmarks) -> None:
        self._picture = picture
        self._unit = landmarks.eye_distance / 100
        x, y, wide, _tall = region(picture, to_pixels(landmarks), HEAD_EXTENT)
        tall = len(picture) - y  # shoulders go down to the edge
        self._area = (slice(y, y + tall), slice(x, x + wide))
        self._x, self._y = _grid(x, y, wide, tall)
        u, v = _upright(landmarks, self._x, self._y)
        # a soft egg about the head, wide enough for hair
        away = np.hypot(u / 150, (v + 60) / 190)
        self._head = 1 - _ramp(away, 0.85, 1.65)
        pivot_x, pivot_y = to_pixels(landmarks) @ (0.0, 110.0, 1.0)
        self._turn_x = self._head * (self._y - np.float32(pivot_y))
        self._turn_y = self._head * (self._x - np.float32(pivot_x))
        beside = 1 - _ramp(np.abs(u), 170, 320)
        self._breath = _ramp(v, 50, 190) * beside * np.float32(BREATH * self._unit)
        self._map_x, self._map_y = np.empty_like(self._x), np.empty_like(self._y)

    def draw(self, frame: Frame, still: Frame, pose: Pose) -> None:
        """Fill ``frame`` from the still picture."""
        x, y = HEAD_X * self._unit * pose.x, HEAD_Y * self._unit * pose.y
        tilt = HEAD_TILT * pose.tilt
        cv2.scaleAdd(self._head, -x, self._x, self._map_x)
        cv2.scaleAdd(self._turn_x, tilt, self._map_x, self._map_x)
        cv2.scaleAdd(self._head, -y, self._y, self._map_y)
        cv2.scaleAdd(self._turn_y, -tilt, self._map_y, self._map_y)
        cv2.scaleAdd(self._breath, pose.breath, self._map_y, self._map_y)
        np.copyto(frame, self._picture)
        way, edge = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
        cv2.remap(still, self._map_x, self._map_y, way, frame[self._area], edge)


def _of_eyes(pose: Pose) -> tuple[float, ...]:
    return pose.lids, pose.gaze_x, pose.gaze_y, pose.brows


class _Eye:
    """One eye: its lid, its iris and its brow."""

    def __init__(self, u: Field, v: Field, eye: tuple[float, float], landmarks: Landmarks) -> None:
        near = (np.abs(u - eye[0]) < EYE_HALF) & (np.abs(v - eye[1]) < 40)
        rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
        self._box = (_span(rows), _span(columns))
        across = (u[self._box] - eye[0]) / EYE_HALF
        self._v = v[self._box] - eye[1]
        arch = np.clip(1 - across * across, 0, 1)
        self._top, self._bottom = LID_TOP * np.sqrt(arch), LID_BOTTOM * arch
        self._unit = np.float32(landmarks.eye_distance / 100)
        self._iris = np.exp(-((across * EYE_HALF / 11) ** 2) - (self._v / 7) ** 2) * self._unit
        self._brow = arch * arch * np.exp(-(((self._v - BROW) / 8) ** 2)) * self._unit

    def move(self, map_x: Field, map_y: Field, pose: Pose) -> None:
        """Change the maps so that the eye looks and blinks as ``pose`` says."""
        if not self._v.size or not any(_of_eyes(pose)):
            return
        map_x[self._box] -= np.float32(GAZE_X * pose.gaze_x) * self._iris
        map_y[self._box] -= np.float32(GAZE_Y * pose.gaze_y) * self._iris
        map_y[self._box] += np.float32(BROW_LIFT * pose.brows) * self._brow
        if pose.lids > 0.0:
            self._close(map_y, pose.lids)

    def _close(self, map_y: Field, lids: float) -> None:
        """The skin between brow and lashes is drawn down over the eye."""
        lash = self._top + (self._bottom - self._top) * np.float32(lids)
        covered = (self._v > BROW) & (self._v <= lash)
        shrink = (self._top - BROW) / np.maximum(lash - BROW, 1.0)
        shift = (self._v - BROW) * (shrink - 1)
        map_y[self._box] += np.where(covered, shift, 0) * self._unit


def lip_stretch(mouth: MouthShape) -> float:
    """How much wider the lips are than at rest; negative: narrower."""
    return WIDEN * mouth.wide - NARROW * mouth.round


def _span(indices: NDArray[np.intp]) -> slice:
    return slice(int(indices[0]), int(indices[-1]) + 1) if len(indices) else slice(0, 0)


def eye_places(landmarks: Landmarks) -> list[tuple[float, float]]:
    """The middles of both eyes."""
    to_upright = cv2.invertAffineTransform(to_pixels(landmarks))
    places = [to_upright @ (*eye, 1.0) for eye in (landmarks.left_eye, landmarks.right_eye)]
    # what is darkest in an eye is the pupil and the lashes above it: the middle is lower
    return [(float(x), float(y) + 4.0) for x, y in places]


def jaw_field(u: Field, v: Field, seam: Seam) -> Field:
    """How far down each place goes when the mouth is fully open (up: negative)."""
    middle = np.clip(u / np.float32(seam.half), -1, 1)
    line = np.float32(seam.y) + np.float32(seam.bend) * middle * middle
    below = v - line
    chin = _ramp(below, 0.4 * DROP, CHIN - seam.y)
    reach = seam.half + (95.0 - seam.half) * chin
    side = np.clip(np.abs(u) / reach, 0, 1)
    # at the lips an arch that ends in the corners, at the chin a soft bell
    profile = (1 - side ** (ARCH - (ARCH - 2) * chin)) ** (1 + chin)
    fade = 1 - _ramp(v, CHIN, NECK)
    lower = np.where(below > 0, DROP * profile * fade, 0)
    upper_side = np.clip(np.abs(u) / np.float32(seam.half), 0, 1)
    upper_fade = 1 - _ramp(-below, 0, 42)
    upper = np.where(below <= 0, -LIFT * (1 - upper_side**2) * upper_fade, 0)
    return np.asarray(lower + upper, np.float32)


def _lips_field(u: Field, v: Field, seam: Seam) -> Field:
    """How far outwards each place goes for a mouth twice as wide."""
    near = np.exp(-((u / 62) ** 2) - ((v - np.float32(seam.y)) / 40) ** 2)
    return np.asarray(u * near, np.float32)


def region(picture: Frame, matrix: Numbers, extent: Extent) -> Region:
    """The pixels around a rectangle of the upright face: at least one, inside the picture."""
    left, top, right, bottom = extent
    corners = np.array(((left, top, 1), (right, top, 1), (left, bottom, 1), (right, bottom, 1)))
    placed = corners @ matrix.T
    height, width = picture.shape[:2]
    x0, y0 = (int(v) for v in np.floor(placed.min(axis=0)))
    x1, y1 = (int(v) for v in np.ceil(placed.max(axis=0)))
    x0, y0 = min(max(0, x0), width - 1), min(max(0, y0), height - 1)
    return x0, y0, max(1, min(x1, width) - x0), max(1, min(y1, height) - y0)


def _grid(x: int, y: int, width: int, height: int) -> tuple[Field, Field]:
    across = np.arange(x, x + width, dtype=np.float32)
    down = np.arange(y, y + height, dtype=np.float32)
    return np.ascontiguousarray(np.broadcast_to(across, (height, width))), np.ascontiguousarray(
        np.broadcast_to(down[:, None], (height, width))
    )


def _upright(landmarks: Landmarks, x: Field, y: Field) -> tuple[Field, Field]:
    """Pixels as places about the mouth: upright, in hundredths of the eye distance."""
    (a, b, c), (d, e, f) = cv2.invertAffineTransform(to_pixels(landmarks)).astype(np.float32)
    return a * x + b * y + c, d * x + e * y + f


def _ramp(x: Field, low: float, high: float) -> Field:
    t = np.clip((x - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)

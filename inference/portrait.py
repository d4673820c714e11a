"""A portrait photo that speaks: the face is warped, the inside of the mouth is painted.

Two warps a frame. The first works on the resting face: the jaw drops away from the seam of the
lips, lips widen or round, lids close. The second moves the whole head a little, and the shoulders
with the breath. All fields are linear in the shape, computed once; only weights change per frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.fit import place_photo
from inference.images import load_image
from inference.landmarks import Landmarks, check_landmarks, landmarks_for
from inference.lips import Numbers, Seam, find_seam, to_pixels
from inference.motion import Pose
from inference.mouth import MouthShape
from inference.paint import Colour, Gradient, Layer, Path2, ellipse, lay_over, moved, ribbon
from inference.presenter import Region
from rawmedia import Frame, MediaFormat

Field = NDArray[np.float32]

# All lengths in hundredths of the distance between the eyes; the origin is the mouth.
FACE_EXTENT = (-150.0, -190.0, 150.0, 200.0)
EYES_EXTENT = (-100.0, -150.0, 100.0, -70.0)
MOUTH_EXTENT = (-58.0, -36.0, 58.0, 66.0)
# inside the face whatever the head does: no hair, no collar
MEASURE_EXTENT = (-48.0, -22.0, 48.0, 50.0)
CHIN = 62.0
NECK = 150.0
DROP = 27.0  # of the lower lip, fully open
LIFT = 4.0  # of the upper lip
EDGE_OVERLAP = 0.5  # no thread of skin shines through between paint and lip
ARCH = 2.8  # the lower lip is a tray, not a wedge
WIDEN, NARROW = 0.1, 0.24
EYE_HALF, LID_TOP, LID_BOTTOM, BROW = 26.0, -8.0, 9.5, -26.0
HEAD_X, HEAD_Y, HEAD_TILT = 2.6, 2.0, 0.012
BREATH = 1.6

INSIDE: Colour = (46, 14, 20)
THROAT: Colour = (26, 6, 12)
TEETH: Colour = (214, 204, 196)
TONGUE: Colour = (150, 74, 78)
LASH: Colour = (62, 42, 36)
ACROSS = np.linspace(-1.0, 1.0, 33)


def load_portrait(
    path: Path, media: MediaFormat, max_pixels: int, landmarks: Landmarks | None = None
) -> Portrait:
    """Read a photo and get it ready to speak.

    Raises:
        ImageRejected: no usable picture.
        NoFaceFound: nobody said where the face is, and it was not found.
        LandmarksRejected: what was said cannot be a face.
    """
    photo = load_image(path, max_pixels)
    if landmarks is None:
        landmarks = landmarks_for(path, photo)
    else:
        check_landmarks(path, landmarks, (photo.shape[1], photo.shape[0]))
    return Portrait(*place_photo(photo, landmarks, media.width, media.height))


class Portrait:
    """A face whose still picture is ``picture``, as large as the stream's frames."""

    def __init__(self, picture: Frame, landmarks: Landmarks) -> None:
        self._picture = picture
        self._matrix = to_pixels(landmarks)
        self._seam = find_seam(picture, landmarks)
        self._face = _Expressions(picture, landmarks, self._seam)
        self._head = _HeadMotion(picture, landmarks)
        scale = min(4.0, max(0.25, 2 * landmarks.eye_distance / 100))
        self._edges = _LipEdges(self._seam)
        self._inside = Layer.blank(MOUTH_EXTENT, scale)
        self._eyes = _eyes(landmarks)
        self._lashes = Layer.blank(EYES_EXTENT, scale)
        self._still = picture.copy()

    @property
    def mouth_region(self) -> Region:
        """(x, y, w, h) of the pixels in which the mouth moves, whatever the head does."""
        return _region(self._picture, self._matrix, MEASURE_EXTENT)

    def draw(self, frame: Frame, mouth: MouthShape, pose: Pose) -> None:
        """Draw the whole picture."""
        self._face.draw(self._still, mouth, pose)
        if mouth.open > 0.0:
            self._inside.pixels[:] = 0
            _paint_inside(self._inside, self._seam, self._edges.at(mouth), mouth)
            lay_over(self._still, self._inside, self._matrix, MOUTH_EXTENT)
        if pose.lids > 0.0:
            self._lashes.pixels[:] = 0
            for eye in self._eyes:
                _paint_lashes(self._lashes, eye, pose.lids)
            lay_over(self._still, self._lashes, self._matrix, EYES_EXTENT)
        self._head.draw(frame, self._still, pose)


class _Expressions:
    """The first warp: jaw, lips and lids, of the resting face."""

    def __init__(self, picture: Frame, landmarks: Landmarks, seam: Seam) -> None:
        self._picture = picture
        x, y, width, height = _region(picture, to_pixels(landmarks), FACE_EXTENT)
        self._area = (slice(y, y + height), slice(x, x + width))
        self._x, self._y = _grid(x, y, width, height)
        u, v = _upright(landmarks, self._x, self._y)
        down = landmarks.eye_distance / 100
        cosine, sine = math.cos(landmarks.tilt) * down, math.sin(landmarks.tilt) * down
        jaw = _jaw_field(u, v, seam)
        self._jaw_x, self._jaw_y = -sine * jaw, cosine * jaw
        lips = _lips_field(u, v, seam)
        self._lips_x, self._lips_y = cosine * lips, sine * lips
        # lids move straight down: blinks are short, and a head is hardly ever tilted far
        self._lids = [_Lid(u, v, eye, landmarks) for eye in _eyes(landmarks)]
        self._map_x, self._map_y = np.empty_like(self._x), np.empty_like(self._y)

    def draw(self, still: Frame, mouth: MouthShape, pose: Pose) -> None:
        """Put this moment's face into ``still``."""
        area = still[self._area]
        if mouth.open == 0.0 and mouth.wide == 0.0 and mouth.round == 0.0 and pose.lids == 0.0:
            area[:] = self._picture[self._area]
            return
        stretch = WIDEN * mouth.wide - NARROW * mouth.round
        np.copyto(self._map_x, self._x)
        np.copyto(self._map_y, self._y)
        for target, jaw, lips in (
            (self._map_x, self._jaw_x, self._lips_x),
            (self._map_y, self._jaw_y, self._lips_y),
        ):
            cv2.scaleAdd(jaw, -mouth.open, target, target)
            cv2.scaleAdd(lips, -stretch, target, target)
        for lid in self._lids:
            lid.close(self._map_y, pose.lids)
        cv2.remap(
            self._picture, self._map_x, self._map_y, cv2.INTER_LINEAR, area, cv2.BORDER_REPLICATE
        )


class _HeadMotion:
    """The second warp: the head sways, the shoulders breathe, the background stays."""

    def __init__(self, picture: Frame, landmarks: Landmarks) -> None:
        self._picture = picture
        self._unit = landmarks.eye_distance / 100
        height, width = picture.shape[:2]
        x, y, wide, tall = _region(picture, to_pixels(landmarks), (-330.0, -330.0, 330.0, 260.0))
        tall = height - y  # shoulders go down to the edge
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
        self._width = width

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


@dataclass(frozen=True, slots=True)
class _Patch:
    rows: slice
    columns: slice


class _Lid:
    """One upper lid: the skin between brow and lashes is drawn down over the eye."""

    def __init__(self, u: Field, v: Field, eye: tuple[float, float], landmarks: Landmarks) -> None:
        near = (np.abs(u - eye[0]) < EYE_HALF) & (np.abs(v - eye[1]) < 40)
        rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
        self._box = _Patch(_span(rows), _span(columns))
        across = (u[self._box.rows, self._box.columns] - eye[0]) / EYE_HALF
        self._v = v[self._box.rows, self._box.columns] - eye[1]
        arch = np.clip(1 - across * across, 0, 1)
        self._top, self._bottom = LID_TOP * np.sqrt(arch), LID_BOTTOM * arch
        self._unit = np.float32(landmarks.eye_distance / 100)

    def close(self, map_y: Field, lids: float) -> None:
        """Change the map so that the lid is ``lids`` of its way down."""
        if lids <= 0.0 or not self._v.size:
            return
        lash = self._top + (self._bottom - self._top) * np.float32(lids)
        covered = (self._v > BROW) & (self._v <= lash)
        shrink = (self._top - BROW) / np.maximum(lash - BROW, 1.0)
        shift = (self._v - BROW) * (shrink - 1)
        map_y[self._box.rows, self._box.columns] += np.where(covered, shift, 0) * self._unit


def _span(indices: NDArray[np.intp]) -> slice:
    return slice(int(indices[0]), int(indices[-1]) + 1) if len(indices) else slice(0, 0)


def _eyes(landmarks: Landmarks) -> list[tuple[float, float]]:
    to_upright = cv2.invertAffineTransform(to_pixels(landmarks))
    places = [to_upright @ (*eye, 1.0) for eye in (landmarks.left_eye, landmarks.right_eye)]
    # what is darkest in an eye is the pupil and the lashes above it: the middle is lower
    return [(float(x), float(y) + 4.0) for x, y in places]


def _jaw_field(u: Field, v: Field, seam: Seam) -> Field:
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


def _paint_inside(layer: Layer, seam: Seam, edges: tuple[Path2, Path2], mouth: MouthShape) -> None:
    upper, lower = edges
    gap = float((lower - upper)[:, 1].max())
    opening = np.concatenate((upper, lower[::-1]))
    depth = Gradient((0, float(upper[:, 1].min())), (0, float(lower[:, 1].max())), INSIDE, THROAT)
    layer.fill(opening, depth, min(1.0, gap / 2.0), blur=0.7)
    if gap < 4.0:
        return
    clip = layer.mask(opening)
    bottom = float(lower[:, 1].max())
    tongue = ellipse(0.0, bottom + 0.16 * gap, 0.6 * seam.half, 0.38 * gap)
    layer.fill(tongue, TONGUE, 0.75, blur=2.5, clip=clip)
    if not seam.teeth:
        height = min(9.0, 0.34 * gap) * (1 - np.abs(ACROSS) ** 4) * (1 - 0.7 * mouth.round)
        edge = upper + np.stack((-0.05 * seam.half * ACROSS, height), axis=1)
        layer.fill(np.concatenate((upper, edge[::-1])), TEETH, 0.9, blur=0.8, clip=clip)
    layer.fill(ribbon(moved(upper, 0, 1), (4, 4)), THROAT, 0.4, blur=1.4, clip=clip)
    layer.fill(ribbon(moved(lower, 0, -1), (3, 5, 3)), THROAT, 0.35, blur=1.6, clip=clip)


def _paint_lashes(layer: Layer, eye: tuple[float, float], lids: float) -> None:
    """Along the edge of the lid: the warp alone leaves a staircase there."""
    arch = 1 - ACROSS**2
    top, bottom = LID_TOP * np.sqrt(arch), LID_BOTTOM * arch
    lash = np.stack((EYE_HALF * ACROSS, top + (bottom - top) * lids), axis=1)[2:-2]
    line = ribbon(moved(lash, *eye), (0.6, 2.4, 2.8, 2.4, 0.6))
    layer.fill(line, LASH, 0.75 * lids, blur=0.5)


class _LipEdges:
    """Where the warp puts the two edges of the parted lips: what is between them is painted."""

    def __init__(self, seam: Seam) -> None:
        self._seam = seam
        self._columns = seam.half * ACROSS
        self._line = seam.at(ACROSS)
        self._rows = np.arange(0.0, DROP + 2.0, 0.25)[:, None] + self._line
        across = np.broadcast_to(self._columns, self._rows.shape).astype(np.float32)
        self._jaw = _jaw_field(across, self._rows.astype(np.float32), seam)

    def at(self, mouth: MouthShape) -> tuple[Path2, Path2]:
        """(lower edge of the upper lip, upper edge of the lower lip)."""
        # the lowest place that the warp would fill with what is above the seam
        above = self._rows - mouth.open * self._jaw <= self._line
        above[0] = True  # in the corners nothing moves, and rounding must not decide
        last = above.shape[0] - 1 - np.argmax(above[::-1], axis=0)
        lower = np.take_along_axis(self._rows, last[None], axis=0)[0] + EDGE_OVERLAP
        upper = self._line - mouth.open * LIFT * (1 - ACROSS**2) - EDGE_OVERLAP
        stretch = WIDEN * mouth.wide - NARROW * mouth.round
        columns = self._columns * (1 + stretch * np.exp(-((self._columns / 62) ** 2)))
        return np.stack((columns, upper), axis=1), np.stack((columns, lower), axis=1)


def _region(picture: Frame, matrix: Numbers, extent: tuple[float, float, float, float]) -> Region:
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

"""A portrait photo that speaks: the face is warped, the inside of the mouth is painted.

All lengths are in hundredths of the distance between the eyes; the origin is the mouth.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from inference.fit import place_photo
from inference.images import load_image
from inference.landmarks import Landmarks, check_landmarks, landmarks_for, several_faces
from inference.lips import Seam, find_seam, to_pixels
from inference.motion import Pose
from inference.mouth import MouthShape
from inference.paint import Colour, Gradient, Layer, Path2, ellipse, lay_over, moved, ribbon
from inference.presenter import Region
from inference.warp import (
    DROP,
    EYE_HALF,
    LID_BOTTOM,
    LID_TOP,
    LIFT,
    Expressions,
    HeadMotion,
    eye_places,
    jaw_field,
    lip_stretch,
    region,
)
from rawmedia import Frame, MediaFormat

EYES_EXTENT = (-110.0, -180.0, 110.0, -40.0)
MOUTH_EXTENT = (-58.0, -36.0, 58.0, 66.0)
# inside the face whatever the head does: no hair, no collar
MEASURE_EXTENT = (-48.0, -22.0, 48.0, 50.0)
EDGE_OVERLAP = 0.5  # no thread of skin shines through between paint and lip

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
    """A face whose still picture is ``picture``, as large as the stream's frames.

    ``notes``: what the user should know of it.
    """

    def __init__(self, picture: Frame, landmarks: Landmarks) -> None:
        self.notes = several_faces(landmarks.others + 1)
        self._picture = picture
        self._matrix = to_pixels(landmarks)
        self._seam = find_seam(picture, landmarks)
        self._face = Expressions(picture, landmarks, self._seam)
        self._head = HeadMotion(picture, landmarks)
        scale = min(4.0, max(0.25, 2 * landmarks.eye_distance / 100))
        self._edges = _LipEdges(self._seam)
        self._inside = Layer.blank(MOUTH_EXTENT, scale)
        self._eyes = eye_places(landmarks)
        self._lashes = Layer.blank(EYES_EXTENT, scale)
        self._still = picture.copy()

    @property
    def mouth_region(self) -> Region:
        """(x, y, w, h) of the pixels in which the mouth moves, whatever the head does."""
        return region(self._picture, self._matrix, MEASURE_EXTENT)

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
        self._jaw = jaw_field(across, self._rows.astype(np.float32), seam)

    def at(self, mouth: MouthShape) -> tuple[Path2, Path2]:
        """(lower edge of the upper lip, upper edge of the lower lip)."""
        # the lowest place that the warp would fill with what is above the seam
        above = self._rows - mouth.open * self._jaw <= self._line
        above[0] = True  # in the corners nothing moves, and rounding must not decide
        last = above.shape[0] - 1 - np.argmax(above[::-1], axis=0)
        lower = np.take_along_axis(self._rows, last[None], axis=0)[0] + EDGE_OVERLAP
        upper = self._line - mouth.open * LIFT * (1 - ACROSS**2) - EDGE_OVERLAP
        columns = self._columns * (1 + lip_stretch(mouth) * np.exp(-((self._columns / 62) ** 2)))
        return np.stack((columns, upper), axis=1), np.stack((columns, lower), axis=1)

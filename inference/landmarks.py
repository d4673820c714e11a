"""Where eyes and mouth are in a photo: told by the caller, or found with OpenCV's own cascades."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from cv2.typing import MatLike

from inference.errors import LandmarksRejected, NoFaceFound
from inference.files import regular_file
from rawmedia import Frame

Point = tuple[float, float]
Box = tuple[int, int, int, int]  # x, y, width, height

SEARCH_SIDE = 720  # pixels of the longer side: enough for a face, quick for a huge photo
MAX_FILE_BYTES = 4096
# (name, how many overlapping finds make a face)
FACE_CASCADES = (("haarcascade_frontalface_alt2", 3), ("haarcascade_frontalface_default", 5))
TRIED = ("haarcascade_frontalface_alt2", "haarcascade_frontalface_default", "a margin around")
# Wood, coins and coffee have "faces" too: one without eyes must be large, and found by both.
BLIND_SHARE = 0.2  # of the shorter side
BLIND_OVERLAP = 0.5
EYE_CASCADE = "haarcascade_eye"
# Proportions of a frontal face in the box of those cascades, and between its features.
EYES_IN_BOX = ((0.31, 0.39), (0.69, 0.39))
MOUTH_BELOW_EYES = 1.08  # in distances between the eyes
MIN_EYE_DISTANCE = 12.0


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Three points in pixels of the photo; left and right as in the picture."""

    left_eye: Point
    right_eye: Point
    mouth: Point
    others: int = 0  # faces beside this one in the photo, all smaller

    @property
    def eye_distance(self) -> float:
        """The measure of everything in a face."""
        return math.dist(self.left_eye, self.right_eye)

    @property
    def tilt(self) -> float:
        """Angle of the eye line in radians; 0 is level."""
        (x0, y0), (x1, y1) = self.left_eye, self.right_eye
        return math.atan2(y1 - y0, x1 - x0)

    def placed(self, scale: float, x: float, y: float) -> Landmarks:
        """The same points in a picture that was scaled and moved."""
        eye0, eye1, mouth = (
            (p[0] * scale + x, p[1] * scale + y)
            for p in (self.left_eye, self.right_eye, self.mouth)
        )
        return Landmarks(eye0, eye1, mouth, self.others)


def landmarks_for(path: Path, photo: Frame) -> Landmarks:
    """From ``<photo>.landmarks.json`` if there is one, else found in the picture.

    Raises:
        LandmarksRejected: the file does not describe a face in this picture.
        NoFaceFound: the message names what was tried.
    """
    told = path.with_name(path.name + ".landmarks.json")
    height, width = photo.shape[:2]
    if told.exists():
        return check_landmarks(told, _read(told), (width, height))
    found = find_landmarks(photo)
    if found is None:
        raise NoFaceFound(path, (width, height), TRIED)
    return found


def check_landmarks(path: Path, found: Landmarks, size: tuple[int, int]) -> Landmarks:
    """The same landmarks, if they can be those of a face.

    Raises:
        LandmarksRejected: a point outside of the picture, or no upright face.
    """
    for name in ("left_eye", "right_eye", "mouth"):
        x, y = getattr(found, name)
        if not (0 <= x < size[0] and 0 <= y < size[1]):
            problem = f"{name} is ({x:g}, {y:g}), the picture has {size[0]}x{size[1]} pixels"
            raise LandmarksRejected(path, problem, "give pixels of the upright picture")
    eyes_y = (found.left_eye[1] + found.right_eye[1]) / 2
    level = abs(found.tilt) < math.radians(35)
    if found.eye_distance < MIN_EYE_DISTANCE or not level or found.mouth[1] <= eyes_y:
        problem = (
            f"these points are no upright face of {MIN_EYE_DISTANCE:g} pixels between the eyes"
        )
        raise LandmarksRejected(path, problem, "left_eye is left in the picture, mouth is below")
    return found


def _read(path: Path) -> Landmarks:
    with regular_file(path, LandmarksRejected) as fd, open(fd, "rb", closefd=False) as file:
        data = file.read(MAX_FILE_BYTES)
    try:
        table = json.loads(data)
        points = {name: _point(table[name]) for name in ("left_eye", "right_eye", "mouth")}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        wanted = '{"left_eye": [x, y], "right_eye": [x, y], "mouth": [x, y]}'
        raise LandmarksRejected(path, "is not what was expected", f"write {wanted}") from error
    return Landmarks(points["left_eye"], points["right_eye"], points["mouth"])


def _point(value: object) -> Point:
    if not isinstance(value, list) or len(value) != 2:
        raise TypeError("a point is a list of two numbers")
    return float(value[0]), float(value[1])


def find_landmarks(photo: Frame) -> Landmarks | None:
    """The largest face of a photo, or None."""
    shrink = min(1.0, SEARCH_SIDE / max(photo.shape[:2]))
    small = cv2.resize(photo, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    for picture, margin in _variants(grey):
        boxes = _find_faces(picture)
        if boxes:
            in_box = replace(_features(picture, boxes[0]), others=len(boxes) - 1)
            return in_box.placed(1 / shrink, -margin / shrink, -margin / shrink)
    return None


def several_faces(count: int) -> tuple[str, ...]:
    """What to tell of a picture with so many faces."""
    return (f"{count} faces in the picture: the largest is used",) if count > 1 else ()


def _variants(grey: MatLike) -> Iterator[tuple[MatLike, int]]:
    """The picture, then the picture with a margin: a face cropped tightly is found only so."""
    yield grey, 0
    margin = max(grey.shape) // 4
    around = (margin, margin, margin, margin)
    yield cv2.copyMakeBorder(grey, *around, cv2.BORDER_REPLICATE), margin


def _cascade(name: str) -> cv2.CascadeClassifier:
    files = Path(cv2.__file__).parent / "data"  # shipped in the wheels of OpenCV 4
    return cv2.CascadeClassifier(str(files / f"{name}.xml"))


def _find_faces(grey: MatLike) -> list[Box]:
    """The finds that have eyes, the largest first; without any, those that are beyond doubt."""
    even = cv2.equalizeHist(grey)
    smallest = max(24, min(grey.shape) // 12)
    finds: list[list[Box]] = []
    for name, neighbours in FACE_CASCADES:
        found = _cascade(name).detectMultiScale(
            even, 1.08, neighbours, minSize=(smallest, smallest)
        )
        finds.append([(int(x), int(y), int(w), int(h)) for x, y, w, h in found])
    seeing = [box for box in (*finds[0], *finds[1]) if _find_eyes(grey, box)]
    large = BLIND_SHARE * min(grey.shape)
    sure = [
        box
        for box in finds[0]
        if box[2] >= large and any(_overlap(box, other) > BLIND_OVERLAP for other in finds[1])
    ]
    faces: list[Box] = []
    for box in sorted(seeing or sure, key=lambda box: -box[2]):
        if not any(_holds(face, box) for face in faces):
            faces.append(box)
    return faces


def _holds(face: Box, box: Box) -> bool:
    """Whether a box's middle lies in a face: it was found twice, or is a part of it."""
    across, down = (box[i] + box[i + 2] / 2 - face[i] for i in (0, 1))
    return 0 <= across < face[2] and 0 <= down < face[3]


def _overlap(a: Box, b: Box) -> float:
    """Common area over all area."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    tall = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(0, wide) * max(0, tall)
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def _features(grey: MatLike, box: Box) -> Landmarks:
    left, right = _find_eyes(grey, box) or _eyes_by_proportion(box)
    # the mouth lies on the perpendicular of the eye line
    across = np.array((right[0] - left[0], right[1] - left[1]))
    middle = np.array((left[0] + right[0], left[1] + right[1])) / 2
    mouth = middle + MOUTH_BELOW_EYES * np.array((-across[1], across[0]))
    return Landmarks(left, right, (float(mouth[0]), float(mouth[1])))


def _eyes_by_proportion(box: Box) -> tuple[Point, Point]:
    x, y, width, height = box
    (x0, y0), (x1, y1) = EYES_IN_BOX
    return (x + x0 * width, y + y0 * height), (x + x1 * width, y + y1 * height)


def _find_eyes(grey: MatLike, box: Box) -> tuple[Point, Point] | None:
    """The pair of finds nearest to where a face of this size has its eyes."""
    x, y, width, height = box
    top, bottom = max(0, y), y + round(0.6 * height)
    area = grey[top:bottom, max(0, x) : x + width]
    smallest = max(8, width // 7)
    finds = _cascade(EYE_CASCADE).detectMultiScale(area, 1.05, 4, minSize=(smallest, smallest))
    centres = [(max(0, x) + a + w / 2, top + b + h / 2) for a, b, w, h in finds]
    pair = []
    for expected in _eyes_by_proportion(box):
        near = [c for c in centres if math.dist(c, expected) < 0.14 * width]
        if not near:
            return None
        pair.append(_pupil(grey, min(near, key=lambda c: math.dist(c, expected)), width))
    return pair[0], pair[1]


def _pupil(grey: MatLike, near: Point, face_width: int) -> Point:
    """The darkest place around: brows are too far away to win."""
    reach = max(2, round(0.055 * face_width))
    x0, y0 = max(0, round(near[0]) - reach), max(0, round(near[1]) - reach // 2)
    area = grey[y0 : round(near[1]) + reach + 1, x0 : round(near[0]) + reach + 1]
    soft = cv2.GaussianBlur(area, (0, 0), max(1.0, 0.02 * face_width))
    _low, _high, (x, y), _at = cv2.minMaxLoc(soft)
    return float(x0 + x), float(y0 + y)

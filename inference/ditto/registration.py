"""Getting to know a face: from a photo or the pictures of a video to an :class:`Avatar`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from inference.ditto import insight
from inference.ditto.avatar import Avatar, View, smoothed
from inference.ditto.crop import (
    LANDMARK_CROP,
    CropShape,
    Seed,
    crop_matrix,
    cut,
    inverse,
    mapped,
    seed_of_203,
    share_inside,
)
from inference.ditto.detect import (
    Found,
    MeshWindow,
    blaze_input,
    faces,
    seed_of_mesh,
    seed_of_places,
)
from inference.ditto.eyes import eye_attributes
from inference.ditto.layout import Floats
from inference.ditto.networks import Networks, halved
from inference.ditto.paste import FACE_SIDE
from inference.errors import ImageRejected, NoFaceFound
from inference.landmarks import find_landmarks, several_faces
from rawmedia import Frame

# A crop that shows less of the picture than this has black where the head should go on.
LEAST_INSIDE = 0.85
_TRIED = ("BlazeFace", "FaceMesh", "OpenCV's cascades")


@dataclass(frozen=True, slots=True)
class Look:
    """How a face is looked at; the values are those of the published configurations."""

    max_size: int = 1920  # pixels of the longer side; 0: any
    crop_scale: float = 2.3
    crop_up: float = -0.125
    crop_rotated: bool = True
    smoothing: int = 13  # frames, of a video

    @property
    def crop(self) -> CropShape:
        """The crop that the networks see."""
        return CropShape(FACE_SIDE, self.crop_scale, self.crop_up, self.crop_rotated)


def fitted(picture: Frame, max_size: int) -> Frame:
    """With even sides, the longer one ``max_size`` at most; resized, never cut."""
    height, width = picture.shape[:2]
    longer = max(height, width)
    if 0 < max_size < longer:
        width, height = (max(2, round(side * max_size / longer)) for side in (width, height))
    size = (max(2, width // 2 * 2), max(2, height // 2 * 2))
    if size == (picture.shape[1], picture.shape[0]):
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def register(
    path: Path, pictures: Sequence[Frame] | Iterator[Frame], networks: Networks, look: Look
) -> Avatar:
    """Look at BGR pictures of one size, already :func:`fitted`, in their order.

    Raises:
        NoFaceFound: there is none in the first.
        ImageRejected: no pictures, or the face is lost in one of them.
    """
    views: list[View] = []
    notes: tuple[str, ...] = ()
    size = (0, 0)
    for picture in pictures:
        rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        if views:
            seed = seed_of_203(views[-1].points)
        else:
            seed, notes = find_seed(path, np.asarray(rgb, np.uint8), networks)
            size = (picture.shape[1], picture.shape[0])
        views.append(_view(path, np.asarray(rgb, np.uint8), seed, networks, look))
    if not views:
        raise ImageRejected(path, "it has no pictures", "give a photo or a video with a face")
    inside = share_inside(views[0].matrix, FACE_SIDE, size)
    if inside < LEAST_INSIDE:
        edge = f"{1 - inside:.0%} of the square around the face lies outside of the picture"
        notes = (*notes, f"{edge}: that part is black when the head moves")
    calm = smoothed(tuple(views), look.smoothing)
    return Avatar(calm, size, views[0].face.kp, notes)


def find_seed(path: Path, rgb: Frame, networks: Networks) -> tuple[Seed, tuple[str, ...]]:
    """Where the face of a picture is, and what to tell of it.

    Where InsightFace's networks were loaded they are asked, else BlazeFace and FaceMesh.

    Raises:
        NoFaceFound: nothing in it looks like one.
    """
    if networks.has_insightface:
        return _seed_by_insightface(path, rgb, networks)
    square, side = _squared(rgb)
    found = sorted(faces(*networks.blaze_face(blaze_input(square))), key=lambda face: -face.area)
    for face in found:
        window = MeshWindow.around(face, (side, side))
        points, sure = networks.face_mesh(window.input(square))
        if sure >= 0:  # a logit
            return seed_of_mesh(window.points(points)), _others(face, found)
    places = find_landmarks(np.ascontiguousarray(rgb[..., ::-1]))
    if places is None:
        raise NoFaceFound(path, (rgb.shape[1], rgb.shape[0]), _TRIED)
    three = (places.left_eye, places.right_eye, places.mouth)
    seed = seed_of_places(*(np.array(place, np.float32) for place in three))
    return seed, several_faces(places.others + 1)


def _seed_by_insightface(
    path: Path, rgb: Frame, networks: Networks
) -> tuple[Seed, tuple[str, ...]]:
    picture, scale = insight.detector_input(rgb)
    boxes = insight.boxes(networks.insightface_det(picture), scale)
    if not len(boxes):
        raise NoFaceFound(path, (rgb.shape[1], rgb.shape[0]), ("InsightFace",))
    crop, into = insight.landmark_crop(rgb, boxes[0])
    return insight.seed_of_106(networks.landmark106(crop), into), several_faces(len(boxes))


def _others(chosen: Found, found: Sequence[Found]) -> tuple[str, ...]:
    """What to tell of faces beside the one that is used; what lies within it is part of it."""
    others = sum(not chosen.holds(face) for face in found)
    return several_faces(others + 1)


def _squared(rgb: Frame) -> tuple[Frame, int]:
    """With black below or on the right: stretched faces are found less often."""
    side = max(rgb.shape[:2])
    below, beside = side - rgb.shape[0], side - rgb.shape[1]
    square = cv2.copyMakeBorder(rgb, 0, below, 0, beside, cv2.BORDER_CONSTANT)
    return np.asarray(square, np.uint8), side


def _view(path: Path, rgb: Frame, seed: Seed, networks: Networks, look: Look) -> View:
    points = _landmarks(rgb, seed, networks)
    if not np.isfinite(points).all() or float(np.ptp(points, axis=0).min()) < 1:
        raise ImageRejected(path, "the face is lost in it", "give one that shows it throughout")
    into = crop_matrix(seed_of_203(points), look.crop)
    crop = cut(rgb, into, FACE_SIDE)
    eye_open, eye_ball = eye_attributes(_mesh_of_crop(crop, networks))
    small = halved(crop)
    features = networks.appearance(small)
    return View(networks.motion(small), features, inverse(into), eye_open, eye_ball, points)


def _landmarks(rgb: Frame, seed: Seed, networks: Networks) -> Floats:
    into = crop_matrix(seed, LANDMARK_CROP)
    side = LANDMARK_CROP.side
    return mapped(networks.landmark203(cut(rgb, into, side)) * side, inverse(into))


def _mesh_of_crop(crop: Frame, networks: Networks) -> Floats:
    """478x3 shares of a 512 crop; a face that BlazeFace does not see is where it usually is."""
    found = faces(*networks.blaze_face(blaze_input(crop)))
    face = found[0] if found else _usual_face()
    window = MeshWindow.around(face, (FACE_SIDE, FACE_SIDE))
    points, _sure = networks.face_mesh(window.input(crop))
    return window.points(points) / np.float32(FACE_SIDE)


def _usual_face() -> Found:
    """In a crop of 2.3 times the landmarks' extent, moved up by an eighth."""
    side = 1 / 2.3
    middle = np.array((0.5, 0.5 + 0.125), np.float32)
    box = np.concatenate((middle - side / 2, middle + side / 2))
    points = np.tile(middle, (6, 1))
    points[:2] += np.array(((-0.2, -0.15), (0.2, -0.15)), np.float32) * side
    return Found(0.0, box.astype(np.float32), points)

"""Finding a face: the arithmetic around the two MediaPipe networks, BlazeFace and FaceMesh."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from inference.ditto.crop import Seed
from inference.ditto.layout import Floats
from rawmedia import Frame

BLAZE_SIDE, MESH_SIDE = 128, 256
SCORE, OVERLAP = 0.5, 0.3
_MESH_GROWTH = 1.5  # of the face box, for the mesh

# Points of the mesh: corners of each eye, of the mouth, and the upper edge of the brows.
_EYE_CORNERS, _MOUTH_CORNERS = (33, 133, 263, 362), (61, 291)
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)


@dataclass(frozen=True, slots=True)
class Found:
    """A face that BlazeFace found; shares of the picture that it was given."""

    score: float
    box: Floats  # (4,): x0, y0, x1, y1
    points: Floats  # 6x2: both eyes first

    @property
    def area(self) -> float:
        """Share of the picture."""
        x0, y0, x1, y1 = self.box.tolist()
        return float((x1 - x0) * (y1 - y0))

    def holds(self, other: Found) -> bool:
        """Whether the middle of another one lies in it."""
        x, y = ((other.box[:2] + other.box[2:]) / 2).tolist()
        x0, y0, x1, y1 = self.box.tolist()
        return bool(x0 <= x <= x1 and y0 <= y <= y1)


def anchors() -> Floats:
    """896x2 centres of the anchors: two for each of 16x16 cells, then six for each of 8x8."""
    rows = [_cells(16, 2), _cells(8, 6)]
    return np.concatenate(rows).astype(np.float32)


def _cells(count: int, each: int) -> Floats:
    middles = (np.arange(count) + 0.5) / count
    x, y = np.meshgrid(middles, middles)
    return np.repeat(np.stack((x.reshape(-1), y.reshape(-1)), axis=1), each, axis=0).astype(
        np.float32
    )


_ANCHORS = anchors()


def blaze_input(picture: Frame) -> Floats:
    """(1,128,128,3) of an RGB picture, stretched to a square as the network wants it."""
    small = cv2.resize(picture, (BLAZE_SIDE, BLAZE_SIDE), interpolation=cv2.INTER_LINEAR)
    return (small.astype(np.float32) / 127.5 - 1)[None]


def faces(regressors: Floats, scores: Floats) -> list[Found]:
    """All faces in the outputs of BlazeFace, the surest first."""
    logits = np.clip(scores.reshape(-1).astype(np.float64), -50, 100)
    sure = 1 / (1 + np.exp(-logits))
    chosen = np.flatnonzero(sure >= SCORE)
    if not len(chosen):
        return []
    values = regressors.reshape(-1, 16)[chosen] / np.float32(BLAZE_SIDE)
    centres = values[:, :2] + _ANCHORS[chosen]
    half = values[:, 2:4] / 2
    points = values[:, 4:].reshape(-1, 6, 2) + _ANCHORS[chosen][:, None]
    corners = np.concatenate((centres - half, centres + half), axis=1)
    rows = np.concatenate((corners, points.reshape(-1, 12)), axis=1)
    return _merged(rows.astype(np.float32), sure[chosen].astype(np.float32))


def _merged(rows: Floats, sure: Floats) -> list[Found]:
    """Weighted suppression: what overlaps becomes one face, each counting by its score."""
    found, left = [], np.argsort(-sure, kind="stable")
    while len(left):
        best = left[0]
        same = _overlaps(rows[best, :4], rows[left, :4]) > OVERLAP
        same[0] = True
        group = left[same]
        weight = sure[group][:, None]
        mean = ((rows[group] * weight).sum(axis=0) / weight.sum()).astype(np.float32)
        found.append(Found(float(sure[best]), mean[:4], mean[4:].reshape(6, 2)))
        left = left[~same]
    return found


def _overlaps(box: Floats, boxes: Floats) -> Floats:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    areas = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
    own = float(np.clip(box[2:] - box[:2], 0, None).prod())
    shares: Floats = common / np.maximum(areas + own - common, 1e-12)
    return shares


@dataclass(frozen=True, slots=True)
class MeshWindow:
    """The turned square of a picture that FaceMesh looks at; pixels and radians."""

    centre: tuple[float, float]
    side: float
    angle: float

    @classmethod
    def around(cls, face: Found, size: tuple[int, int]) -> MeshWindow:
        """The window for a face in a picture of ``size`` (w, h)."""
        width, height = size
        x0, y0, x1, y1 = (face.box * (width, height, width, height)).tolist()
        (ax, ay), (bx, by) = (face.points[:2] * (width, height)).tolist()
        angle = -math.atan2(ay - by, bx - ax)
        angle -= 2 * math.pi * math.floor((angle + math.pi) / (2 * math.pi))
        side = _MESH_GROWTH * max(x1 - x0, y1 - y0)
        return cls(((x0 + x1) / 2, (y0 + y1) / 2), side, angle)

    def input(self, picture: Frame) -> Floats:
        """(1,256,256,3) of an RGB picture."""
        cosine, sine = (f(self.angle) * self.side / 2 for f in (math.cos, math.sin))
        x, y = self.centre
        corners = [
            (x - cosine + sine, y - sine - cosine),
            (x + cosine + sine, y + sine - cosine),
            (x + cosine - sine, y + sine + cosine),
        ]
        last = float(MESH_SIDE)
        into = np.array(((0, 0), (last, 0), (last, last)), np.float32)
        matrix = cv2.getAffineTransform(np.array(corners, np.float32), into)
        cut = cv2.warpAffine(picture, matrix, (MESH_SIDE, MESH_SIDE))
        return (np.asarray(cut, np.float32) / np.float32(255))[None]

    def points(self, output: Floats) -> Floats:
        """478x3 pixels of the picture (z in the same measure), of the network's first output."""
        raw = output.reshape(478, 3).astype(np.float32) / MESH_SIDE
        centred = raw[:, :2] - 0.5
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        turned = centred @ np.array(((cosine, sine), (-sine, cosine)), np.float32)
        xy = turned * self.side + np.array(self.centre, np.float32)
        return np.concatenate((xy, raw[:, 2:] * self.side), axis=1).astype(np.float32)


def seed_of_mesh(points: Floats) -> Seed:
    """A seed like that of 106 landmarks: from the brows down, for the forehead is none of them."""
    flat = points[:, :2]
    eyes = flat[list(_EYE_CORNERS)].mean(axis=0)
    lips = flat[list(_MOUTH_CORNERS)].mean(axis=0)
    down = lips - eyes
    depth = flat @ down
    below = flat[depth >= depth[list(_BROWS)].min()]
    return Seed(below.astype(np.float32), eyes.astype(np.float32), lips.astype(np.float32))


def seed_of_places(left_eye: Floats, right_eye: Floats, mouth: Floats) -> Seed:
    """A seed from three known points, with a face of usual proportions around them.

    In distances between the eyes: brows 0.45 above them, the chin 1.9 below, twice as wide. Rough
    is enough: the landmark network that is seeded by it looks at half as much again.
    """
    across = np.asarray(right_eye, np.float32) - left_eye
    eyes: Floats = (np.asarray(left_eye, np.float32) + right_eye) / np.float32(2)
    down = np.array((-across[1], across[0]), np.float32)
    places = ((-1.05, -0.45), (1.05, -0.45), (-1.05, 0.9), (1.05, 0.9), (0.0, 1.9))
    points = np.stack([eyes + x * across + y * down for x, y in places])
    return Seed(points.astype(np.float32), eyes, np.asarray(mouth, np.float32))

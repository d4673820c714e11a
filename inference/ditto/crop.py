"""The upright square around a face: the same crop seeds the landmarks and feeds the networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from inference.ditto.layout import Floats
from rawmedia import Frame

# Points of the 203-landmark set: the middles of the eyes, and of the lips.
_EYES_203 = ((0, 6, 12, 18), (24, 30, 36, 42))
_LIPS_203 = (48, 66)
_NO_LENGTH = 1e-3


@dataclass(frozen=True, slots=True)
class Seed:
    """What a crop is made from: points that it must hold, and which way is up."""

    points: Floats  # Nx2 pixels
    eyes: Floats  # (2,): between them
    lips: Floats  # (2,)


@dataclass(frozen=True, slots=True)
class CropShape:
    """How large a crop is around its seed."""

    side: int  # pixels
    scale: float  # of the points' larger extent
    up: float  # share of the side by which it is moved down (below zero: up)
    rotated: bool = True


# Around the seed points, for the landmark network.
LANDMARK_CROP = CropShape(224, 1.5, -0.1)


def seed_of_203(points: Floats) -> Seed:
    """The seed that 203 landmarks are."""
    eyes = [points[list(each)].mean(axis=0) for each in _EYES_203]
    lips = points[list(_LIPS_203)].mean(axis=0)
    return Seed(points, np.mean(eyes, axis=0, dtype=np.float32), lips)


def crop_matrix(seed: Seed, shape: CropShape) -> Floats:
    """3x3 float32 from pixels of the picture to pixels of the crop.

    One that is not rotated lies where the rotated one does and is as large: only the turn is left
    out (DITTO_FACTS section 6.3).
    """
    ux, uy = _axes(seed)
    middle = seed.points.mean(axis=0)
    along = (seed.points - middle) @ np.stack((ux, uy), axis=1)
    low, high = along.min(axis=0), along.max(axis=0)
    side = shape.scale * float((high - low).max())
    x, y = (low + high) / 2
    centre = middle + ux * x + uy * (y + shape.up * side)
    k, half = shape.side / side, shape.side / 2
    # the turn by the angle of ux, whose cosine and sine are its own coordinates
    cosine, sine = (ux[0], ux[1]) if shape.rotated else (1.0, 0.0)
    turn = k * np.array(((cosine, sine), (-sine, cosine)))
    matrix = np.eye(3)
    matrix[:2, :2] = turn
    matrix[:2, 2] = half - turn @ centre
    return matrix.astype(np.float32)


def inverse(matrix: Floats) -> Floats:
    """3x3 float32, the way back."""
    return np.linalg.inv(matrix).astype(np.float32)


def cut(picture: Frame, matrix: Floats, side: int) -> Frame:
    """A crop; what lies beyond the picture is black."""
    return np.asarray(
        cv2.warpAffine(picture, matrix[:2].astype(np.float64), (side, side)), np.uint8
    )


def mapped(points: Floats, matrix: Floats) -> Floats:
    """Nx2 points through a 3x3."""
    moved: Floats = (points @ matrix[:2, :2].T + matrix[:2, 2]).astype(np.float32)
    return moved


def share_inside(matrix: Floats, side: int, size: tuple[int, int]) -> float:
    """How much of a crop shows the picture; ``matrix`` leads from it, ``size`` is (w, h)."""
    corners = np.array(((0, 0), (side, 0), (side, side), (0, side)), np.float32)
    square = mapped(corners, matrix)
    width, height = size
    frame = np.array(((0, 0), (width, 0), (width, height), (0, height)), np.float32)
    common, _polygon = cv2.intersectConvexConvex(square, frame)
    return common / max(cv2.contourArea(square), 1e-6)


def _axes(seed: Seed) -> tuple[Sequence[float], Sequence[float]]:
    down = np.asarray(seed.lips - seed.eyes, np.float64)
    length = math.hypot(*down)
    uy = down / length if length > _NO_LENGTH else np.array((0.0, 1.0))
    return np.array((uy[1], -uy[0])), uy  # type: ignore[return-value]

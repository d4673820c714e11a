"""Where the parts of a face are: the same simple face in every network's numbering of points.

Coordinates are u to the right and v down; the face is the ellipse of half-axes 0.42 and 0.5.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

HALF_WIDTH, HALF_HEIGHT = 0.42, 0.5
EYE_U, EYE_V, EYE_HALF, LID = 0.18, -0.12, 0.075, 0.02
MOUTH_V, MOUTH_HALF = 0.24, 0.13
_GOLDEN = math.pi * (3 - math.sqrt(5))  # turns of a sunflower: an even scatter

Places = dict[int, tuple[float, float]]


def mesh_points() -> Points:
    """478 points (u, v, depth) in the numbering of MediaPipe's face mesh."""
    places: Places = {
        **_eye(-EYE_U, outer=33, inner=133, upper=(159, 160, 158), lower=(145, 144, 153)),
        **_eye(EYE_U, outer=263, inner=362, upper=(386, 387, 385), lower=(374, 373, 380)),
        **_ring(-EYE_U, first=468),
        **_ring(EYE_U, first=473),
        61: (-MOUTH_HALF, MOUTH_V),
        291: (MOUTH_HALF, MOUTH_V),
        78: (-0.9 * MOUTH_HALF, MOUTH_V),
        308: (0.9 * MOUTH_HALF, MOUTH_V),
        0: (0.0, MOUTH_V - 0.04),
        13: (0.0, MOUTH_V - 0.005),
        14: (0.0, MOUTH_V + 0.005),
        17: (0.0, MOUTH_V + 0.05),
        1: (0.0, 0.08),
        4: (0.0, 0.06),
        6: (0.0, EYE_V),
        168: (0.0, EYE_V - 0.03),
        10: (0.0, -HALF_HEIGHT),
        152: (0.0, HALF_HEIGHT),
        234: (-HALF_WIDTH, 0.0),
        454: (HALF_WIDTH, 0.0),
    }
    flat = _scatter(478, places)
    away = (flat[:, 0] / HALF_WIDTH) ** 2 + (flat[:, 1] / HALF_HEIGHT) ** 2
    return np.column_stack([flat, -0.2 * (1 - away)])  # the nose is nearest: smallest depth


def points_203() -> Points:
    """203 points (u, v) in the numbering that the crop is made from."""
    return _scatter(203, _corners((0, 6, 12, 18), (24, 30, 36, 42), (48, 66)))


def points_106() -> Points:
    """106 points (u, v) in InsightFace's numbering."""
    return _scatter(106, _corners((33, 35, 39, 40), (87, 89, 93, 94), (52, 61)))


def key_points() -> Points:
    """The 21 points (u, v, depth) that move the picture: lips, eyes, and the head's outline."""
    places: Places = {
        6: (-MOUTH_HALF, MOUTH_V),
        12: (MOUTH_HALF, MOUTH_V),
        14: (0.0, MOUTH_V - 0.04),
        17: (-0.06, MOUTH_V + 0.04),
        19: (0.0, MOUTH_V + 0.05),
        20: (0.06, MOUTH_V + 0.04),
        11: (-EYE_U, EYE_V),
        13: (-EYE_U, EYE_V - 0.05),
        15: (EYE_U, EYE_V),
        16: (EYE_U, EYE_V - 0.05),
        18: (0.0, EYE_V - 0.06),
    }
    flat = _scatter(21, places)
    return np.column_stack([flat, 0.1 * (1 - np.abs(flat[:, 0]) / HALF_WIDTH)])


def _eye(
    u: float, *, outer: int, inner: int, upper: tuple[int, ...], lower: tuple[int, ...]
) -> Places:
    side = math.copysign(EYE_HALF, u)
    places: Places = {outer: (u + side, EYE_V), inner: (u - side, EYE_V)}
    for index, offset in zip(upper, (0.0, 0.4, -0.4), strict=True):
        places[index] = (u + offset * side, EYE_V - LID)
    for index, offset in zip(lower, (0.0, 0.4, -0.4), strict=True):
        places[index] = (u + offset * side, EYE_V + LID)
    return places


def _ring(u: float, first: int) -> Places:
    """An iris: its centre, then right, top, left, bottom."""
    around = ((0, 0), (1, 0), (0, -1), (-1, 0), (0, 1))
    return {first + i: (u + LID * a, EYE_V + LID * b) for i, (a, b) in enumerate(around)}


def _corners(left: tuple[int, ...], right: tuple[int, ...], lips: tuple[int, int]) -> Places:
    around = ((-1, 0), (0, -0.3), (1, 0), (0, 0.3))
    places: Places = {
        index: (u + EYE_HALF * a, EYE_V + EYE_HALF * b)
        for u, indices in ((-EYE_U, left), (EYE_U, right))
        for index, (a, b) in zip(indices, around, strict=True)
    }
    return places | {lips[0]: (-MOUTH_HALF, MOUTH_V), lips[1]: (MOUTH_HALF, MOUTH_V)}


def _scatter(count: int, places: Places) -> Points:
    """The points with a place of their own, the others evenly over the face."""
    index = np.arange(count)
    radius, turn = np.sqrt((index + 0.5) / count), index * _GOLDEN
    points = np.column_stack(
        [HALF_WIDTH * radius * np.cos(turn), HALF_HEIGHT * radius * np.sin(turn)]
    )
    for i, place in places.items():
        points[i] = place
    return points

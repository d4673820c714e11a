"""How open eyes are and where they look, from the 478 points of the face mesh."""

from __future__ import annotations

import numpy as np

from inference.ditto.layout import Floats

# (both ends of its width, pairs that its height is measured between, iris), left eye first.
_LEFT = ((33, 133), ((145, 159), (144, 160), (153, 158)), 468)
_RIGHT = ((263, 362), ((374, 386), (373, 387), (380, 385)), 473)


def eye_attributes(points: Floats) -> tuple[Floats, Floats]:
    """``eye_open`` (2,) and ``eye_ball`` (6,), of 478x3 points in shares of the crop."""
    opened = [_opening(points, *eye[:2]) for eye in (_LEFT, _RIGHT)]
    balls = [_ball(points, eye[0], eye[2]) for eye in (_LEFT, _RIGHT)]
    # x of both eyes, then y, then z
    return np.array(opened, np.float32), np.stack(balls, axis=1).reshape(-1).astype(np.float32)


def _opening(points: Floats, width: tuple[int, int], heights: tuple[tuple[int, int], ...]) -> float:
    tall = sum(float(np.linalg.norm(points[a] - points[b])) for a, b in heights)
    return tall / (float(np.linalg.norm(points[width[0]] - points[width[1]])) + 1e-8)


def _ball(points: Floats, width: tuple[int, int], iris: int) -> Floats:
    outer, inner = points[width[0]], points[width[1]]
    gaze = points[iris] - (outer + inner) / 2
    distance = float(np.linalg.norm(gaze))
    along = _unit(outer - inner)
    ball: Floats = (_unit(gaze) - along) * distance
    return ball


def _unit(vector: Floats) -> Floats:
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length > 0 else np.zeros_like(vector)

"""The arithmetic around InsightFace's detector and its 106 landmarks: only where the user asks.

Their weights may be used for research only. Both networks are given the channels the other way
round, as the model's own tools feed them.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from inference.ditto.crop import Seed, inverse, mapped
from inference.ditto.layout import Floats
from rawmedia import Frame

DETECTOR_SIDE, LANDMARK_SIDE = 512, 192
NAMES = ("insightface_det", "landmark106")
SCORE, OVERLAP = 0.5, 0.4
_STRIDES = (8, 16, 32)
_ANCHORS_EACH = 2
_AROUND_BOX = 1.5
# Of the 106: points around each eye, and the middles of both lips.
_EYES, _LIPS = ((33, 35, 39, 40), (87, 89, 93, 94)), (52, 61)


def detector_input(rgb: Frame) -> tuple[Floats, float]:
    """(1,3,512,512) of a picture in the upper left corner, and how much smaller it is."""
    height, width = rgb.shape[:2]
    if height > width:
        size = (int(DETECTOR_SIDE * width / height), DETECTOR_SIDE)
    else:
        size = (DETECTOR_SIDE, int(DETECTOR_SIDE * height / width))
    canvas = np.zeros((DETECTOR_SIDE, DETECTOR_SIDE, 3), np.uint8)
    canvas[: size[1], : size[0]] = cv2.resize(rgb, size)
    planes = ((canvas[..., ::-1].astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)
    return np.ascontiguousarray(planes[None]), size[1] / height


def boxes(said: Mapping[str, Floats], scale: float) -> Floats:
    """Nx4 boxes in pixels of the picture, the largest first."""
    found = [_of_stride(said, number, stride) for number, stride in enumerate(_STRIDES, start=1)]
    rows = (np.concatenate([rows for rows, _scores in found]) / scale).astype(np.float32)
    kept = _apart(rows, np.concatenate([scores for _rows, scores in found]))
    areas = (kept[:, 2] - kept[:, 0]) * (kept[:, 3] - kept[:, 1])
    return kept[np.argsort(-areas, kind="stable")]


def _of_stride(said: Mapping[str, Floats], number: int, stride: int) -> tuple[Floats, Floats]:
    cells = DETECTOR_SIDE // stride
    y, x = np.mgrid[:cells, :cells].astype(np.float32) * stride
    centres = np.repeat(np.stack((x, y), axis=-1).reshape(-1, 2), _ANCHORS_EACH, axis=0)
    scores = said[f"scores{number}"].reshape(-1)
    sides = said[f"boxes{number}"].reshape(-1, 4) * np.float32(stride)
    sure = scores >= SCORE
    rows = np.concatenate((centres - sides[:, :2], centres + sides[:, 2:]), axis=1)
    return rows[sure], scores[sure]


def _apart(rows: Floats, scores: Floats) -> Floats:
    """Of boxes that overlap the surest; a side counts its last pixel too."""
    left, kept = np.argsort(-scores, kind="stable"), []
    areas = (rows[:, 2] - rows[:, 0] + 1) * (rows[:, 3] - rows[:, 1] + 1)
    while len(left):
        best, others = left[0], left[1:]
        kept.append(best)
        low = np.maximum(rows[best, :2], rows[others, :2])
        high = np.minimum(rows[best, 2:], rows[others, 2:])
        common = np.clip(high - low + 1, 0, None).prod(axis=1)
        left = others[common / (areas[best] + areas[others] - common) <= OVERLAP]
    return rows[kept]


def landmark_crop(rgb: Frame, box: Floats) -> tuple[Floats, Floats]:
    """(1,3,192,192) around a box, and the 3x3 from the picture to it."""
    x0, y0, x1, y1 = (float(value) for value in box)
    k = LANDMARK_SIDE / (_AROUND_BOX * max(x1 - x0, y1 - y0))
    half = LANDMARK_SIDE / 2
    x, y = half - k * (x0 + x1) / 2, half - k * (y0 + y1) / 2
    into = np.array(((k, 0, x), (0, k, y), (0, 0, 1)), np.float32)
    crop = cv2.warpAffine(rgb, into[:2].astype(float), (LANDMARK_SIDE, LANDMARK_SIDE))
    planes = crop[..., ::-1].astype(np.float32).transpose(2, 0, 1)
    return np.ascontiguousarray(planes[None]), into


def seed_of_106(output: Floats, into: Floats) -> Seed:
    """The seed that 106 landmarks are, of the network's output for a crop."""
    points = (output.reshape(-1, 2)[-106:] + 1) * np.float32(LANDMARK_SIDE / 2)
    places = mapped(points.astype(np.float32), inverse(into))
    eyes = np.stack([places[list(eye)].mean(axis=0) for eye in _EYES]).mean(axis=0)
    return Seed(places, eyes, places[list(_LIPS)].mean(axis=0))

"""Fitting a photo into the stream's picture, with the face at a good place and size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.landmarks import Landmarks
from rawmedia import Frame

Shares = NDArray[np.float32]

EYES_HIGH = 0.42  # where the eyes are wished, from the top
EYES_APART = 0.115  # their wished distance, in heights of the picture
MAX_ENLARGEMENT = 3.0
FEATHER = 0.035  # soft edge between photo and backdrop, in widths of the picture


def place_photo(
    photo: Frame, landmarks: Landmarks, width: int, height: int
) -> tuple[Frame, Landmarks]:
    """The photo as one picture of the stream, and its landmarks there.

    The photo is shown whole unless its face would be small; what it does not cover is filled with
    a blurred copy.
    """
    scale = _scale(photo, landmarks, width, height)
    eyes = np.add(landmarks.left_eye, landmarks.right_eye) / 2
    shown = (photo.shape[1] * scale, photo.shape[0] * scale)
    x = _offset(width / 2 - eyes[0] * scale, shown[0], width)
    y = _offset(EYES_HIGH * height - eyes[1] * scale, shown[1], height)
    return _compose(photo, scale, (x, y), width, height), landmarks.placed(scale, x, y)


def _scale(photo: Frame, landmarks: Landmarks, width: int, height: int) -> float:
    across, down = width / photo.shape[1], height / photo.shape[0]
    whole, filling = min(across, down), max(across, down)
    wished = EYES_APART * min(height, 1.3 * width) / landmarks.eye_distance
    # enlarging pixels beyond this only shows that there are too few
    return float(np.clip(wished, whole, max(whole, min(1.8 * filling, MAX_ENLARGEMENT))))


def _offset(wished: float, shown: float, available: int) -> float:
    """Where the photo begins: never a gap if it is large enough, centred if it is not."""
    if shown <= available:
        return (available - shown) / 2
    return float(np.clip(wished, available - shown, 0.0))


def _compose(photo: Frame, scale: float, at: tuple[float, float], width: int, height: int) -> Frame:
    shrunk = _halved(photo, scale)
    ratio = scale * photo.shape[1] / shrunk.shape[1]
    matrix = np.array(((ratio, 0.0, at[0]), (0.0, ratio, at[1])))
    way = cv2.INTER_CUBIC if ratio > 1 else cv2.INTER_AREA
    edge = cv2.BORDER_REPLICATE
    picture = cv2.warpAffine(shrunk, matrix, (width, height), flags=way, borderMode=edge)
    cover = _cover(photo, scale, at, width, height)
    if cover is None:
        return np.asarray(picture, np.uint8)
    backdrop = _backdrop(photo, width, height)
    mixed = backdrop + (picture - backdrop) * cover[..., None]
    return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8)


def _halved(photo: Frame, scale: float) -> Frame:
    """A photo much larger than shown must be averaged first: warpAffine would only pick pixels."""
    if scale >= 0.75:
        return photo
    shrunk = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8)


def _cover(
    photo: Frame, scale: float, at: tuple[float, float], width: int, height: int
) -> Shares | None:
    """How much of each pixel is photo; None where it covers all."""
    feather = FEATHER * width
    sides = []
    for start, size, available in (
        (at[0], photo.shape[1] * scale, width),
        (at[1], photo.shape[0] * scale, height),
    ):
        place = np.arange(available) + 0.5
        low = (place - start) / feather if start > 1 else np.ones(available)
        end = start + size
        high = (end - place) / feather if end < available - 1 else np.ones(available)
        t = np.clip(np.minimum(low, high), 0.0, 1.0)
        sides.append((t * t * (3 - 2 * t)).astype(np.float32))
    cover = sides[1][:, None] * sides[0][None, :]
    return None if float(cover.min()) >= 1.0 else cover


def _backdrop(photo: Frame, width: int, height: int) -> Shares:
    """The photo filling the picture, far out of focus and a little darker."""
    scale = max(width / photo.shape[1], height / photo.shape[0]) / 8
    size = (max(2, round(photo.shape[1] * scale)), max(2, round(photo.shape[0] * scale)))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(1.0, 0.04 * max(size)))
    wide, tall = max(1, min(size[0], width // 8)), max(1, min(size[1], height // 8))
    x, y = (size[0] - wide) // 2, (size[1] - tall) // 2
    middle = small[y : y + tall, x : x + wide]
    large = cv2.resize(middle, (width, height), interpolation=cv2.INTER_CUBIC)
    return large.astype(np.float32) * np.float32(0.86)

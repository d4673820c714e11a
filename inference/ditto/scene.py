"""The avatar's pictures as large as the stream wants them, and where its face goes in each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from inference.ditto.avatar import Avatar
from inference.ditto.crop import mapped
from inference.ditto.layout import Floats
from inference.ditto.paste import Place, place_of
from inference.fit import place_photo
from inference.landmarks import Landmarks
from inference.presenter import Region
from rawmedia import Frame

# Corners of the mouth, and the middles of the eyes, in the 203 landmarks.
_MOUTH, _LEFT, _RIGHT = (48, 66), (0, 6, 12, 18), (24, 30, 36, 42)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is behind the face; all of one size."""

    pictures: tuple[Frame, ...]
    places: tuple[Place | None, ...]
    mouth: Region  # (x, y, w, h) of the first picture's mouth

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        height, width = self.pictures[0].shape[:2]
        return width, height


def photo_scene(avatar: Avatar, photo: Frame, width: int, height: int) -> Scene:
    """A photo composed for a stream, its face at a good place and size.

    Args:
        avatar: registered in ``photo``.
        photo: BGR.
        width, height: of the stream, even.
    """
    known = landmarks_of(avatar.views[0].points)
    picture, placed = place_photo(photo, known, width, height)
    scale = placed.eye_distance / known.eye_distance
    x, y = (placed.left_eye[i] - scale * known.left_eye[i] for i in (0, 1))
    return _scene(avatar, (picture,), scale, (x, y))


def film_scene(avatar: Avatar, pictures: Iterable[Frame], width: int, height: int) -> Scene:
    """The pictures of a video, as large as fits, on black."""
    own_width, own_height = avatar.size
    scale = min(width / own_width, height / own_height)
    x, y = (width - scale * own_width) / 2, (height - scale * own_height) / 2
    into = np.array(((scale, 0, x), (0, scale, y)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    placed = tuple(
        np.asarray(cv2.warpAffine(picture, into, (width, height), flags=way), np.uint8)
        for picture in pictures
    )
    return _scene(avatar, placed, scale, (x, y))


def landmarks_of(points: Floats) -> Landmarks:
    """Eyes and mouth, of 203 landmarks."""
    middles = [points[list(which)].mean(axis=0) for which in (_LEFT, _RIGHT, _MOUTH)]
    left, right, mouth = ((float(x), float(y)) for x, y in middles)
    return Landmarks(left, right, mouth)


def _scene(
    avatar: Avatar, pictures: tuple[Frame, ...], scale: float, at: tuple[float, float]
) -> Scene:
    into = np.array(((scale, 0, at[0]), (0, scale, at[1]), (0, 0, 1)), np.float32)
    height, width = pictures[0].shape[:2]
    places = tuple(place_of(into @ view.matrix, (width, height)) for view in avatar.views)
    mouth = _mouth(mapped(avatar.views[0].points, into), (width, height))
    return Scene(pictures, places, mouth)


def _mouth(points: Floats, size: tuple[int, int]) -> Region:
    """Inside the face whatever the head does: half as wide again as the mouth, as far down."""
    known = landmarks_of(points)
    x, y = known.mouth
    reach = 0.5 * known.eye_distance
    left, top = (int(max(0, value - reach)) for value in (x, y))
    right, bottom = (
        int(min(limit, value + reach)) for value, limit in zip((x, y), size, strict=True)
    )
    return left, top, max(1, right - left), max(1, bottom - top)

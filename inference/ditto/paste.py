"""A drawn face goes back into its picture: only the pixels that it covers are touched."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from inference.ditto.layout import Floats
from rawmedia import Frame

FACE_SIDE = 512
_INNER = 460  # of the mask, the part that is all face


def feather() -> Floats:
    """512x512 shares of the face: 1 in the middle, falling to 0 over 26 pixels at the edges."""
    border = (FACE_SIDE - _INNER) // 2
    steps = np.arange(border, dtype=np.float32) / np.float32(border)
    # how far outside of the inner square each line is, 0 to 1
    out = np.concatenate((1 - steps, np.zeros(_INNER, np.float32), (1 - steps)[::-1]))
    # at an edge one of them is 0; in a corner the distance is radial
    away = np.hypot(out[:, None], out[None, :])
    return (1 - np.minimum(1, away)).astype(np.float32)


_FEATHER = feather()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a face goes in a picture: computed once for a picture that stands still."""

    rows: slice
    columns: slice
    matrix: Floats  # 2x3, from the face to the place
    face_share: Floats
    own_share: Floats

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.columns.stop - self.columns.start, self.rows.stop - self.rows.start


def place_of(matrix: Floats, size: tuple[int, int]) -> Place | None:
    """The place of a face in a picture.

    Args:
        matrix: 3x3 from the 512 crop to the picture.
        size: (width, height) of the picture.

    Returns:
        None where the face lies outside.
    """
    corners = np.array(((0, 0), (FACE_SIDE, 0), (FACE_SIDE, FACE_SIDE), (0, FACE_SIDE)))
    found = corners @ matrix[:2, :2].T + matrix[:2, 2]
    left, top = np.floor(found.min(axis=0)).astype(int).clip(0)
    right, bottom = np.minimum(np.ceil(found.max(axis=0)).astype(int) + 1, size)
    if right <= left or bottom <= top:
        return None
    into = matrix[:2].astype(np.float64)
    into[:, 2] -= (left, top)
    shares = cv2.warpAffine(_FEATHER, into, (int(right - left), int(bottom - top)))
    share = np.asarray(shares, np.float32)
    rows, columns = slice(int(top), int(bottom)), slice(int(left), int(right))
    return Place(rows, columns, into.astype(np.float32), share, np.float32(1) - share)


def to_face(output: Floats) -> Frame:
    """512x512x3 BGR of the decoder's (1,3,512,512) RGB from 0 to 1."""
    scaled = np.clip(output[0] * np.float32(255), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(scaled[::-1].transpose(1, 2, 0))


def paste(frame: Frame, face: Frame, place: Place | None) -> None:
    """Lay a face into a picture, in place."""
    if place is None:
        return
    area = frame[place.rows, place.columns]
    flat = cv2.warpAffine(face, place.matrix.astype(np.float64), place.size)
    area[:] = cv2.blendLinear(flat, np.ascontiguousarray(area), place.face_share, place.own_share)

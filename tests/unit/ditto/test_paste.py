"""A face goes back where it came from."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from inference.ditto.layout import Floats
from inference.ditto.paste import FACE_SIDE, feather, paste, place_of, to_face
from rawmedia import Frame


@pytest.mark.facts
def test_the_mask() -> None:
    mask = feather()
    assert mask.shape == (512, 512)
    assert mask[26:486, 26:486].min() == 1.0  # 460 pixels
    assert mask[25, 256] < 1.0
    assert mask[256, 486] < 1.0
    assert mask[0, 256] == 0.0
    assert mask[0, 0] == 0.0
    assert np.diff(mask[:27, 256]) == pytest.approx(np.full(26, 1 / 26), abs=1e-6)
    corner = 1 - min(1.0, math.hypot(10 / 26, 10 / 26))
    assert mask[16, 16] == pytest.approx(corner, abs=1e-6)
    assert np.array_equal(mask, mask.T)
    assert np.array_equal(mask, mask[::-1, ::-1])


def turned(scale: float, angle: float, x: float, y: float) -> Floats:
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    return np.array(((cosine, -sine, x), (sine, cosine, y), (0, 0, 1)), np.float32)


def plainly(frame: Frame, face: Frame, matrix: Floats) -> Frame:
    """The whole picture in floats, as the definition says."""
    size = (frame.shape[1], frame.shape[0])
    mask = cv2.warpAffine(feather(), matrix[:2].astype(float), size)[..., None]
    flat = cv2.warpAffine(face.astype(np.float32), matrix[:2].astype(float), size)
    return np.clip(mask * flat + (1 - mask) * frame, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "matrix",
    [
        turned(0.5, 0.0, 40, 30),
        turned(0.7, 0.4, 300, -50),  # cut by the upper edge
        turned(0.4, -1.0, -60, 250),  # cut by the left one
        turned(2.0, 0.1, -300, -200),  # larger than the picture
    ],
)
def test_only_its_own_place_changes_and_as_it_should(matrix: Floats) -> None:
    rng = np.random.default_rng(1)
    frame = rng.integers(0, 256, (360, 640, 3), np.uint8)
    # soft, as faces are: OpenCV places pixels by 32nds, which noise would show
    noise = rng.integers(0, 256, (FACE_SIDE, FACE_SIDE, 3), np.uint8)
    face = np.asarray(cv2.GaussianBlur(noise, (0, 0), 3), np.uint8)
    wanted = plainly(frame, face, matrix)
    place = place_of(matrix, (640, 360))
    assert place is not None
    pasted = frame.copy()
    paste(pasted, face, place)
    assert np.abs(pasted.astype(int) - wanted.astype(int)).max() <= 2
    outside = np.ones((360, 640), bool)
    outside[place.rows, place.columns] = False
    assert np.array_equal(pasted[outside], frame[outside])


def test_a_face_outside_of_the_picture_changes_nothing() -> None:
    frame = np.full((90, 160, 3), 7, np.uint8)
    place = place_of(turned(0.5, 0.0, 500, 0), (160, 90))
    assert place is None
    paste(frame, np.zeros((512, 512, 3), np.uint8), place)
    assert (frame == 7).all()


def test_the_decoders_red_is_red() -> None:
    output = np.zeros((1, 3, 512, 512), np.float32)
    output[0, 0] = 1.2  # beyond what there is
    output[0, 1, 10, 400] = 0.5  # green in row 10
    face = to_face(output)
    assert face[10, 400].tolist() == [0, 127, 255]
    assert face[400, 10].tolist() == [0, 0, 255]
    assert face[5, 5].tolist() == [0, 0, 255]  # BGR
    assert face.flags["C_CONTIGUOUS"]

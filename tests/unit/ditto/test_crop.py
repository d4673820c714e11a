"""The square around a face, and what is found in it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from inference.ditto.crop import (
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
    anchors,
    faces,
    seed_of_mesh,
    seed_of_places,
)
from inference.ditto.eyes import eye_attributes
from inference.ditto.layout import Floats


def turned(points: Floats, angle: float) -> Floats:
    cosine, sine = math.cos(angle), math.sin(angle)
    result: Floats = points @ np.array(((cosine, sine), (-sine, cosine)), np.float32)
    return result


def seed(angle: float = 0.0) -> Seed:
    """A face of 200 by 100, upright before it is turned; eyes above lips."""
    corners = np.array(((-50, -100), (50, -100), (50, 100), (-50, 100)), np.float32)
    eyes, lips = (np.array((0, y), np.float32) for y in (-40, 40))
    middle = np.array((300, 200), np.float32)
    return Seed(
        turned(corners, angle) + middle,
        turned(eyes[None], angle)[0] + middle,
        turned(lips[None], angle)[0] + middle,
    )


@pytest.mark.parametrize("angle", [0.0, 0.5, -2.0, math.pi])
def test_a_crop_turns_the_face_upright(angle: float) -> None:
    into = crop_matrix(seed(angle), CropShape(512, 2.0, -0.1))
    assert into.dtype == np.float32
    eyes, lips = mapped(np.stack((seed(angle).eyes, seed(angle).lips)), into)
    scale = 512 / 400  # twice the longer side of 200
    assert eyes == pytest.approx((256, 256 + (0.1 * 400 - 40) * scale), abs=0.05)
    assert lips == pytest.approx((256, 256 + (0.1 * 400 + 40) * scale), abs=0.05)


def test_a_crop_that_is_not_turned() -> None:
    into = crop_matrix(seed(0.5), CropShape(224, 1.5, 0.0, rotated=False))
    assert into[0, 1] == into[1, 0] == 0
    assert into[0, 0] == into[1, 1]


def test_a_crop_that_is_not_turned_is_measured_like_one_that_is() -> None:
    """Only its matrix loses the turn (DITTO_FACTS section 6.3): same middle, same size."""
    shapes = [CropShape(224, 1.5, -0.1, rotated=rotated) for rotated in (True, False)]
    turned_one, level = (crop_matrix(seed(0.5), shape) for shape in shapes)
    middle = np.array(((112, 112),), np.float32)
    places = [mapped(middle, inverse(into)) for into in (turned_one, level)]
    assert places[1] == pytest.approx(places[0], abs=1e-2)
    assert level[0, 0] == pytest.approx(np.hypot(*turned_one[0, :2]), rel=1e-5)


def test_a_face_without_a_direction_is_upright() -> None:
    flat = Seed(seed().points, seed().eyes, seed().eyes)
    assert np.allclose(
        crop_matrix(flat, CropShape(64, 1, 0)), crop_matrix(seed(), CropShape(64, 1, 0))
    )


def test_there_and_back() -> None:
    into = crop_matrix(seed(0.3), CropShape(512, 2.3, -0.125))
    points = seed(0.3).points
    assert mapped(mapped(points, into), inverse(into)) == pytest.approx(points, abs=1e-2)


def test_beyond_the_picture_is_black() -> None:
    picture = np.full((400, 600, 3), 255, np.uint8)
    into = crop_matrix(seed(), CropShape(100, 10, 0))
    crop = cut(picture, into, 100)
    assert crop[0, 0].tolist() == [0, 0, 0]
    assert crop[50, 50].tolist() == [255, 255, 255]
    share = share_inside(inverse(into), 100, (600, 400))
    assert share == pytest.approx(600 * 400 / 2000**2, rel=0.02)
    assert crop.mean() / 255 == pytest.approx(share, rel=0.05)


def test_203_points_know_where_eyes_and_lips_are() -> None:
    points = np.zeros((203, 2), np.float32)
    points[[0, 6, 12, 18]] = (10, 20)
    points[[24, 30, 36, 42]] = (30, 20)
    points[48], points[66] = (14, 50), (26, 54)
    found = seed_of_203(points)
    assert found.eyes.tolist() == [20, 20]
    assert found.lips.tolist() == [20, 52]


def test_anchors_of_blaze_face() -> None:
    places = anchors()
    assert places.shape == (896, 2)
    assert places[0].tolist() == places[1].tolist() == [0.5 / 16, 0.5 / 16]
    assert places[2].tolist() == [1.5 / 16, 0.5 / 16]
    assert places[512].tolist() == places[517].tolist() == [0.5 / 8, 0.5 / 8]
    assert places[895].tolist() == [7.5 / 8, 7.5 / 8]


def said(*rows: tuple[int, float, tuple[float, float, float, float]]) -> tuple[Floats, Floats]:
    """Outputs of BlazeFace: (anchor, logit, box as shares: x, y, w, h)."""
    regressors, scores = np.zeros((1, 896, 16), np.float32), np.full((1, 896, 1), -100, np.float32)
    for anchor, logit, (x, y, w, h) in rows:
        dx, dy = (x, y) - anchors()[anchor]
        regressors[0, anchor, :4] = np.array((dx, dy, w, h)) * 128
        regressors[0, anchor, 4:] = np.tile(np.array((dx, dy)) * 128, 6)
        scores[0, anchor] = logit
    return regressors, scores


def test_faces_that_overlap_are_one_each_counting_by_its_score() -> None:
    box = (0.5, 0.5, 0.2, 0.2)
    found = faces(
        *said((100, 3.0, box), (101, 3.0, (0.52, 0.5, 0.2, 0.2)), (700, 1.0, (0.1, 0.1, 0.1, 0.1)))
    )
    assert len(found) == 2
    assert found[0].box == pytest.approx((0.41, 0.4, 0.61, 0.6), abs=1e-5)
    assert found[0].points[0] == pytest.approx((0.51, 0.5), abs=1e-5)
    assert found[1].area == pytest.approx(0.01)


@pytest.mark.parametrize(("logit", "count"), [(0.01, 1), (-0.01, 0), (500.0, 1), (-500.0, 0)])
def test_how_sure_a_face_must_be(logit: float, count: int) -> None:
    assert len(faces(*said((5, logit, (0.5, 0.5, 0.3, 0.3))))) == count


@pytest.mark.parametrize("angle", [0.0, 0.6, -1.2])
def test_the_window_of_the_mesh_turns_with_the_face(angle: float) -> None:
    eyes = turned(np.array(((-0.1, 0), (0.1, 0)), np.float32), angle) + 0.5
    points = np.concatenate((eyes, np.full((4, 2), 0.5, np.float32)))
    window = MeshWindow.around(
        Found(1.0, np.array((0.4, 0.3, 0.6, 0.7), np.float32), points), (1000, 1000)
    )
    assert window.side == pytest.approx(1.5 * 400)
    assert window.angle == pytest.approx(angle, abs=1e-5)
    # a point of the network's own picture, halfway to the right edge
    raw = np.full((478, 3), 128, np.float32)
    raw[0, 0], raw[0, 2] = 192, 32
    places = window.points(raw)
    assert places[1] == pytest.approx((500, 500, 300), abs=0.01)
    wanted = 500 + 150 * np.array((math.cos(angle), math.sin(angle)))
    assert places[0, :2] == pytest.approx(wanted, abs=0.01)
    # and the picture that it is given shows that place there
    picture = np.zeros((1000, 1000, 3), np.uint8)
    x, y = (round(float(value)) for value in wanted)
    picture[y - 6 : y + 7, x - 6 : x + 7] = 255
    shown = window.input(picture)[0, ..., 0]
    row, column = np.unravel_index(int(shown.argmax()), shown.shape)
    assert (column, row) == pytest.approx((192, 128), abs=4)


def test_seeds() -> None:
    three = seed_of_places(*(np.array(p, np.float32) for p in ((40, 50), (60, 50), (50, 70))))
    assert three.eyes.tolist() == [50, 50]
    assert three.lips.tolist() == [50, 70]
    assert np.ptp(three.points, axis=0) == pytest.approx((42, 47))
    mesh = np.zeros((478, 3), np.float32)
    mesh[:, 1] = np.linspace(-100, 100, 478)  # from the crown to the chin
    mesh[[33, 133, 263, 362], 1] = 0
    mesh[[61, 291], 1] = 50
    mesh[[70, 63, 105, 66, 107, 336, 296, 334, 293, 300], 1] = -20
    found = seed_of_mesh(mesh)
    assert found.points[:, 1].min() == -20  # no forehead
    assert found.points[:, 1].max() == 100


def test_open_eyes_and_where_they_look() -> None:
    points = np.zeros((478, 3), np.float32)
    for outer, inner, x in ((33, 133, 0.3), (263, 362, 0.7)):
        side = -0.05 if outer == 33 else 0.05
        points[outer, :2], points[inner, :2] = (x + side, 0.4), (x - side, 0.4)
    pairs = ((145, 159), (144, 160), (153, 158), (374, 386), (373, 387), (380, 385))
    for low, high in pairs[:3]:
        points[low, :2], points[high, :2] = (0.3, 0.41), (0.3, 0.39)
    for low, high in pairs[3:]:
        points[low, :2], points[high, :2] = (0.7, 0.42), (0.7, 0.38)
    points[468, :2], points[473, :2] = (0.3, 0.42), (0.7, 0.42)  # both look down
    opened, balls = eye_attributes(points)
    assert opened == pytest.approx((0.6, 1.2), abs=1e-4)
    # unit(gaze) - unit(outer - inner), times the distance: x of both, y of both, z of both
    assert balls == pytest.approx((0.02, -0.02, 0.02, 0.02, 0, 0), abs=1e-5)


def test_an_eye_that_looks_nowhere_is_no_division_by_nothing() -> None:
    opened, balls = eye_attributes(np.zeros((478, 3), np.float32))
    assert opened.tolist() == [0, 0]
    assert balls.tolist() == [0] * 6

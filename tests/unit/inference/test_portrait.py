from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data as skimage_data

from inference.errors import LandmarksRejected, NoFaceFound
from inference.fit import place_photo
from inference.landmarks import Landmarks, find_landmarks
from inference.motion import Pose
from inference.mouth import REST_SHAPE, MouthShape
from inference.portrait import Portrait, load_portrait
from inference.presenter import mouth_opening
from rawmedia import Frame, MediaFormat

from .conftest import MEDIA

# where eyes and mouth of skimage's astronaut are, read off the picture
TRUTH = Landmarks((205, 101), (248, 103), (223, 147))
LIMIT = 40_000_000
data: Any = skimage_data  # without types


def photo() -> Frame:
    return np.asarray(cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR), np.uint8)


def errors(found: Landmarks, truth: Landmarks = TRUTH) -> list[float]:
    pairs = ((found.left_eye, truth.left_eye), (found.right_eye, truth.right_eye))
    return [math.dist(a, b) for a, b in (*pairs, (found.mouth, truth.mouth))]


@pytest.fixture(scope="module")
def portrait(astronaut: Path) -> Portrait:
    return load_portrait(astronaut, MEDIA, LIMIT)


def drawn(face: Portrait, mouth: MouthShape = REST_SHAPE, pose: Pose | None = None) -> Frame:
    frame = np.empty((MEDIA.height, MEDIA.width, 3), np.uint8)
    face.draw(frame, mouth, pose or Pose())
    return frame


def test_landmarks_of_the_astronaut() -> None:
    found = find_landmarks(photo())
    assert found is not None
    assert max(errors(found)) < 0.12 * TRUTH.eye_distance


@pytest.mark.parametrize(
    ("x0", "y0", "x1", "y1", "scale"),
    [(0, 0, 512, 512, 4.0), (0, 0, 512, 512, 0.6), (165, 60, 285, 185, 1.0)],
    ids=["large", "small", "cropped tightly"],
)
def test_landmarks_at_other_sizes(x0: int, y0: int, x1: int, y1: int, scale: float) -> None:
    picture = cv2.resize(photo()[y0:y1, x0:x1], None, fx=scale, fy=scale)
    found = find_landmarks(np.asarray(picture, np.uint8))
    assert found is not None
    truth = TRUTH.placed(scale, -x0 * scale, -y0 * scale)
    assert max(errors(found, truth)) < 0.2 * truth.eye_distance


def test_no_face_names_what_was_tried(tmp_path: Path) -> None:
    path = tmp_path / "coffee.png"
    cv2.imwrite(str(path), data.coffee())
    with pytest.raises(NoFaceFound, match=r"frontalface_alt2.*frontalface_default") as caught:
        load_portrait(path, MEDIA, LIMIT)
    assert "coffee.png.landmarks.json" in caught.value.remedy
    assert caught.value.size == (600, 400)


@pytest.mark.parametrize("name", ["coins", "gravel", "cell", "chelsea", "moon", "brick"])
def test_things_are_no_faces(name: str) -> None:
    picture = getattr(data, name)()
    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    assert find_landmarks(picture) is None


def test_landmarks_beside_the_photo_are_believed(tmp_path: Path) -> None:
    path = tmp_path / "coffee.png"
    cv2.imwrite(str(path), data.coffee())
    told = {"left_eye": [200, 100], "right_eye": [280, 100], "mouth": [240, 190]}
    path.with_name("coffee.png.landmarks.json").write_text(json.dumps(told))
    load_portrait(path, MEDIA, LIMIT)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "write"),
        ("[" * 4000, "write"),
        ('{"left_eye": [1, 2], "right_eye": [3, 4]}', "write"),
        ('{"left_eye": "ab", "right_eye": [3, 4], "mouth": [1, 1]}', "write"),
        ('{"left_eye": [200, NaN], "right_eye": [280, 100], "mouth": [240, 190]}', "pixels"),
        ('{"left_eye": [200, 100], "right_eye": [9999, 100], "mouth": [240, 190]}', "pixels"),
        ('{"left_eye": [280, 100], "right_eye": [200, 100], "mouth": [240, 190]}', "no upright"),
        ('{"left_eye": [200, 100], "right_eye": [280, 100], "mouth": [240, 90]}', "no upright"),
    ],
)
def test_landmarks_that_make_no_face(
    astronaut: Path, tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(astronaut.read_bytes())
    path.with_name("photo.png.landmarks.json").write_text(text)
    with pytest.raises(LandmarksRejected, match=words):
        load_portrait(path, MEDIA, LIMIT)


def test_the_callers_landmarks_come_first(astronaut: Path) -> None:
    other = Landmarks((150, 300), (250, 300), (200, 400))
    face = load_portrait(astronaut, MEDIA, LIMIT, other)
    assert face.mouth_region != load_portrait(astronaut, MEDIA, LIMIT).mouth_region


def test_at_rest_the_photo_is_untouched(portrait: Portrait) -> None:
    frame = drawn(portrait)
    expected, _ = place_photo(photo(), TRUTH, MEDIA.width, MEDIA.height)
    assert frame.shape == expected.shape
    again = drawn(portrait)
    assert (frame == again).all()


def test_the_mouth_opens_in_proportion(portrait: Portrait) -> None:
    dark = [
        mouth_opening(drawn(portrait, MouthShape(a / 10)), portrait.mouth_region) for a in range(11)
    ]
    assert dark == sorted(dark)
    assert dark[10] - dark[0] > 600
    assert np.corrcoef(dark, np.arange(11))[0, 1] > 0.98


def test_a_hardly_open_mouth_is_hardly_open(portrait: Portrait) -> None:
    rest = mouth_opening(drawn(portrait), portrait.mouth_region)
    nearly = mouth_opening(drawn(portrait, MouthShape(0.01)), portrait.mouth_region)
    assert nearly - rest < 40


def test_the_chin_drops_and_the_room_stays(portrait: Portrait) -> None:
    rest, wide = drawn(portrait), drawn(portrait, MouthShape(1.0))
    changed = np.flatnonzero((rest != wide).any(axis=2).any(axis=1))
    x, y, width, height = portrait.mouth_region
    assert changed.max() > y + height
    assert changed.max() < y + 3 * height
    assert (rest[:, : x - 2 * width] == wide[:, : x - 2 * width]).all()


def test_lids_close_over_the_eyes(portrait: Portrait) -> None:
    open_eyes, shut = drawn(portrait), drawn(portrait, pose=Pose(lids=1.0))
    _placed, marks = place_photo(photo(), TRUTH, MEDIA.width, MEDIA.height)
    for x, y in (marks.left_eye, marks.right_eye):
        box = (slice(round(y) - 3, round(y) + 5), slice(round(x) - 6, round(x) + 7))
        assert shut[box].mean() > open_eyes[box].mean() + 25, "the dark pupil is still seen"


def test_gaze_and_brows_move_what_they_name(portrait: Portrait) -> None:
    rest = drawn(portrait)
    _placed, marks = place_photo(photo(), TRUTH, MEDIA.width, MEDIA.height)
    for pose, above in ((Pose(gaze_x=1.0), 0.0), (Pose(brows=1.0), 0.26)):
        rows, columns = np.nonzero((drawn(portrait, pose=pose) != rest).any(axis=2))
        eyes_y = (marks.left_eye[1] + marks.right_eye[1]) / 2
        assert np.median(rows) == pytest.approx(
            eyes_y - above * marks.eye_distance, abs=0.1 * marks.eye_distance
        )
        assert columns.min() < marks.left_eye[0] < marks.right_eye[0] < columns.max()


def test_only_the_head_moves(portrait: Portrait) -> None:
    rest, moved = drawn(portrait), drawn(portrait, pose=Pose(x=1, y=1, tilt=1))
    assert (rest != moved).any()
    edge = 40
    assert (rest[:, :edge] == moved[:, :edge]).all()
    assert (rest[:, -edge:] == moved[:, -edge:]).all()


@pytest.mark.parametrize(
    "size", [(640, 360), (720, 1280), (16, 16), (480, 480), (1920, 64), (64, 1920)]
)
def test_every_size(astronaut: Path, size: tuple[int, int]) -> None:
    media = MediaFormat(*size, 25)
    face = load_portrait(astronaut, media, LIMIT)
    frame = np.empty((media.height, media.width, 3), np.uint8)
    face.draw(frame, MouthShape(0.7, wide=0.5), Pose(x=1, tilt=-1, lids=0.4))
    x, y, width, height = face.mouth_region
    assert 0 <= x < x + width <= media.width
    assert 0 <= y < y + height <= media.height


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (1000, 1000)])
def test_the_photo_fills_the_picture_or_is_centred(size: tuple[int, int]) -> None:
    placed, marks = place_photo(photo(), TRUTH, *size)
    assert placed.shape == (size[1], size[0], 3)
    assert 0.04 < marks.eye_distance / size[1] < 0.2
    for x, y in (marks.left_eye, marks.right_eye, marks.mouth):
        assert 0.1 * size[0] < x < 0.9 * size[0]
        assert 0.05 * size[1] < y < 0.9 * size[1]
    assert placed.min(axis=2).min() < 60
    assert (placed.max(axis=2).mean(axis=0) > 10).all(), "an empty column"

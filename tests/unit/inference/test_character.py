"""The drawn presenter: what it keeps from picture to picture never shows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.character import Character
from inference.motion import Pose
from inference.mouth import REST_SHAPE, MouthShape
from inference.paint import Layer, Sticker, ellipse
from rawmedia import Frame

SIZE = (160, 120)
HALF = st.sampled_from((0.0, 0.5, 1.0))  # few values: a part often looks as it did
SIGNED = st.sampled_from((-1.0, 0.0, 0.7))
POSES = st.builds(
    Pose, turn=SIGNED, tilt=SIGNED, lids=HALF, gaze_x=SIGNED, gaze_y=SIGNED, brows=HALF
)
MOUTHS = st.builds(MouthShape, open=HALF, wide=SIGNED, round=HALF)


@pytest.fixture(scope="module")
def used() -> Character:
    """One that has drawn other pictures before, from test to test."""
    return Character(*SIZE)


def drawn(character: Character, mouth: MouthShape, pose: Pose) -> Frame:
    frame = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    character.draw(frame, mouth, pose)
    return frame


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(MOUTHS, POSES), min_size=1, max_size=4))
def test_a_picture_does_not_depend_on_those_before_it(
    used: Character, pictures: list[tuple[MouthShape, Pose]]
) -> None:
    for mouth, pose in pictures:
        assert np.array_equal(drawn(used, mouth, pose), drawn(Character(*SIZE), mouth, pose))


@pytest.mark.parametrize(
    "other", [Pose(lids=1.0), Pose(gaze_x=1.0), Pose(gaze_y=1.0), Pose(brows=1.0), Pose(turn=1.0)]
)
def test_each_movement_of_the_face_shows(used: Character, other: Pose) -> None:
    still = drawn(used, REST_SHAPE, Pose())
    assert not np.array_equal(drawn(used, REST_SHAPE, other), still)
    assert np.array_equal(drawn(used, REST_SHAPE, Pose()), still)


class Painted:
    """Paints a spot, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, layer: Layer) -> None:
        self.times += 1
        layer.fill(ellipse(0, 0, 4, 4), (255, 255, 255))


def where(layer: Layer) -> float:
    """Middle of what the layer shows, in pixels from its left edge."""
    weights = layer.pixels[:, :, 3].sum(axis=0, dtype=float)
    return float(np.average(np.arange(weights.size), weights=weights))


def test_a_sticker_is_painted_when_it_changes_and_goes_where_it_is_shifted_to() -> None:
    under, paint = Layer.blank((-20, -10, 20, 10), 2.0), Painted()
    sticker = Sticker(under, (-20, -10, 20, 10))
    places = []
    for shift in (0.0, 3.0, 3.25, -5.0):
        under.pixels.fill(0)
        sticker.lay("spot", paint, shift)
        places.append(where(under) - 40)  # pixels from the middle, two to a unit
    assert places == pytest.approx([0.0, 6.0, 6.5, -10.0], abs=0.02)
    assert paint.times == 1
    sticker.lay("another", paint, 0.0)
    assert paint.times == 2

"""From motion to keypoints, step by step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.ditto.control import Control
from inference.ditto.layout import EYES, LIPS, Face, Floats, degrees, group_mask, motion_values
from inference.ditto.retarget import Anchor, Frame, Style, driven, keypoints, own_values

RNG = np.random.default_rng(5)
LIP, EYE = group_mask(LIPS), group_mask(EYES)


def logits(angle: float) -> Floats:
    """A peak around an angle."""
    bins = np.arange(66) * 3 - 97.5
    return (-((bins - angle) ** 2) / 72).astype(np.float32)


def face(yaw: float = 0.0, pitch: float = 0.0) -> Face:
    return Face(
        np.array([1.5], np.float32),
        logits(pitch),
        logits(yaw),
        logits(0),
        np.array([0.1, 0.2, 0.3], np.float32),
        RNG.standard_normal(63).astype(np.float32) * 0.01,
        RNG.standard_normal(63).astype(np.float32),
    )


FACE = face()


def motion(exp: Floats | None = None, yaw: float = 0.0, t: float = 0.0) -> Floats:
    moved = replace(
        FACE,
        yaw=logits(yaw),
        t=np.full(3, t, np.float32),
        exp=np.zeros(63, np.float32) if exp is None else exp,
    )
    return moved.vector()


ZERO = motion()
PLAIN = Style(drives_eyes=False)


def points(
    style: Style, driving: Floats, control: Control | None = None, blink: Floats | None = None
) -> Floats:
    frame = Frame(FACE, FACE, driving, control or Control(), blink)
    return driven(style, frame, Anchor(zero=ZERO), 1.0)[0]


def expression(style: Style, driving: Floats, **options: object) -> Floats:
    """What the expression must have been, out of keypoints without a turn of the head."""
    moved = points(style, driving, **options) - points(style, ZERO)  # type: ignore[arg-type]
    change: Floats = (moved / FACE.scale).reshape(63)
    return change


def test_the_layout_of_a_frame_of_motion() -> None:
    vector = FACE.vector()
    assert vector.shape == (265,)
    assert vector[0] == pytest.approx(0.5)  # scale - 1
    turned = replace(FACE, pitch=logits(10), yaw=logits(20), roll=logits(30))
    places = {"pitch": (1, 67), "yaw": (67, 133), "roll": (133, 199), "t": (199, 202)}
    for key, (first, end) in (places | {"exp": (202, 265)}).items():  # DITTO_FACTS section 9
        assert np.array_equal(turned.vector()[first:end], getattr(turned, key)), key
        assert np.array_equal(motion_values(turned.vector())[key], getattr(turned, key)), key
    values = motion_values(vector)
    for key in ("scale", "pitch", "yaw", "roll", "t", "exp"):
        assert np.allclose(values[key], getattr(FACE, key)), key


@pytest.mark.parametrize("angle", [-60.0, -3.3, 0.0, 12.0, 45.0])
def test_degrees_of_logits(angle: float) -> None:
    assert degrees(logits(angle))[0] == pytest.approx(angle, abs=0.05)
    assert degrees(np.array([angle], np.float32))[0] == np.float32(angle)


def test_a_face_that_is_driven_by_nothing_stays() -> None:
    own = keypoints(own_values(FACE), FACE.kp)
    assert np.allclose(points(PLAIN, ZERO), own, atol=1e-5)
    assert np.allclose(points(Style(), ZERO), own, atol=1e-5)


def test_a_turn_of_the_head_is_the_product_of_its_axes() -> None:
    values = own_values(replace(FACE, exp=np.zeros(63, np.float32), t=np.zeros(3, np.float32)))
    nose = np.zeros(63, np.float32)
    nose[:3] = (0, 0, 1)
    values["scale"] = np.ones(1, np.float32)

    def turned(**angles: float) -> list[float]:
        flat = {k: np.array([v], np.float32) for k, v in angles.items()}
        moved: list[float] = keypoints(values | flat, nose)[0].tolist()
        return moved

    level = {"pitch": 0.0, "yaw": 0.0, "roll": 0.0}
    assert turned(**level | {"yaw": 90}) == pytest.approx([1, 0, 0], abs=1e-6)
    assert turned(**level | {"pitch": 90}) == pytest.approx([0, -1, 0], abs=1e-6)
    assert turned(**level | {"roll": 90}) == pytest.approx([0, 0, 1], abs=1e-6)
    # first about x, then y, then z
    assert turned(pitch=90, yaw=90, roll=0) == pytest.approx([0, -1, 0], abs=1e-6)


def test_the_place_moves_x_and_y_only() -> None:
    moved = points(PLAIN, motion(t=0.5)) - points(PLAIN, ZERO)
    assert moved[:, :2] == pytest.approx(np.full((21, 2), 0.5), abs=1e-5)
    assert moved[:, 2] == pytest.approx(np.zeros(21), abs=1e-6)


def test_a_larger_character_moves_less() -> None:
    frame = Frame(FACE, FACE, motion(exp=np.ones(63, np.float32), t=1), Control())
    whole, half = (driven(PLAIN, frame, Anchor(zero=ZERO), size)[0] for size in (1.0, 0.5))
    still = points(PLAIN, ZERO)
    lip = 17  # t moves as far in both
    assert (half - still)[lip, 2] == pytest.approx(0.5 * (whole - still)[lip, 2], rel=1e-4)
    assert (half - still)[0, 0] == pytest.approx((whole - still)[0, 0], rel=1e-4)


def test_only_the_lips_are_driven_and_the_eyes_of_a_photo() -> None:
    change = expression(PLAIN, motion(exp=np.ones(63, np.float32)))
    assert change == pytest.approx(LIP.astype(float), abs=1e-5)
    change = expression(Style(), motion(exp=np.ones(63, np.float32)))
    assert change == pytest.approx((LIP | EYE).astype(float), abs=1e-5)


def test_a_blink_takes_the_place_of_what_drives_the_eyes() -> None:
    shape = np.full(63, 0.25, np.float32)
    change = expression(Style(), motion(exp=np.ones(63, np.float32)), blink=shape)
    assert change[LIP] == pytest.approx(1, abs=1e-5)
    assert change[EYE] == pytest.approx(0.25, abs=1e-5)
    assert change[~(LIP | EYE)] == pytest.approx(0, abs=1e-6)


def test_lips_at_rest_leave_the_eyes_alone() -> None:
    shape = np.full(63, 0.25, np.float32)
    driving = motion(exp=np.ones(63, np.float32))
    change = expression(Style(), driving, blink=shape, control=Control(vad_alpha=0.0))
    assert change[LIP] == pytest.approx(0, abs=1e-5)
    assert change[EYE] == pytest.approx(0.25, abs=1e-5)
    half = expression(Style(), driving, control=Control(vad_alpha=0.5))
    assert half[LIP] == pytest.approx(0.5, abs=1e-5)


def test_angles_that_are_asked_for() -> None:
    def yaw_of(control: Control, yaw: float) -> Floats:
        return points(PLAIN, motion(yaw=yaw), control)

    assert np.allclose(yaw_of(Control(delta_yaw=10), 0), yaw_of(Control(), 10), atol=2e-3)
    # a factor is one of degrees, also where nothing is added
    assert np.allclose(yaw_of(Control(alpha_yaw=0.5), 20), yaw_of(Control(), 10), atol=2e-3)
    # first what is added, then the factor: DITTO_FACTS section 11, step 6
    both = Control(alpha_yaw=0.5, delta_yaw=10)
    assert np.allclose(yaw_of(both, 10), yaw_of(Control(), 10), atol=2e-3)


def test_expression_that_is_asked_for() -> None:
    driving = motion(exp=np.ones(63, np.float32))
    more = expression(PLAIN, driving, control=Control(delta_exp=0.1))
    assert more == pytest.approx(LIP + 0.1, abs=1e-5)
    less = points(PLAIN, driving, Control(alpha_exp=0.0))
    rest = keypoints(own_values(replace(FACE, exp=np.zeros(63, np.float32))), FACE.kp)
    assert np.allclose(less, rest, atol=1e-5)


@pytest.mark.parametrize("keys", [("exp",), ("exp", "pitch", "yaw", "roll", "t")])
def test_a_fade_leads_to_the_first_frame_or_to_the_face_itself(keys: tuple[str, ...]) -> None:
    pitched = Control(delta_pitch=2)  # its pitch is degrees by then, the face's own is not
    first = Frame(FACE, FACE, motion(yaw=5), pitched)
    later = Frame(FACE, FACE, motion(exp=np.ones(63, np.float32), yaw=20), replace(pitched))
    for fade in ("d0", "s"):
        style = replace(PLAIN, fade=fade, faded=keys)
        began, anchor = driven(style, first, Anchor(zero=ZERO), 1.0)
        gone = replace(later, control=replace(pitched, fade_alpha=0.0))
        there, _ = driven(style, gone, anchor, 1.0)
        as_driven, _ = driven(
            style, replace(later, control=replace(pitched, fade_alpha=1.0)), anchor, 1.0
        )
        assert np.allclose(as_driven, driven(style, later, anchor, 1.0)[0], atol=1e-4)
        if len(keys) == 1:
            own = replace(later, driving=motion(yaw=20))  # the expression alone has gone
            assert np.allclose(there, driven(style, own, anchor, 1.0)[0], atol=1e-4)
        else:
            own_points = keypoints(own_values(FACE), FACE.kp)
            assert np.allclose(there, began if fade == "d0" else own_points, atol=1e-3)


def test_the_first_frame_is_remembered_whether_it_fades_or_not() -> None:
    _, anchor = driven(PLAIN, Frame(FACE, FACE, motion(yaw=9), Control()), Anchor(), 1.0)
    assert anchor.zero is not None
    assert np.array_equal(anchor.zero, motion(yaw=9))
    assert anchor.first is not None


def test_the_gaze_stays_when_the_head_turns() -> None:
    def eyes(yaw: float) -> Floats:
        steady = points(Style(), motion(yaw=yaw), blink=np.zeros(63, np.float32))
        loose = points(PLAIN, motion(yaw=yaw))
        level: Floats = (steady - loose) / FACE.scale
        return level.reshape(63)

    right = eyes(10)
    assert right[33] == pytest.approx(0.26 * 10 * 0.0007, abs=2e-5)
    assert right[45] == pytest.approx(0.26 * 10 * 0.001, abs=2e-5)
    left = eyes(-10)
    assert left[33] == pytest.approx(-0.26 * 10 * 0.001, abs=2e-5)
    assert left[45] == pytest.approx(-0.26 * 10 * 0.0007, abs=2e-5)
    assert np.count_nonzero(np.abs(right) > 1e-5) == 2


def test_without_relative_motion_it_is_taken_as_it_is() -> None:
    absolute = replace(PLAIN, relative=False)
    assert np.allclose(
        expression(absolute, motion(exp=np.ones(63, np.float32)))[LIP],
        1.0,
        atol=1e-5,
    )
    frame = Frame(FACE, FACE, motion(yaw=7), Control())
    turned, _ = driven(absolute, frame, Anchor(zero=motion(yaw=7)), 1.0)
    assert not np.allclose(turned, points(PLAIN, ZERO), atol=1e-3)

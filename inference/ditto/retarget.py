"""From motion to keypoints: what the sound drives is laid over what the face itself does.

The order of the steps is that of the model's own tools; results differ where it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from inference.ditto.control import Control
from inference.ditto.layout import (
    ANGLES,
    EYES,
    KEYS,
    LIPS,
    Face,
    Floats,
    degrees,
    group_mask,
    motion_values,
)

_LIPS, _EYES = group_mask(LIPS), group_mask(EYES)
PICTURE_KEYS = ("exp", "pitch", "yaw", "roll", "t")
VIDEO_KEYS = ("exp",)
_SIZED = ("exp", "pitch", "yaw", "roll")  # larger in a larger face
# Of the eyeballs, moved against the head so that the gaze stays: (index of exp, side).
_LEFT_X, _LEFT_Y, _RIGHT_X, _RIGHT_Y = 33, 34, 45, 46

Values = dict[str, Floats]


@dataclass(frozen=True, slots=True)
class Style:
    """How motion is laid over a face.

    Args:
        keys: what is driven; the rest is the face's own.
        drives_eyes: whether the motion moves the eyes too.
        relative: only the change since ``zero`` counts.
        gain: factors by key, on top of the difference in size.
        fade: where a fade leads: ``d0`` (the first frame), ``s`` (the face's own), or nowhere.
        faded: what fades.
        stitches: whether the stitching network has the last word.
    """

    keys: tuple[str, ...] = PICTURE_KEYS
    drives_eyes: bool = True
    relative: bool = True
    gain: Mapping[str, float] = field(default_factory=dict)
    fade: str = "d0"
    faded: tuple[str, ...] = ("exp",)
    stitches: bool = True


@dataclass(frozen=True, slots=True)
class Frame:
    """All that decides the keypoints of one frame."""

    own: Face  # the face of the picture
    first_own: Face  # of its first picture: gaze is measured from there
    driving: Floats  # (265,)
    control: Control
    blink: Floats | None = None  # (63,) to add to the eyes at rest


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a stream measures from; both are known after its first frame."""

    zero: Floats | None = None  # (265,): driving motion that means no change
    first: MappingProxyType[str, Floats] | None = None  # the first frame's values


def keypoints(values: Values, kp: Floats) -> Floats:
    """(21, 3) of a face's values and its points at rest."""
    turn = _rotation(*(float(degrees(values[angle])[0]) for angle in ANGLES))
    points = kp.reshape(21, 3) @ turn + values["exp"].reshape(21, 3)
    points = values["scale"] * points
    points[:, :2] += values["t"][:2]
    return points.astype(np.float32)


def own_values(face: Face) -> Values:
    """What a face does by itself."""
    return {key: getattr(face, key) for key in KEYS}


def driven(style: Style, frame: Frame, anchor: Anchor, size: float) -> tuple[Floats, Anchor]:
    """(21, 3) keypoints of a frame, before stitching, and what later ones measure from.

    Args:
        style: how.
        frame: what.
        anchor: of the stream so far.
        size: of the character that moves, over that of the face.
    """
    motion = motion_values(frame.driving)
    if anchor.zero is None:
        anchor = replace(anchor, zero=frame.driving)
    assert anchor.zero is not None
    values = _mixed(style, frame, motion, motion_values(anchor.zero), size)
    values["exp"] = _with_eyes(style, frame, values["exp"])
    values["exp"] = _with_resting_lips(frame, values["exp"])
    values = _controlled(values, frame.control)
    if anchor.first is None:
        anchor = replace(anchor, first=MappingProxyType(dict(values)))
    assert anchor.first is not None
    values = _faded(style, frame, values, anchor.first)
    if style.drives_eyes:
        values["exp"] = _with_steady_gaze(frame.first_own, values)
    return keypoints(values, frame.own.kp), anchor


def _mixed(style: Style, frame: Frame, motion: Values, zero: Values, size: float) -> Values:
    values = own_values(frame.own)
    for key in style.keys:
        gain = np.float32(style.gain.get(key, 1.0) * (size if key in _SIZED else 1.0))
        if style.relative:
            values[key] = values[key] + (motion[key] - zero[key]) * gain
        else:
            values[key] = motion[key] * np.float32(style.gain.get(key, 1.0))
    return values


def _with_eyes(style: Style, frame: Frame, exp: Floats) -> Floats:
    """Lips as driven, eyes blinking or as driven, everything else as it was."""
    own = frame.own.exp
    kept = np.where(_LIPS, exp, own)
    if not style.drives_eyes:
        return kept
    return np.where(_EYES, exp if frame.blink is None else own + frame.blink, kept)


def _with_resting_lips(frame: Frame, exp: Floats) -> Floats:
    """The lips alone: eyes go on blinking while nothing is said."""
    alpha = frame.control.vad_alpha
    if alpha is None or alpha >= 1:
        return exp
    share = np.float32(max(alpha, 0.0))
    return np.where(_LIPS, exp * share + frame.own.exp * (1 - share), exp)


def _controlled(values: Values, control: Control) -> Values:
    """What is asked of the frame, in the order of DITTO_FACTS section 11, step 6."""
    values = dict(values)
    for angle, (factor, addition) in control.turns.items():
        turned = degrees(values[angle]) + np.float32(addition or 0)
        values[angle] = turned * np.float32(1 if factor is None else factor)
    if control.alpha_exp is not None:
        values["exp"] = values["exp"] * np.float32(control.alpha_exp)
    if control.delta_exp is not None:
        values["exp"] = values["exp"] + np.float32(control.delta_exp)
    return values


def _faded(style: Style, frame: Frame, values: Values, first: Any) -> Values:
    alpha = frame.control.fade_alpha
    if alpha is None or style.fade not in ("d0", "s"):
        return values
    target = first if style.fade == "d0" else own_values(frame.own)
    faded, share = dict(values), np.float32(alpha)
    for key in style.faded:
        here, there = values[key], target[key]
        if here.shape != there.shape:  # one of them is degrees by now
            here, there = degrees(here), degrees(there)
        faded[key] = here * share + there * (1 - share)
    return faded


def _with_steady_gaze(own: Face, values: Values) -> Floats:
    """The eyes turn against the head, so that they go on looking at the viewer."""
    yaw = float(degrees(values["yaw"])[0] - degrees(own.yaw)[0])
    pitch = float(degrees(values["pitch"])[0] - degrees(own.pitch)[0])
    dx, dy = 0.26 * yaw, 0.28 * pitch
    exp = values["exp"].copy()
    exp[_LEFT_X] += dx * (0.0007 if dx > 0 else 0.001)
    exp[_RIGHT_X] += dx * (0.001 if dx > 0 else 0.0007)
    exp[_LEFT_Y] -= 0.001 * dy
    exp[_RIGHT_Y] -= 0.001 * dy
    return exp


def _rotation(pitch: float, yaw: float, roll: float) -> Floats:
    """(Rz Ry Rx) transposed, for points as rows; degrees."""
    (sx, cx), (sy, cy), (sz, cz) = (
        (np.sin(np.radians(angle)), np.cos(np.radians(angle))) for angle in (pitch, yaw, roll)
    )
    rx = np.array(((1, 0, 0), (0, cx, -sx), (0, sx, cx)))
    ry = np.array(((cy, 0, sy), (0, 1, 0), (-sy, 0, cy)))
    rz = np.array(((cz, -sz, 0), (sz, cz, 0), (0, 0, 1)))
    turn: Floats = (rz @ ry @ rx).T.astype(np.float32)
    return turn

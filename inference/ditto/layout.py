"""How the model measures time and motion: the constants and records that all stages share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# The model's own rates. Its motion has no other frame rate (upstream's issue 36).
FPS = 25
SAMPLE_HZ = 16_000
SAMPLES_PER_FRAME = SAMPLE_HZ // FPS

# One frame of motion: [scale - 1 | pitch, yaw and roll as logits of 66 bins | t | exp].
MOTION_DIMS = 265
_BINS = 66
_PLACES = {
    "scale": slice(0, 1),
    "pitch": slice(1, 67),
    "yaw": slice(67, 133),
    "roll": slice(133, 199),
    "t": slice(199, 202),
    "exp": slice(202, 265),
}
POSE_DIMS = slice(0, 202)  # all but the expression
ANGLES = ("pitch", "yaw", "roll")
KEYS = tuple(_PLACES)

# Of the 21 keypoints.
LIPS = (6, 12, 14, 17, 19, 20)
EYES = (11, 13, 15, 16, 18)


@dataclass(frozen=True, slots=True)
class Face:
    """Where a face is and what it does, as the motion extractor tells it; all float32 and flat."""

    scale: Floats  # (1,)
    pitch: Floats  # (66,) logits, or (1,) degrees
    yaw: Floats
    roll: Floats
    t: Floats  # (3,)
    exp: Floats  # (63,): 21 points by x, y, z
    kp: Floats  # (63,): the same points of the face at rest

    @classmethod
    def of(cls, outputs: Mapping[str, Any]) -> Face:
        """From a network's outputs, or a stored record, of any shape."""
        flat = {key: np.asarray(outputs[key], np.float32).reshape(-1) for key in (*KEYS, "kp")}
        return cls(**flat)

    def vector(self) -> Floats:
        """As one frame of motion; the points at rest are not part of it."""
        parts = [self.scale - 1, *(getattr(self, key) for key in KEYS[1:])]
        return np.concatenate(parts).astype(np.float32)


def motion_values(vector: Floats) -> dict[str, Floats]:
    """A frame of motion by key; its logits stay logits."""
    values = {key: vector[place] for key, place in _PLACES.items()}
    return values | {"scale": values["scale"] + np.float32(1)}


def degrees(angle: Floats) -> Floats:
    """(1,) degrees of logits; what is degrees already stays."""
    if len(angle) != _BINS:
        return angle
    share = np.exp(angle - angle.max())
    share /= share.sum()
    return np.array([(share * np.arange(_BINS)).sum() * 3 - 97.5], np.float32)


def group_mask(points: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which of the 63 numbers of an expression belong to some keypoints."""
    mask = np.zeros((21, 3), np.bool_)
    mask[list(points)] = True
    return mask.reshape(-1)

"""Where the lips of a photo part: the line that the lower lip moves away from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.landmarks import Landmarks
from rawmedia import Frame

Numbers = NDArray[np.float64]

# A window around the mouth, upright, in hundredths of the distance between the eyes.
HALF_WIDE, ABOVE, BELOW = 50, 34, 34
PIXELS = 2  # of the window per hundredth
TEETH_SHARE = 0.03
GREY = 0.94  # smallest channel over largest: skin has about 0.6


@dataclass(frozen=True, slots=True)
class Seam:
    """A parabola: ``y(x) = y + bend * (x / half)**2``, in hundredths of the eye distance."""

    y: float
    bend: float
    half: float
    teeth: bool  # upper teeth are already visible above it

    def at(self, across: Numbers) -> Numbers:
        """Its height at places from -1 (left corner) to 1."""
        heights: Numbers = self.y + self.bend * across**2
        return heights


def find_seam(picture: Frame, landmarks: Landmarks) -> Seam:
    """The lower edge of visible upper teeth, else the dark line between closed lips."""
    window = _upright_window(picture, landmarks)
    return _below_teeth(window) or _darkest_line(window)


def to_pixels(landmarks: Landmarks) -> Numbers:
    """2x3: from (x, y) about the mouth, upright, in hundredths, to pixels of the picture."""
    size = landmarks.eye_distance / 100
    cosine, sine = size * math.cos(landmarks.tilt), size * math.sin(landmarks.tilt)
    x, y = landmarks.mouth
    return np.array(((cosine, -sine, x), (sine, cosine, y)))


def _upright_window(picture: Frame, landmarks: Landmarks) -> Numbers:
    size = (2 * HALF_WIDE * PIXELS, (ABOVE + BELOW) * PIXELS)
    into = np.array(((1 / PIXELS, 0, -HALF_WIDE), (0, 1 / PIXELS, -ABOVE), (0, 0, 1)))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    window = cv2.warpAffine(
        picture, to_pixels(landmarks) @ into, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.GaussianBlur(window, (0, 0), 1.5), np.float64)


def _below_teeth(window: Numbers) -> Seam | None:
    """Teeth are about as bright as the skin around, and much less red."""
    teeth = _white(window)
    teeth[: 10 * PIXELS] = teeth[-10 * PIXELS :] = False
    teeth[:, : 16 * PIXELS] = teeth[:, -16 * PIXELS :] = False
    kernel = np.ones((3, 3), np.uint8)
    clean = cv2.morphologyEx(teeth.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    if clean.mean() < TEETH_SHARE:
        return None
    columns = np.flatnonzero(clean.sum(axis=0) >= 3)
    if len(columns) < 20 * PIXELS:
        return None
    lowest = clean.shape[0] - 1 - np.argmax(clean[::-1, columns], axis=0)
    half = max(28.0, float(columns.max() - columns.min()) / 2 / PIXELS * 1.12)
    across = (columns / PIXELS - HALF_WIDE) / half
    bend, y = np.polyfit(across**2, lowest / PIXELS - ABOVE, 1)
    # a little lower: the teeth must not move with the lip
    return Seam(float(y) + 2.0, float(np.clip(bend, -20, 8)), min(half, 42.0), teeth=True)


def _white(window: Numbers) -> NDArray[np.bool_]:
    bright = window.max(axis=2)
    white = window.min(axis=2) / np.maximum(bright, 1)
    if np.median(white) > GREY:  # a black-and-white photo: brightness alone must do
        return np.asarray(bright > 1.08 * np.percentile(bright, 70))
    return np.asarray((white > np.median(white) + 0.1) & (bright > 0.8 * np.median(bright)))


def _darkest_line(window: Numbers) -> Seam:
    luma = window @ (0.114, 0.587, 0.299)
    half = 36.0
    across = np.linspace(-0.8, 0.8, 41)
    columns = np.rint((across * half + HALF_WIDE) * PIXELS).astype(np.intp)
    best = (math.inf, 0.0, 0.0)
    for bend in np.arange(-10.0, 8.1, 2.0):
        for y in np.arange(-22.0, 20.1, 0.5):
            rows = np.rint((y + bend * across**2 + ABOVE) * PIXELS).astype(np.intp)
            rows = np.clip(rows, 0, len(luma) - 1)
            # far from the expected place, or strongly bent, needs better reasons
            doubt = 0.02 * y * y + 0.05 * (bend + 2) ** 2
            best = min(best, (float(luma[rows, columns].mean()) + doubt, float(y), float(bend)))
    return Seam(best[1], best[2], half, teeth=False)

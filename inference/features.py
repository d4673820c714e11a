"""The character's moving parts: eyes, brows, nose and mouth, painted anew when they change."""

from __future__ import annotations

from functools import partial

import numpy as np

from inference.figure import HAIR, SKIN, SKIN_DEEP, SKIN_LIGHT, SKIN_SHADE
from inference.motion import Pose
from inference.mouth import MouthShape
from inference.paint import (
    Colour,
    Extent,
    Gradient,
    Layer,
    Path2,
    Sticker,
    ellipse,
    moved,
    path,
    ribbon,
    smooth,
)

EYE_X, EYE_Y = 42.0, -10.0
EYE_SIZE = 1.13
LID: Colour = (230, 172, 142)
SCLERA: Colour = (252, 249, 246)
SCLERA_SHADE: Colour = (206, 200, 204)
IRIS: Colour = (74, 118, 112)
IRIS_LIGHT: Colour = (132, 176, 150)
IRIS_RING: Colour = (36, 62, 66)
PUPIL: Colour = (22, 20, 28)
BROW: Colour = (92, 46, 40)
LASH: Colour = (52, 26, 28)

MOUTH_Y = 78.0
LIP_UPPER: Colour = (196, 88, 88)
LIP_LOWER: Colour = (220, 114, 108)
LIP_SHINE: Colour = (246, 176, 164)
# dark enough that a decoder's loss never makes it look like lips: see presenter.INTERIOR_LUMA
INSIDE: Colour = (58, 16, 26)
TEETH: Colour = (250, 246, 240)
TONGUE: Colour = (186, 78, 84)
LIP_EDGE: Colour = (214, 112, 106)
SEAM: Colour = (156, 68, 70)

JAW_DROP = 13.0  # how far the chin moves for a fully open mouth
OPEN_HEIGHT = 38.0
HALF_WIDTH = 33.0
ACROSS = np.linspace(-1.0, 1.0, 33)

SIDES = (-1, 1)  # left and right in the picture
# (left, top, right, bottom) that these paint on, however the head turns; of what is there twice,
# on the right side
NOSE_EXTENT = (-34.0, -32.0, 38.0, 62.0)
EYE_EXTENT = (EYE_X - 41.0, EYE_Y - 30.0, EYE_X + 40.0, EYE_Y + 26.0)
BROW_EXTENT = (8.0, -66.0, 82.0, -28.0)
EYES_EXTENT = (-82.0, -66.0, 82.0, 22.0)
MOUTH_EXTENT = (-54.0, 44.0, 54.0, 142.0)
# inside the face whatever the head does: no hair, no neck
MEASURE_EXTENT = (-48.0, 54.0, 48.0, 113.0)


class Features:
    """All of one head. Most of them look for seconds as they do, and only turn with it.

    Args:
        head: what they are painted on, again for every frame.
    """

    def __init__(self, head: Layer) -> None:
        self._nose = Sticker(head, NOSE_EXTENT)
        self._eyes = {side: Sticker(head, _on(side, EYE_EXTENT)) for side in SIDES}
        self._brows = {side: Sticker(head, _on(side, BROW_EXTENT)) for side in SIDES}
        self._mouth = Sticker(head, MOUTH_EXTENT)

    def draw(self, mouth: MouthShape, pose: Pose, turn: float) -> None:
        """Paint them for a frame; ``turn`` (units) shifts them sideways with the head."""
        # It turns more than what lies behind it.
        self._nose.lay("nose", _draw_nose, 1.7 * turn)
        look = (pose.lids, pose.gaze_x, pose.gaze_y)
        lift = 5.5 * pose.brows - 1.2 * pose.lids
        for side in SIDES:
            self._eyes[side].lay(look, partial(_draw_eye, side=side, pose=pose), turn)
            self._brows[side].lay(lift, partial(_draw_brow, side=side, lift=lift), turn)
        self._mouth.lay(mouth, partial(_draw_mouth, mouth=mouth), 1.25 * turn)


def _on(side: int, extent: Extent) -> Extent:
    """An extent on the right side of the picture, or its mirror image."""
    left, top, right, bottom = extent
    return extent if side > 0 else (-right, top, -left, bottom)


def _draw_eye(area: Layer, side: int, pose: Pose) -> None:
    x = side * EYE_X

    def curve(*points: tuple[float, float]) -> Path2:  # from the inner corner to the outer one
        return moved(smooth(EYE_SIZE * np.array(points) * (side, 1), closed=False), x, EYE_Y)

    upper = curve((-20, 4), (-12, -8), (0, -13.5), (12, -10), (22, -1))
    lower = curve((-20, 4), (-10, 9), (2, 11), (13, 7.5), (22, -1))
    crease = curve((-19, -5), (-10, -15.5), (2, -19.5), (14, -16), (23, -8))
    lid = upper + (lower - upper) * (0.03 + 0.97 * pose.lids)
    if pose.lids < 0.97:
        _draw_eyeball(area, np.concatenate((lid, lower[::-1])), x, pose)
    if pose.lids > 0.02:
        skin = Gradient((0, EYE_Y - 18), (0, EYE_Y + 10), LID, SKIN)
        area.fill(np.concatenate((upper, lid[::-1])), skin)
    strength = 0.6 - 0.35 * pose.lids
    area.fill(ribbon(moved(crease, 0, 3 * pose.lids), (0.6, 1.9, 0.8)), SKIN_DEEP, strength)
    wing = path((side * 26.5 * EYE_SIZE + x, lid[-1, 1] - 2.5 + 4 * pose.lids))
    lash = np.concatenate((lid, wing))
    area.fill(ribbon(lash, (1.4, 3.4, 4.6, 4.8, 1.0)), LASH)
    area.fill(ribbon(moved(lower[6:], 0, 0.8), (0.3, 1.1, 1.3)), SKIN_DEEP, 0.7)


def _draw_eyeball(area: Layer, opening: Path2, centre: float, pose: Pose) -> None:
    clip = area.mask(opening)
    x, y = centre + 4.4 * pose.gaze_x, EYE_Y - 1.0 + 3.0 * pose.gaze_y
    area.fill(opening, SCLERA)
    area.fill(ellipse(x, y, 13.0, 13.0), IRIS_RING, clip=clip)
    area.fill(ellipse(x, y, 11.4, 11.4), IRIS, clip=clip)
    area.fill(ellipse(x, y + 4.4, 8.4, 6.2), IRIS_LIGHT, 0.8, blur=1.6, clip=clip)
    area.fill(ellipse(x, y, 5.8, 5.8), PUPIL, clip=clip)
    shade = ellipse(centre, opening[:, 1].min() - 5, 32, 9)
    area.fill(shade, SCLERA_SHADE, 0.6, blur=2.5, clip=clip)
    area.fill(ellipse(x - 4.0, y - 4.6, 3.5, 3.5), (255, 255, 255), clip=clip)
    area.fill(ellipse(x + 4.2, y + 4.4, 1.7, 1.7), (255, 255, 255), 0.75, clip=clip)


def _draw_brow(area: Layer, side: int, lift: float) -> None:
    line = smooth(
        [
            (side * 19, -43 - 0.9 * lift),
            (side * 36, -48.5 - lift),
            (side * 54, -48 - lift),
            (side * 70, -38 - 0.6 * lift),
        ],
        closed=False,
    )
    area.fill(ribbon(line, (4.0, 6.8, 5.6, 1.0)), BROW)
    area.fill(ribbon(moved(line[4:22], 0, 1.2), (1, 3, 1)), HAIR, 0.5)


def _draw_nose(nose: Layer) -> None:
    """A hint of one."""
    bridge = smooth([(7, -14), (9, 12), (14, 32)], closed=False)
    nose.fill(ribbon(bridge, (2, 7, 9)), SKIN_SHADE, 0.34, blur=4)
    nose.fill(ellipse(0, 39, 17, 8), SKIN_SHADE, 0.5, blur=5)
    nose.fill(ellipse(-2, 29, 6.5, 8), SKIN_LIGHT, 0.9, blur=4)
    under = smooth([(-12, 38), (-6, 42), (0, 43.5), (6, 42), (12, 38)], closed=False)
    nose.fill(ribbon(under, (0.8, 2.6, 2.2, 2.6, 0.8)), SKIN_DEEP, 0.8)
    for side in (-1, 1):
        wing = smooth([(side * 13, 30), (side * 16.5, 36), (side * 12.5, 40)], closed=False)
        nose.fill(ribbon(wing, (0.4, 1.9, 0.6)), SKIN_DEEP, 0.6)


def _draw_mouth(area: Layer, mouth: MouthShape) -> None:
    """Lips, and behind them teeth and tongue."""
    upper, lower, half = _lip_lines(mouth)
    thick_upper, thick_lower = _lip_thickness(mouth)
    over, under = upper - thick_upper, lower + thick_lower
    _draw_around(area, under, half, mouth)
    shaded = Gradient((0, over[:, 1].min()), (0, upper[:, 1].max()), LIP_EDGE, LIP_UPPER)
    area.fill(np.concatenate((over, moved(upper[::-1], 0, 0.6))), shaded)
    area.fill(np.concatenate((moved(lower, 0, -0.6), under[::-1])), LIP_LOWER)
    shine = moved(lower[9:24], 0.0, 0.5 * thick_lower[16, 1])
    area.fill(ribbon(shine, (0.5, 3.8, 0.5)), LIP_SHINE, 0.75, blur=1.3)
    if (lower - upper)[:, 1].max() > 0.8:
        _draw_inside(area, upper, lower, half, mouth)
    else:
        area.fill(ribbon(upper, (0.8, 1.8, 2.2, 1.8, 0.8)), SEAM)
    _draw_corners(area, upper, mouth)


def _lip_lines(mouth: MouthShape) -> tuple[Path2, Path2, float]:
    """(lower edge of the upper lip, upper edge of the lower lip, half the width)."""
    # an open mouth is a little narrower than a smile, whatever its vowel
    half = HALF_WIDTH * (1.0 + 0.17 * mouth.wide - 0.4 * mouth.round - 0.06 * mouth.open)
    smile = 7.5 * (1.0 - 0.75 * mouth.open) * (1.0 - 0.8 * mouth.round) + 1.6 * mouth.wide
    corners = MOUTH_Y + 0.22 * JAW_DROP * mouth.open
    closed = corners - smile * ACROSS**2 + 0.4 * smile - 0.9 * np.exp(-((ACROSS / 0.2) ** 2))
    power = 2.2 + 0.7 * mouth.round + 0.5 * mouth.wide
    bow = 1.0 - np.abs(ACROSS) ** power
    gap = OPEN_HEIGHT * mouth.open * (1.0 - 0.2 * mouth.wide)
    columns = half * ACROSS
    upper = np.stack((columns, closed - 0.24 * gap * bow), axis=1)
    lower = np.stack((columns, closed + 0.76 * gap * bow), axis=1)
    return upper, lower, half


def _lip_thickness(mouth: MouthShape) -> tuple[Path2, Path2]:
    pout = 1.0 + 0.3 * mouth.round - 0.14 * mouth.wide - 0.1 * mouth.open
    cupid = 1.0 - 0.28 * np.exp(-((ACROSS / 0.14) ** 2))
    zero = np.zeros_like(ACROSS)
    upper = np.stack(
        (zero, (7.2 - 1.6 * mouth.round) * pout * (1.0 - np.abs(ACROSS) ** 2.0) * cupid), axis=1
    )
    lower = np.stack((zero, 9.6 * pout * (1.0 - np.abs(ACROSS) ** 2.6)), axis=1)
    return upper, lower


def _draw_around(area: Layer, under: Path2, half: float, mouth: MouthShape) -> None:
    """The shadow below the lower lip, and the folds beside a wide mouth."""
    x, y = under[16]
    area.fill(ellipse(x, y + 3, 0.55 * half, 4.5), SKIN_SHADE, 0.7, blur=3.5)
    strength = max(0.0, 0.3 + 0.2 * mouth.wide + 0.1 * mouth.open - 0.3 * mouth.round)
    for side in (-1, 1):
        end = (side * (half + 11) + x, MOUTH_Y - 3)
        fold = smooth([(side * 26 + x, 46), (side * 38 + x, 58), end], closed=False)
        area.fill(ribbon(fold, (0.5, 3, 0.5)), SKIN_SHADE, strength, blur=1.6)


def _draw_corners(area: Layer, line: Path2, mouth: MouthShape) -> None:
    for side, (x, y) in ((-1, line[0]), (1, line[-1])):
        points = [(x - side * 2, y + 0.8), (x + side * 1.8, y - 0.2), (x + side * 4.4, y - 2.8)]
        corner = ribbon(smooth(points, closed=False), (1.0, 2.4, 0.6))
        area.fill(corner, SKIN_DEEP, 0.85 - 0.45 * mouth.round)


def _draw_inside(area: Layer, upper: Path2, lower: Path2, half: float, mouth: MouthShape) -> None:
    opening = np.concatenate((upper, lower[::-1]))
    area.fill(opening, INSIDE)
    gap = float((lower - upper)[:, 1].max())
    if gap < 3.0:
        return
    clip = area.mask(opening)
    x, bottom = upper[16, 0], float(lower[:, 1].max())
    tongue = ellipse(x, bottom + 0.12 * gap, 0.62 * half, 0.40 * gap)
    area.fill(tongue, TONGUE, min(1.0, gap / 9.0), blur=0.8, clip=clip)
    height = min(7.5, 0.3 * gap) * (1.0 - 0.75 * mouth.round) * (1.0 - np.abs(ACROSS) ** 5)
    edge = upper + np.stack((-0.06 * half * ACROSS, height), axis=1)
    area.fill(np.concatenate((moved(upper, 0, -3), edge[::-1])), TEETH, blur=0.35, clip=clip)
    area.fill(ribbon(moved(upper, 0, 0.6), (1.6, 1.6)), INSIDE, 0.35, blur=0.8, clip=clip)
    if gap > 20.0:
        low = lower[8:-8]
        top = moved(low, 0, -min(4.0, 0.16 * (gap - 20.0)))
        area.fill(np.concatenate((top, low[::-1])), TEETH, 0.7, blur=0.6, clip=clip)

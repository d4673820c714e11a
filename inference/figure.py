"""The character's still parts: clothes, hair, head. Drawn once, in units.

One unit is one pixel of a 720p picture. The origin is between the eyes and the nose; x grows to
the right of the picture, y grows down. Shapes without a number of their own were found by looking.
"""

from __future__ import annotations

import cv2
import numpy as np

from inference.paint import (
    Colour,
    Gradient,
    Layer,
    Path2,
    ellipse,
    lay_premultiplied,
    mirrored,
    moved,
    path,
    ribbon,
    smooth,
)

SKIN: Colour = (243, 197, 166)
SKIN_LIGHT: Colour = (250, 213, 185)
SKIN_SHADE: Colour = (214, 146, 117)
SKIN_DEEP: Colour = (186, 112, 92)
BLUSH: Colour = (238, 134, 116)
HAIR: Colour = (104, 50, 40)
HAIR_DARK: Colour = (66, 30, 30)
HAIR_LIGHT: Colour = (176, 96, 66)
BLAZER: Colour = (43, 62, 108)
BLAZER_LIGHT: Colour = (66, 90, 144)
BLAZER_DARK: Colour = (28, 41, 76)
SHIRT: Colour = (250, 244, 234)
SHIRT_SHADE: Colour = (214, 203, 194)
GOLD: Colour = (236, 184, 92)

# (left, top, right, bottom) of what each layer may cover
HEAD_EXTENT = (-160.0, -190.0, 160.0, 300.0)
BODY_EXTENT = (-330.0, 150.0, 330.0, 700.0)

# Below this line the face is a layer of its own, stretched when the jaw drops.
JAW_TOP = 52.0
JAW_EXTENT = (-100.0, JAW_TOP, 100.0, 140.0)

FACE = mirrored(
    [
        (0, -122),
        (44, -116),
        (78, -86),
        (92, -40),
        (93, 4),
        (90, 38),
        (81, 74),
        (61, 106),
        (31, 126),
        (0, 131),
    ]
)
NECK = mirrored(
    [(0, 60), (45, 70), (46, 120), (52, 158), (66, 188), (120, 215), (90, 296), (0, 298)]
)

BACK_HAIR = mirrored(
    [
        (0, -172),
        (60, -162),
        (108, -122),
        (128, -60),
        (131, 10),
        (136, 80),
        (134, 138),
        (112, 166),
        (84, 158),
        (50, 120),
        (0, 110),
    ]
)
# Parted on one side: the long sweep to the right of the picture, the short one to the left.
SWEEP_RIGHT = smooth(
    [
        (-36, -166),
        (10, -176),
        (66, -164),
        (108, -124),
        (128, -62),
        (132, 10),
        (128, 74),
        (112, 116),
        (96, 122),
        (101, 84),
        (103, 36),
        (99, -6),
        (90, -42),
        (66, -74),
        (28, -98),
        (-8, -114),
        (-34, -130),
    ]
)
SWEEP_LEFT = smooth(
    [
        (-22, -170),
        (-62, -162),
        (-102, -126),
        (-124, -66),
        (-130, 0),
        (-130, 66),
        (-117, 108),
        (-104, 104),
        (-106, 60),
        (-102, 14),
        (-96, -26),
        (-84, -66),
        (-62, -98),
        (-36, -128),
    ]
)


def draw_body(scale: float) -> Layer:
    """Shirt and blazer, open at the neck: laid over the head's layer, which has the neck."""
    body = Layer.blank(BODY_EXTENT, scale)
    _draw_blazer(body)
    _draw_shirt(body)
    _draw_lapels(body)
    return body


SHOULDERS = mirrored(
    [
        (0, 196),
        (40, 178),
        (60, 176),
        (104, 200),
        (172, 222),
        (216, 246),
        (242, 296),
        (262, 400),
        (282, 560),
        (296, 720),
        (0, 760),
    ]
)
OPENING = path(
    *((-45, 150), (45, 150), (47, 178), (45, 200), (28, 246)),
    *((0, 286), (-28, 246), (-45, 200), (-47, 178)),
)


def _draw_blazer(body: Layer) -> None:
    inside = body.mask(SHOULDERS)
    body.fill(SHOULDERS, Gradient((0, 190), (0, 560), BLAZER, BLAZER_DARK))
    body.fill(ellipse(-120, 214, 120, 46), BLAZER_LIGHT, 0.75, blur=22, clip=inside)
    body.fill(ellipse(150, 226, 90, 30), BLAZER_LIGHT, 0.5, blur=20, clip=inside)
    for side in (-1, 1):
        fold = smooth([(side * 196, 300), (side * 186, 400), (side * 196, 720)], closed=False)
        body.fill(ribbon(fold, (2, 10, 14)), BLAZER_DARK, 0.9, blur=5, clip=inside)
        arm = smooth([(side * 262, 280), (side * 278, 420), (side * 300, 720)], closed=False)
        body.fill(ribbon(arm, (30, 44, 50)), BLAZER_DARK, 0.7, blur=14, clip=inside)


def _draw_shirt(body: Layer) -> None:
    shirt = path((-62, 166), (62, 166), (88, 260), (4, 588), (-4, 588), (-88, 260))
    body.fill(shirt, Gradient((0, 180), (0, 420), SHIRT, SHIRT_SHADE))
    # cut the neck out: the skin behind shows through
    hole = body.mask(smooth(OPENING))
    keep = cv2.bitwise_not(hole)
    body.pixels[:] = cv2.multiply(body.pixels, cv2.merge((keep, keep, keep, keep)), scale=1 / 255)
    for side in (-1, 1):
        edge = smooth([(side * 48, 160), (side * 42, 214), (side * 2, 290)], closed=False)
        body.fill(ribbon(edge, (12, 12, 8)), SKIN_DEEP, 0.45, blur=5, clip=hole)
        collar = path(
            (side * 50, 160),
            (side * 66, 164),
            (side * 96, 214),
            (side * 62, 272),
            (side * 34, 244),
            (side * 50, 206),
        )
        body.fill(moved(collar, 0, 6), BLAZER_DARK, 0.45, blur=6, clip=keep)
        body.fill(collar, Gradient((side * 40, 170), (side * 80, 270), SHIRT, (236, 226, 216)))
    placket = path((-1, 292), (1, 292), (1, 584), (-1, 584))
    body.fill(placket, SHIRT_SHADE, 0.9, blur=1)
    for y in (330, 392, 454):
        body.fill(ellipse(6, y, 4.2, 4.2), SHIRT_SHADE)


def _draw_lapels(body: Layer) -> None:
    for side in (-1, 1):
        lapel = path(
            (side * 70, 172),
            (side * 104, 200),
            (side * 142, 300),
            (side * 116, 312),
            (side * 122, 336),
            (side * 6, 600),
            (side * 0, 596),
            (side * 66, 330),
            (side * 92, 236),
        )
        body.fill(moved(lapel, side * 3, 7), (14, 22, 46), 0.5, blur=8, clip=body.mask(SHOULDERS))
        body.fill(lapel, Gradient((side * 150, 230), (side * 20, 460), BLAZER_LIGHT, BLAZER))
    front = smooth([(0, 592), (6, 640), (24, 720)], closed=False)
    body.fill(ribbon(front, (2, 5, 6)), BLAZER_DARK, 0.9, blur=1.5)
    body.fill(ellipse(18, 622, 8, 8), BLAZER_DARK)
    body.fill(ellipse(17, 620.5, 6, 6), BLAZER_LIGHT, 0.6, blur=1)


def draw_head(scale: float) -> tuple[Layer, Layer]:
    """(head without eyes, brows, nose and mouth; the lower face alone)."""
    head = Layer.blank(HEAD_EXTENT, scale)
    _draw_back_hair(head)
    _draw_neck(head)
    _draw_ears(head)
    face = Layer.blank(HEAD_EXTENT, scale)
    _draw_face(face)
    jaw = _cut_jaw(face)
    lay_premultiplied(head.pixels, face.pixels)
    _draw_front_hair(head)
    return head, jaw


def _cut_jaw(face: Layer) -> Layer:
    """Move the lower face out of ``face`` into a layer of its own."""
    jaw = Layer.blank(JAW_EXTENT, face.scale)
    rows, columns = face.box(*JAW_EXTENT)
    height, width = jaw.pixels.shape[:2]
    area = face.pixels[rows.start : rows.start + height, columns.start : columns.start + width]
    jaw.pixels[: area.shape[0], : area.shape[1]] = area
    area[round(4 * face.scale) :] = 0  # the rows at the seam stay below the jaw: no gap opens
    return jaw


def _draw_back_hair(head: Layer) -> None:
    inside = head.mask(BACK_HAIR)
    head.fill(BACK_HAIR, Gradient((0, -160), (0, 160), HAIR, HAIR_DARK))
    head.fill(ellipse(0, 120, 80, 90), (40, 16, 20), 0.7, blur=22, clip=inside)
    for side in (-1, 1):
        strand = smooth([(side * 112, 0), (side * 122, 70), (side * 106, 150)], closed=False)
        head.fill(ribbon(strand, (2, 12, 3)), HAIR_LIGHT, 0.35, blur=4, clip=inside)


def _draw_neck(head: Layer) -> None:
    inside = head.mask(NECK)
    head.fill(NECK, Gradient((0, 120), (0, 280), SKIN, SKIN_LIGHT))
    head.fill(ellipse(6, 108, 74, 62), SKIN_DEEP, 0.62, blur=11, clip=inside)
    for side in (-1, 1):
        head.fill(ellipse(side * 52, 150, 16, 60), SKIN_SHADE, 0.7, blur=9, clip=inside)
        bone = smooth([(side * 14, 222), (side * 46, 212), (side * 84, 206)], closed=False)
        head.fill(ribbon(bone, (2, 5, 1)), SKIN_SHADE, 0.55, blur=2, clip=inside)
    head.fill(ellipse(0, 226, 7, 9), SKIN_SHADE, 0.4, blur=4, clip=inside)


def _draw_ears(head: Layer) -> None:
    for side in (-1, 1):
        ear = smooth(
            [
                (side * 88, -18),
                (side * 102, -24),
                (side * 110, -6),
                (side * 105, 22),
                (side * 92, 34),
            ]
        )
        head.fill(ear, Gradient((0, -10), (0, 36), SKIN, SKIN_SHADE))
        head.fill(ellipse(side * 99, 10, 5, 12), SKIN_DEEP, 0.5, blur=3)
        head.fill(ellipse(side * 96, 43, 4.6, 4.6), GOLD)
        head.fill(ellipse(side * 96 - 1.4, 41.4, 1.5, 1.5), (255, 240, 200))


def _draw_face(face: Layer) -> None:
    inside = face.mask(FACE)
    face.fill(FACE, Gradient((-60, -100), (60, 130), SKIN_LIGHT, SKIN))
    face.fill(ellipse(-10, -60, 70, 46), SKIN_LIGHT, 0.8, blur=24, clip=inside)
    edge = ribbon(np.concatenate((FACE, FACE[:1])), (15, 15))
    face.fill(edge, SKIN_SHADE, 0.42, blur=9, clip=inside)
    face.fill(ellipse(88, 20, 26, 110), SKIN_SHADE, 0.5, blur=18, clip=inside)
    face.fill(ellipse(0, 132, 50, 13), SKIN_SHADE, 0.55, blur=8, clip=inside)
    for side in (-1, 1):
        face.fill(ellipse(side * 56, 40, 25, 18), BLUSH, 0.34, blur=11, clip=inside)
        face.fill(ellipse(side * 41, -12, 32, 20), SKIN_SHADE, 0.26, blur=9, clip=inside)
    face.fill(ellipse(-44, 26, 16, 9), (255, 232, 212), 0.5, blur=7, clip=inside)
    face.fill(ellipse(0, 112, 14, 8), SKIN_LIGHT, 0.7, blur=6, clip=inside)


def _draw_front_hair(head: Layer) -> None:
    face = head.mask(FACE)
    for sweep, shift in ((SWEEP_RIGHT, (-2, 8)), (SWEEP_LEFT, (3, 7))):
        head.fill(moved(sweep, *shift), SKIN_DEEP, 0.55, blur=7, clip=face)
    _draw_sweep(head, SWEEP_LEFT, -1)
    _draw_sweep(head, SWEEP_RIGHT, 1)
    part = smooth([(-30, -170), (-35, -150), (-35, -128)], closed=False)
    head.fill(ribbon(part, (0.5, 2.2, 0.8)), HAIR_DARK, 0.7, blur=1.2)


def _draw_sweep(head: Layer, sweep: Path2, side: int) -> None:
    inside = head.mask(sweep)
    head.fill(sweep, Gradient((0, -175), (side * 30, 120), (124, 62, 46), HAIR_DARK))
    root = (-34.0, -152.0)
    for number, (turn, reach) in enumerate(((0.35, 0.5), (0.62, 0.72), (0.86, 0.9))):
        middle = (side * (34 + 78 * turn) - 14, -146 + 66 * turn)
        low = (side * (80 + 34 * reach), -72 + 100 * reach)
        end = (side * (100 + 14 * reach), 30 + 60 * reach)
        strand = smooth([root, middle, low, end], closed=False)
        colour = HAIR_LIGHT if number % 2 == 0 else HAIR_DARK
        head.fill(ribbon(strand, (1, 11, 8, 1)), colour, 0.5, blur=4.5, clip=inside)
    for number in range(5):  # fine strands, from the parting down to the tips
        out = 12.0 * number
        fine = smooth(
            [
                (root[0] + side * 3 * number, root[1] - 2 * number),
                (side * (46 + out) - 14, -122 + 2 * number),
                (side * (84 + 0.72 * out), -44 + 3 * number),
                (side * (98 + 0.5 * out), 44 + 6 * number),
            ],
            closed=False,
        )
        colour = HAIR_DARK if number % 2 else HAIR_LIGHT
        head.fill(ribbon(fine, (0.6, 1.8, 1.4, 0.4)), colour, 0.55, blur=0.7, clip=inside)
    shine = smooth([(side * 30 - 12, -150), (side * 74, -128), (side * 104, -84)], closed=False)
    head.fill(ribbon(shine, (3, 17, 3)), (214, 140, 100), 0.55, blur=7, clip=inside)

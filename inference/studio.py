"""The character's background, drawn once: a softly lit room, out of focus."""

from __future__ import annotations

import cv2
import numpy as np

from inference.paint import Colour, Gradient, Layer, ellipse, path, ribbon, smooth
from rawmedia import Frame


def draw_studio(width: int, height: int, centre: tuple[float, float], unit: float) -> Frame:
    """The background: a softly lit wall, a glow behind the head, plants out of focus."""
    x0, y0 = -centre[0] / unit, -centre[1] / unit
    x1, y1 = x0 + width / unit, y0 + height / unit
    # everything here is out of focus: drawn small, enlarged smoothly
    wall = Layer.blank((x0, y0, x1, y1), min(unit, 0.5))
    whole = path((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    wall.pixels[:] = 255
    wall.fill(whole, Gradient((0, y0), (0, y1), (196, 219, 222), (128, 170, 184)))
    wall.fill(ellipse(-30, -60, 430, 390), (232, 241, 236), 0.75, blur=120)
    wall.fill(ellipse(x0, y1, 520, 300), (74, 118, 142), 0.5, blur=110)
    wall.fill(ellipse(x1, y1, 520, 300), (74, 118, 142), 0.5, blur=110)
    _draw_shelf(wall)
    _draw_lamp(wall)
    _draw_plant(wall)
    picture = cv2.cvtColor(wall.pixels, cv2.COLOR_BGRA2BGR)
    picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(7).integers(-1, 2, picture.shape, np.int16)  # against banding
    return np.asarray(np.clip(picture + noise, 0, 255), np.uint8)


def _draw_shelf(wall: Layer) -> None:
    wall.fill(path((300, 62), (640, 62), (640, 74), (300, 74)), (120, 92, 80), 0.55, blur=4)
    wall.fill(path((300, 74), (640, 74), (640, 96), (300, 96)), (70, 104, 122), 0.35, blur=8)
    books: list[tuple[float, float, float, Colour]] = [
        (372, 26, 128, (222, 128, 104)),
        (402, 20, 108, (70, 112, 140)),
        (426, 24, 118, (240, 214, 166)),
        (454, 18, 98, (92, 138, 132)),
        (476, 26, 122, (206, 110, 100)),
    ]
    for left, wide, tall, colour in books:
        spine = path((left, 62 - tall), (left + wide, 62 - tall), (left + wide, 62), (left, 62))
        wall.fill(spine, colour, 0.62, blur=4)


def _draw_lamp(wall: Layer) -> None:
    wall.fill(ellipse(-420, -150, 190, 170), (255, 236, 196), 0.75, blur=80)
    wall.fill(
        path((-424, -110), (-416, -110), (-416, 460), (-424, 460)), (96, 100, 112), 0.5, blur=4
    )
    shade = path((-462, -200), (-378, -200), (-352, -104), (-488, -104))
    wall.fill(shade, Gradient((0, -200), (0, -104), (255, 233, 190), (255, 246, 222)), 0.95, blur=5)


def _draw_plant(wall: Layer) -> None:
    leaves = [
        ((-520, 420), (-560, 200), (-600, 60)),
        ((-510, 420), (-500, 230), (-540, 90)),
        ((-500, 420), (-450, 260), (-440, 130)),
        ((-495, 420), (-400, 300), (-350, 220)),
        ((-520, 420), (-600, 300), (-660, 230)),
    ]
    for number, line in enumerate(leaves):
        leaf = ribbon(smooth(line, closed=False), (8, 40, 62, 50, 4))
        colour = (64, 126, 112) if number % 2 else (84, 148, 124)
        wall.fill(leaf, colour, 0.72, blur=6)

"""A small vector painter: smooth paths filled into layers that are larger than what is shown.

Layers are premultiplied BGRA, so that they can be warped and laid over each other without dark
edges. Shapes are in *units* (the character's own measure); a layer knows its pixels per unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from rawmedia import Frame

Path2 = NDArray[np.float64]  # N x 2, in units
Colour = tuple[int, int, int]  # red, green, blue
Matrix = NDArray[np.float64]  # 2 x 3
Extent = tuple[float, float, float, float]  # left, top, right, bottom, in units

SHIFT = 4  # fillPoly takes sixteenths of a pixel
MAX_BLUR_PIXELS = 2.5  # a wider blur is done on a smaller copy: nobody sees the difference


# Constants of the curves: computed once, because paths are built for every frame.
_BETWEEN = np.linspace(0.0, 1.0, 10, endpoint=False)[None, :, None]
_ANGLES = np.linspace(0.0, 2 * np.pi, 48, endpoint=False)
_CIRCLE = np.stack((np.cos(_ANGLES), np.sin(_ANGLES)), axis=1)


@dataclass(frozen=True, slots=True)
class Gradient:
    """Colours from ``start`` to ``end`` (x, y in units)."""

    start: tuple[float, float]
    end: tuple[float, float]
    first: Colour
    last: Colour


Paint = Colour | Gradient


def path(*points: tuple[float, float]) -> Path2:
    """Points as an array, straight between them."""
    return np.array(points, np.float64)


def moved(points: Path2, x: float, y: float) -> Path2:
    """The same path elsewhere."""
    elsewhere: Path2 = points + np.array((x, y))
    return elsewhere


def smooth(points: Path2 | Sequence[tuple[float, float]], closed: bool = True) -> Path2:
    """A curve through all the points (Catmull-Rom)."""
    p = np.asarray(points, np.float64)
    if closed:
        p = np.concatenate((p[-1:], p, p[:2]))
    else:
        p = np.concatenate((2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]))
    a, b, c, d = (p[i : len(p) - 3 + i, None, :] for i in range(4))
    t = _BETWEEN
    curve = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * (b - c) + d - a) * t**3
    )
    flat: Path2 = curve.reshape(-1, 2)
    return flat if closed else np.concatenate((flat, p[-2:-1]))


def mirrored(right: Sequence[tuple[float, float]]) -> Path2:
    """A closed symmetric curve from its right half, top to bottom, both ends on the axis."""
    half = np.array(right, np.float64)
    left = half[-2:0:-1] * (-1.0, 1.0)
    return smooth(np.concatenate((half, left)))


def ellipse(x: float, y: float, rx: float, ry: float) -> Path2:
    """An upright ellipse."""
    circle: Path2 = _CIRCLE * (rx, ry) + (x, y)
    return circle


def ribbon(line: Path2, widths: Sequence[float]) -> Path2:
    """The outline of a stroke along ``line`` whose width changes along it."""
    along = np.empty_like(line)
    along[1:-1] = line[2:] - line[:-2]
    along[0], along[-1] = line[1] - line[0], line[-1] - line[-2]
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1])[:, None], 1e-9)
    across = along[:, ::-1] * (-1.0, 1.0)
    places = np.arange(len(line)) * ((len(widths) - 1) / (len(line) - 1))
    half = np.interp(places, np.arange(len(widths)), widths)[:, None] / 2
    return np.concatenate((line + across * half, (line - across * half)[::-1]))


@dataclass(frozen=True, slots=True)
class Layer:
    """A transparent picture whose corner is at (``left``, ``top``) units."""

    left: float
    top: float
    scale: float  # pixels per unit
    pixels: Frame  # HxWx4, premultiplied

    @classmethod
    def blank(cls, extent: Extent, scale: float) -> Layer:
        """A layer that shows nothing yet."""
        left, top, right, bottom = extent
        width = max(2, round((right - left) * scale))
        height = max(2, round((bottom - top) * scale))
        return cls(left, top, scale, np.zeros((height, width, 4), np.uint8))

    def part(self, extent: Extent) -> Layer:
        """A window into this layer: what is painted there is painted here."""
        rows, columns = self.box(*extent)
        left, top = self.left + columns.start / self.scale, self.top + rows.start / self.scale
        return Layer(left, top, self.scale, self.pixels[rows, columns])

    def place(self, points: NDArray[Any]) -> Path2:
        """Units to pixels of this layer."""
        return (points - (self.left, self.top)) * self.scale

    def box(self, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
        """The pixels (rows, columns) of a rectangle in units, cut to the layer."""
        height, width = self.pixels.shape[:2]
        x0, x1 = (int((x - self.left) * self.scale) for x in (left, right))
        y0, y1 = (int((y - self.top) * self.scale) for y in (top, bottom))
        return (
            slice(min(max(0, y0), height - 1), min(height, max(1, y1 + 1))),
            slice(min(max(0, x0), width - 1), min(width, max(1, x1 + 1))),
        )

    def mask(self, points: Path2) -> MatLike:
        """How much of each pixel of the whole layer a path covers: what ``clip`` wants."""
        mask = np.zeros(self.pixels.shape[:2], np.uint8)
        _fill(mask, self.place(points))
        return mask

    def fill(
        self,
        points: Path2,
        paint: Paint,
        opacity: float = 1.0,
        blur: float = 0.0,
        clip: MatLike | None = None,
    ) -> None:
        """Paint the inside of a path; ``blur`` (units) makes its edge soft."""
        spread = 2.5 * blur
        left, top = (points.min(axis=0) - (spread + 1)).tolist()
        right, bottom = (points.max(axis=0) + (spread + 1)).tolist()
        rows, columns = self.box(left, top, right, bottom)
        area = self.pixels[rows, columns]
        if not area.size:
            return
        mask: MatLike = np.zeros(area.shape[:2], np.uint8)
        _fill(mask, self.place(points) - (columns.start, rows.start))
        if blur:
            mask = _blurred(mask, blur * self.scale)
        if clip is not None:
            mask = cv2.multiply(mask, clip[rows, columns], scale=1 / 255)
        if opacity < 1.0:
            mask = cv2.convertScaleAbs(mask, alpha=opacity)
        if isinstance(paint, Gradient):
            painted: MatLike = cv2.multiply(
                self._shaded(paint, rows, columns), cv2.merge((mask,) * 4), scale=1 / 255
            )
        else:
            painted = cv2.LUT(cv2.merge((mask,) * 4), _tints(paint))
        lay_premultiplied(area, painted)

    def _shaded(self, paint: Gradient, rows: slice, columns: slice) -> Frame:
        start, end = self.place(np.array((paint.start, paint.end)))
        run = end - start
        run = run / (run @ run)
        x = (np.arange(columns.start, columns.stop) - start[0]) * run[0]
        y = (np.arange(rows.start, rows.stop) - start[1]) * run[1]
        t = np.clip(y[:, None] + x[None, :], 0.0, 1.0)
        steps = np.linspace(0.0, 1.0, 256)[:, None]
        first, last = (np.array((*c[::-1], 255.0)) for c in (paint.first, paint.last))
        table = (first + (last - first) * steps).astype(np.uint8)
        place = (t * 255).astype(np.uint8)
        # OpenCV's table, not numpy's index: five times as fast, and a stream waits for it.
        return np.asarray(cv2.LUT(cv2.merge((place,) * 4), table[:, None]), np.uint8)


class Sticker:
    """Something on a layer that is painted when it changes, and else only shifts sideways.

    Args:
        under: what it is laid on; its pixels stay the same array.
        extent: where it may be, in units.
    """

    def __init__(self, under: Layer, extent: Extent) -> None:
        self._area = under.part(extent)
        self._own = replace(self._area, pixels=np.zeros_like(self._area.pixels))
        self._shows: object = None

    def lay(self, shows: object, paint: Callable[[Layer], None], shift: float) -> None:
        """Lay it on what is there.

        Args:
            shows: what it is a picture of, but None: if that is something else, it is painted anew.
            paint: paints that on a layer that shows nothing yet.
            shift: to the right, in units.
        """
        if shows != self._shows:
            self._own.pixels.fill(0)
            paint(self._own)
            self._shows = shows
        height, width = self._own.pixels.shape[:2]
        matrix = np.array(((1.0, 0.0, shift * self._own.scale), (0.0, 1.0, 0.0)))
        shifted = cv2.warpAffine(self._own.pixels, matrix, (width, height))
        lay_premultiplied(self._area.pixels, shifted)


@cache
def _tints(colour: Colour) -> Frame:
    """A colour premultiplied by every possible opacity."""
    opacity = np.arange(256)[:, None, None] / 255
    return np.asarray(np.rint(opacity * np.array((*colour[::-1], 255))), np.uint8)


def lay_over(frame: Frame, layer: Layer, matrix: Matrix, extent: Extent) -> None:
    """Draw a layer onto a frame.

    Args:
        frame: HxWx3 BGR.
        layer: what to draw.
        matrix: 2x3, units to frame pixels.
        extent: (left, top, right, bottom) in units: outside of it the layer is empty.
    """
    box = _frame_box(frame, matrix, extent)
    if box is None:
        return
    x0, y0, x1, y1 = box
    to_units = cv2.invertAffineTransform(matrix)
    to_layer = to_units * layer.scale
    to_layer[:, 2] = layer.place(to_units @ (x0, y0, 1.0))
    warped = cv2.warpAffine(
        layer.pixels,
        to_layer,
        (x1 - x0, y1 - y0),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    lay_flat(frame[y0:y1, x0:x1], warped)


def lay_flat(area: Frame, over: MatLike) -> None:
    """Lay premultiplied BGRA pixels over BGR ones of the same size, in place."""
    rest = cv2.bitwise_not(cv2.extractChannel(over, 3))
    cv2.multiply(area, cv2.merge((rest, rest, rest)), area, scale=1 / 255)
    cv2.add(area, cv2.cvtColor(over, cv2.COLOR_BGRA2BGR), area)


def lay_premultiplied(under: Frame, over: MatLike) -> None:
    """Lay premultiplied BGRA pixels over premultiplied BGRA ones of the same size, in place."""
    rest = cv2.bitwise_not(cv2.extractChannel(over, 3))
    cv2.multiply(under, cv2.merge((rest, rest, rest, rest)), under, scale=1 / 255)
    cv2.add(under, over, under)


def _frame_box(frame: Frame, matrix: Matrix, extent: Extent) -> tuple[int, int, int, int] | None:
    left, top, right, bottom = extent
    corners = np.array(((left, top, 1), (right, top, 1), (left, bottom, 1), (right, bottom, 1)))
    placed = corners @ matrix.T
    x0, y0 = (max(0, int(v)) for v in np.floor(placed.min(axis=0)))
    x1, y1 = (int(v) for v in np.ceil(placed.max(axis=0)) + 1)
    x1, y1 = min(x1, frame.shape[1]), min(y1, frame.shape[0])
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def _fill(mask: MatLike, points: Path2) -> None:
    fixed = np.rint(points * (1 << SHIFT)).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, SHIFT)


def _blurred(mask: MatLike, sigma: float) -> MatLike:
    shrink = max(1.0, sigma / MAX_BLUR_PIXELS)
    height, width = mask.shape
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA) if shrink > 1 else mask
    # edges of the area are empty, not a continuation of what is near them
    small = cv2.GaussianBlur(small, (0, 0), sigma / shrink, borderType=cv2.BORDER_CONSTANT)
    way = cv2.INTER_CUBIC if shrink > 4 else cv2.INTER_LINEAR  # facets show in large soft areas
    return cv2.resize(small, (width, height), interpolation=way)

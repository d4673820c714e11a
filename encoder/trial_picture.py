"""Test pictures for a trial encode, and how far a decoded copy is from them: pure arrays.

Coloured cells over the whole picture, a square that moves, fine texture in every cell, and one
hard cut. A green, black, frozen or colour-swapped result lies far from them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rawmedia import Frame

_COLUMNS, _ROWS = 32, 18
_SMALLEST_CELL = 8  # pixels; smaller ones are averaged by 4:2:0 chroma
_TEXTURE_MASK = 15
_TEXTURE_MEAN = _TEXTURE_MASK / 2


@dataclass(frozen=True, slots=True)
class TrialPictures:
    """``frames`` pictures of one size; from number ``cut`` on they show another scene."""

    width: int
    height: int
    frames: int
    cut: int

    @property
    def columns(self) -> int:
        """Cells across."""
        return max(1, min(_COLUMNS, self.width // _SMALLEST_CELL))

    @property
    def rows(self) -> int:
        """Cells down."""
        return max(1, min(_ROWS, self.height // _SMALLEST_CELL))

    def cells(self, number: int) -> Frame:
        """Picture ``number``, one pixel a cell, before the texture is added."""
        y, x = np.mgrid[0 : self.rows, 0 : self.columns]
        blue = 32 + 176 * x // self.columns
        green = 32 + 176 * y // self.rows
        red = 208 - 176 * (x + y) // (self.columns + self.rows)
        inside = (x - number) % self.columns < self.columns // 4
        red = np.where(inside & (y * 2 < self.rows), 208, red)
        picture = np.stack((blue, green, red), axis=2).astype(np.uint8)
        return picture if number < self.cut else (240 - picture[:, ::-1]).astype(np.uint8)

    def frame(self, number: int) -> Frame:
        """Picture ``number`` in full size, BGR24."""
        across = np.arange(self.width) * self.columns // self.width
        down = np.arange(self.height) * self.rows // self.height
        texture = (np.arange(self.width) * 7 ^ np.arange(self.height)[:, None] * 13) & _TEXTURE_MASK
        full: Frame = self.cells(number)[:, across][down]
        full += texture.astype(np.uint8)[:, :, None]  # at most 223: it cannot wrap
        return full

    def differences(self, decoded: bytes) -> list[float]:
        """Mean absolute difference of each decoded picture, given as ``columns x rows`` BGR24."""
        picture_bytes = self.rows * self.columns * 3
        found = []
        for number in range(min(self.frames, len(decoded) // picture_bytes)):
            small = np.frombuffer(decoded, np.uint8, picture_bytes, number * picture_bytes)
            wanted = self.cells(number).ravel() + _TEXTURE_MEAN
            found.append(float(np.abs(small - wanted).mean()))
        return found

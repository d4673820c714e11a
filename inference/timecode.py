"""The time code of the test card: when a picture was drawn, as black and white blocks.

Two rows of 32 blocks over the whole width at the top of the picture, the most significant bit first
at the left, white is 1: 42 bits milliseconds since 1970 (UTC; enough until 2109), 6 bits number of
the unit modulo 64, 16 bits CRC (CCITT, polynomial 0x1021, start 0xFFFF) of the six bytes before.

All places are fractions of the picture, so a reader need not know its size: a player scales it, a
ladder has smaller ones. A block is read at its middle, where neighbours and chroma do not reach.
"""

from __future__ import annotations

from binascii import crc_hqx
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawmedia import Frame

ROWS, COLUMNS = 2, 32
TIME_BITS, UNIT_BITS = 42, 6
UNITS_MODULO = 1 << UNIT_BITS
# Height of one row as a fraction of the picture's: 20 pixels of 360.
ROW_HEIGHT = 1 / 18
# The area that flashes: left, top, right, bottom as fractions of width and height.
FLASH_AREA = (0.70, 0.45, 0.95, 0.90)
BLACK, WHITE = 16, 235
# Halfway between black and white; an encoder at 300 kbit/s moves neither by a third of the way.
THRESHOLD = 128
# Of a block, or of the flash area, so much of each side is looked at.
_MIDDLE = 0.4
_PAYLOAD_BYTES, _CRC_START = 6, 0xFFFF


@dataclass(frozen=True, slots=True)
class TimeCode:
    """What a picture says of itself."""

    milliseconds: int  # since 1970 UTC, when it was drawn
    unit: int  # number of its unit, modulo 64: neighbours tell dropped and repeated pictures


def draw_code(frame: Frame, code: TimeCode) -> None:
    """Draw the blocks into the top of a picture (HxWx3 uint8 BGR), in place."""
    height, width = frame.shape[:2]
    values = np.where(_bits(code), WHITE, BLACK).astype(np.uint8).reshape(ROWS, COLUMNS)
    row_of_pixels = values[:, np.arange(width) * COLUMNS // width]
    for row, pixels in enumerate(row_of_pixels):
        top, bottom = (round(edge * ROW_HEIGHT * height) for edge in (row, row + 1))
        frame[top:bottom] = pixels[:, None]


def read_code(picture: NDArray[np.uint8]) -> TimeCode | None:
    """The time code of a picture of any size, HxWx3 or HxW uint8; None where there is none.

    A picture without a time code is taken for one with in one of 65536 cases.
    """
    levels = [_level(picture, _block(index)) for index in range(ROWS * COLUMNS)]
    data = np.packbits(np.array(levels) > THRESHOLD).tobytes()
    payload, told = data[:_PAYLOAD_BYTES], int.from_bytes(data[_PAYLOAD_BYTES:], "big")
    if crc_hqx(payload, _CRC_START) != told:
        return None
    number = int.from_bytes(payload, "big")
    return TimeCode(number >> UNIT_BITS, number % UNITS_MODULO)


def is_flash(picture: NDArray[np.uint8]) -> bool:
    """Whether the flash of the test card is on in a picture of any size, HxWx3 or HxW uint8."""
    return _level(picture, FLASH_AREA) > THRESHOLD


def _bits(code: TimeCode) -> NDArray[np.uint8]:
    number = (code.milliseconds % (1 << TIME_BITS)) << UNIT_BITS | code.unit % UNITS_MODULO
    payload = number.to_bytes(_PAYLOAD_BYTES, "big")
    crc = crc_hqx(payload, _CRC_START).to_bytes(2, "big")
    return np.unpackbits(np.frombuffer(payload + crc, np.uint8))


def _block(index: int) -> tuple[float, float, float, float]:
    row, column = divmod(index, COLUMNS)
    left, top = column / COLUMNS, row * ROW_HEIGHT
    return left, top, left + 1 / COLUMNS, top + ROW_HEIGHT


def _level(picture: NDArray[np.uint8], area: tuple[float, float, float, float]) -> float:
    """Mean of the middle of an area, all channels alike: the blocks have no colour."""
    height, width = picture.shape[:2]
    (x0, x1), (y0, y1) = ((area[0], area[2]), (area[1], area[3]))
    left, right = _middle(x0 * width, x1 * width)
    top, bottom = _middle(y0 * height, y1 * height)
    return float(picture[top:bottom, left:right].mean())


def _middle(low: float, high: float) -> tuple[int, int]:
    """Whole pixels in the middle of a stretch, at least one."""
    margin = (1 - _MIDDLE) / 2 * (high - low)
    first = int(low + margin)
    return first, max(first + 1, int(high - margin))

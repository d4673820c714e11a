"""The test card: a moving picture that says when it was drawn, a flash and a beep each second."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.timecode import (
    BLACK,
    FLASH_AREA,
    ROW_HEIGHT,
    ROWS,
    UNITS_MODULO,
    WHITE,
    TimeCode,
    draw_code,
)
from rawmedia import Frame, MediaFormat, Samples

BEEP_HZ, BEEP_PEAK = 1000, 16_000
# Short enough to lie within the unit of its flash down to 10 fps.
BEEP_SECONDS = 0.1
HAND_SECONDS = 2  # one turn
# 75 % colour bars (ITU-R BT.471), as BGR.
_BARS = (
    (180, 180, 180),
    (16, 180, 180),
    (180, 180, 16),
    (16, 180, 16),
    (180, 16, 180),
    (16, 16, 180),
    (180, 16, 16),
)
_INK, _FONT = (235, 235, 235), cv2.FONT_HERSHEY_SIMPLEX


class TestCard:
    """A source for measuring. Flash and beep come in the same unit, in the middle of each second.

    The flash is white for exactly one picture; the beep begins on the first sample of its unit, at
    full strength with the first wave, and ends within that unit.

    Args:
        media: what its units look like.
        now: seconds since 1970; the time code and the readable time are taken from it.
    """

    __test__ = False  # pytest: not a class of tests

    def __init__(self, media: MediaFormat, now: Callable[[], float] = time.time) -> None:
        self._media = media
        self._now = now
        self._ground = _ground(media)
        self._beep = _beep(media)
        # Where there is one picture a second it must be dark between two flashes.
        self._period = max(2, media.fps)
        self._index = 0

    def render(self, frame: Frame, samples: Samples) -> int:
        """Fill the next unit in place; it has no mark."""
        milliseconds = int(self._now() * 1000)
        # Not the first: a stream shows that for as long as its beginning needs, without its sound.
        loud = self._index % self._period == self._period // 2
        np.copyto(frame, self._ground)
        self._draw_hand(frame)
        self._write_time(frame, milliseconds)
        if loud:
            _flash(frame)
        draw_code(frame, TimeCode(milliseconds, self._index % UNITS_MODULO))
        samples[:] = self._beep if loud else 0
        self._index += 1
        return 0

    def close(self) -> None:
        """Nothing is held."""

    def _draw_hand(self, frame: Frame) -> None:
        height, width = frame.shape[:2]
        turn = 2 * math.pi * self._index / (HAND_SECONDS * self._media.fps)
        centre, length = (round(0.5 * width), round(0.68 * height)), 0.18 * height
        end = (
            round(centre[0] + length * math.sin(turn)),
            round(centre[1] - length * math.cos(turn)),
        )
        cv2.line(frame, centre, end, _INK, max(1, height // 120), cv2.LINE_AA)

    def _write_time(self, frame: Frame, milliseconds: int) -> None:
        height, width = frame.shape[:2]
        seconds, rest = divmod(milliseconds, 1000)
        text = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + f".{rest:03} UTC"
        scale, thick = width / 700, max(1, width // 400)
        place = (round(0.03 * width), round(0.22 * height))
        cv2.putText(frame, text, place, _FONT, scale, _INK, thick, cv2.LINE_8)


def _ground(media: MediaFormat) -> Frame:
    """All that does not move, drawn once: colour bars, a ramp, the dial, the dark flash area."""
    height, width = media.height, media.width
    ground = np.full((height, width, 3), 40, np.uint8)
    top, middle, bottom = (round(part * height) for part in (0.28, 0.43, 0.48))
    columns = np.arange(width)
    ground[top:middle] = np.array(_BARS, np.uint8)[columns * len(_BARS) // width]
    ramp = np.linspace(BLACK, WHITE, width).astype(np.uint8)
    ground[middle:bottom, : round(0.65 * width)] = ramp[: round(0.65 * width), None]
    ground[: round(ROWS * ROW_HEIGHT * height)] = BLACK
    left, up, right, down = _flash_corners(ground)
    ground[up:down, left:right] = BLACK
    centre, radius = (round(0.5 * width), round(0.68 * height)), round(0.2 * height)
    cv2.circle(ground, centre, radius, _INK, max(1, height // 240), cv2.LINE_AA)
    size = f"{width}x{height} {media.fps} fps"
    place = (round(0.03 * width), round(0.92 * height))
    cv2.putText(ground, size, place, _FONT, width / 900, _INK, max(1, width // 500), cv2.LINE_AA)
    return ground


def _flash(frame: Frame) -> None:
    left, top, right, bottom = _flash_corners(frame)
    frame[top:bottom, left:right] = WHITE


def _flash_corners(frame: Frame) -> tuple[int, int, int, int]:
    height, width = frame.shape[:2]
    left, top, right, bottom = FLASH_AREA
    return round(left * width), round(top * height), round(right * width), round(bottom * height)


def _beep(media: MediaFormat) -> NDArray[np.int16]:
    times = np.arange(media.samples_per_unit)[:, None] / media.audio_rate_hz
    # a cosine: already the first sample is loud
    wave = BEEP_PEAK * np.cos(2 * np.pi * BEEP_HZ * times) * (times < BEEP_SECONDS)
    return np.repeat(wave.astype(np.int16), media.audio_channels, axis=1)

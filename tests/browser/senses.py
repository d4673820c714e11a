"""What a viewer's eyes and ears are given by a page that plays, on one clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from selenium.webdriver import Chrome

Rows = NDArray[np.float64]
Area = tuple[float, float, float, float]  # left, top, width, height as shares of the picture

SCRIPT = (Path(__file__).parent / "senses.js").read_text("utf-8")
# The beep's peak is 0.49; what AAC smears before it is quieter.
LOUD, BRIGHT = 0.2, 128
# A flash and the beep of another are at least half a second apart.
NEAR_MS = 500.0


@dataclass(frozen=True, slots=True)
class Sensed:
    """Times in milliseconds of one clock."""

    pictures: Rows  # when each was due on the screen, its brightness, its dark pixels
    sounds: Rows  # when 128 samples were due, the loudest of them

    def offsets_ms(self) -> list[float]:
        """By how much each flash comes after its beep."""
        flashes = _onsets(self.pictures[:, 0], self.pictures[:, 1] > BRIGHT)
        beeps = np.array(_onsets(self.sounds[:, 0], self.sounds[:, 1] > LOUD))
        if not len(beeps):
            return []
        nearest = [flash - beeps[np.argmin(np.abs(beeps - flash))] for flash in flashes]
        return [offset for offset in nearest if abs(offset) < NEAR_MS]

    def lag_ms(self, reach_ms: int = 200, step_ms: int = 10) -> tuple[float, float]:
        """By how much the mouth comes after the voice where they are most alike, and how alike."""
        first = max(self.pictures[0, 0], self.sounds[0, 0]) + reach_ms
        last = min(self.pictures[-1, 0], self.sounds[-1, 0]) - reach_ms
        grid = np.arange(first, last, step_ms)
        voice = _smooth(_held(self.sounds, 1, grid), 40 // step_ms)

        def alike(lag: float) -> float:
            return float(np.corrcoef(_held(self.pictures, 2, grid + lag), voice)[0, 1])

        found = {lag: alike(lag) for lag in range(-reach_ms, reach_ms + 1, step_ms)}
        best = max(found, key=lambda lag: found[lag])
        return float(best), found[best]


def begin(browser: Chrome, area: Area, dark: int = 0) -> None:
    """Look at an area, and listen, until the page is left, whose policy must be switched off."""
    state: str = browser.execute_async_script(SCRIPT, area, dark)
    assert state == "running"


def sensed(browser: Chrome, seconds: float) -> Sensed:
    """What comes in the next seconds."""
    start: float = browser.execute_script("return performance.now()")
    time.sleep(seconds)
    told: dict[str, Any] = browser.execute_script("return window.senses")
    pictures, sounds, clocks = (np.array(told[k]) for k in ("pictures", "sounds", "clocks"))
    # The context's clock stands between its blocks: when it has just moved it is right.
    sounds[:, 0] += (clocks[-100:, 1] - clocks[-100:, 0]).min()
    return Sensed(pictures[pictures[:, 0] > start], sounds[sounds[:, 0] > start])


def _onsets(times: Rows, is_on: NDArray[np.bool_]) -> list[float]:
    """When something begins that was not there in the 100 ms before."""
    on = times[is_on]
    return [float(at) for at in on[np.diff(on, prepend=-np.inf) > 100]]


def _held(rows: Rows, column: int, grid: Rows) -> Rows:
    """Each value stays until the next one comes."""
    at = np.clip(np.searchsorted(rows[:, 0], grid, "right") - 1, 0, len(rows) - 1)
    held: Rows = rows[at, column]
    return held


def _smooth(values: Rows, width: int) -> Rows:
    return np.convolve(values, np.ones(width) / width, mode="same")

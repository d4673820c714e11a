"""A progress bar: a line that is drawn again on a terminal, a line for each tenth elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

_WIDTH = 30
_AGAIN_SECONDS = 0.1


class Progress:
    """Shows how far a piece of work is; several stages follow each other.

    Args:
        out: where to.
        clock: seconds, rising.
    """

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._drawn = -_AGAIN_SECONDS
        self._told = ("", -1)

    def __call__(self, stage: str, share: float) -> None:
        """A stage is so far, 0 to 1."""
        if self._out.isatty():
            self._draw(stage, share)
        elif self._told != (told := (stage, int(10 * share))):
            self._told = told
            self._out.write(f"{stage} {share:.0%}\n")
            self._out.flush()

    def _draw(self, stage: str, share: float) -> None:
        now = self._clock()
        if share < 1 and now - self._drawn < _AGAIN_SECONDS:
            return
        self._drawn = now
        bar = "#" * round(_WIDTH * share)
        self._out.write(f"\r{stage:<10} [{bar:<{_WIDTH}}] {share:4.0%}" + "\n" * (share >= 1))
        self._out.flush()

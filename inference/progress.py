"""Progress of long work: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from tqdm import tqdm

SAID_EVERY_SECONDS = 30.0


class Progress:
    """A bar on stderr if that is a terminal; else a line each half a minute: logs are
    no place for bars.

    Args:
        total: how many units there are; may be a fraction.
        what: stands in front.
        unit: behind the numbers, such as frame.
        clock: seconds, rising.
    """

    def __init__(
        self, total: float, what: str, unit: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._about = f"{what}: {{:.0f}} of {total:.0f}, {unit}"
        self._clock = clock
        self._said_at = clock()
        self._done = 0.0
        self._bar = tqdm(
            total=total,
            desc=what,
            unit=f" {unit}",
            disable=None,  # off where stderr is no terminal
            file=sys.stderr,
            leave=False,
            dynamic_ncols=True,
        )

    def reach(self, done: float, doing: str = "") -> None:
        """So many units are done; it never goes back."""
        if doing:
            self._bar.set_postfix_str(doing, refresh=False)
        more = max(0.0, done - self._done)
        self._done += more
        self._bar.update(more)
        if self._bar.disable and self._clock() - self._said_at >= SAID_EVERY_SECONDS:
            self._said_at = self._clock()
            said = self._about.format(self._done) + (f": {doing}" if doing else "")
            sys.stderr.write(f"{said}\n")

    def step(self, doing: str = "") -> None:
        """One unit more."""
        self.reach(self._done + 1, doing)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

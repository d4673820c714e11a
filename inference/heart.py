"""Beats to the parent while the work goes on: a process that lives is not yet one that works."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator

BEAT_SECONDS = 0.5
# One picture takes some hundredths of a second; a driver that hangs takes for ever.
LONGEST_WORK_SECONDS = 10.0
_LINE = b"{}\n"


class Heart:
    """Writes a line to standard output every half second, unless one picture takes too long."""

    def __init__(self) -> None:
        self._working_since: float | None = None

    def start(self) -> None:
        """Begin to beat. Standard output must be a pipe that nothing else is written to."""
        os.set_blocking(sys.stdout.fileno(), False)  # a parent that does not read holds up nobody
        threading.Thread(target=self._beat, name="heart", daemon=True).start()

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Around what must come to an end."""
        self._working_since = time.monotonic()
        try:
            yield
        finally:
            self._working_since = None

    def is_well(self, now: float) -> bool:
        """Whether the work that goes on, if any, began not too long ago."""
        since = self._working_since
        return since is None or now - since < LONGEST_WORK_SECONDS

    def _beat(self) -> None:
        while True:
            if self.is_well(time.monotonic()):
                with contextlib.suppress(OSError):
                    os.write(sys.stdout.fileno(), _LINE)
            time.sleep(BEAT_SECONDS)

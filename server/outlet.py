"""Where the log of a service goes: to whoever reads its standard error, if anybody does.

A pipe whose reader has gone, or a terminal that was stopped (Ctrl-S), must not stop what supervises
everything: a thread of its own writes, and lines that wait too long in front of it are left out.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading

from logs import event

STANDARD_ERROR = 2
# So many lines may wait; what a child says in one line is bounded too (64 KiB).
MOST_WAITING_LINES = 1000
# For the last lines to be read, when the service ends.
LAST_LINES_SECONDS = 1.0

log = logging.getLogger(__name__)


class Outlet:
    """A stream of lines, such as :func:`logs.configure` takes, whose writer never waits.

    Use as a context; outside of it lines are written at once.

    Args:
        fd: where to; standard error.
        most_lines: that may wait.
    """

    def __init__(self, fd: int = STANDARD_ERROR, most_lines: int = MOST_WAITING_LINES) -> None:
        self._fd = fd
        self._lines: queue.Queue[bytes] = queue.Queue(most_lines)
        self._left_out = 0
        self._open = self._closing = False
        # A daemon: one that waits for a reader must not keep the process from ending.
        self._thread = threading.Thread(target=self._write_on, name="log", daemon=True)

    def __enter__(self) -> Outlet:
        self._open = True
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open, self._closing = False, True
        with contextlib.suppress(queue.Full):  # it wakes up for what waits
            self._lines.put_nowait(b"")
        self._thread.join(LAST_LINES_SECONDS)

    def isatty(self) -> bool:
        """Whether a person reads along."""
        return os.isatty(self._fd)

    def write(self, text: str) -> None:
        """Take one line with its end; it is left out where too many wait."""
        line = text.encode("utf-8", "backslashreplace")
        if not self._open:
            self._write(line)
            return
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._left_out += 1

    def flush(self) -> None:
        """Nothing waits here for that."""

    def _write_on(self) -> None:
        while not (self._closing and self._lines.empty()):
            self._write(self._lines.get())
            if self._left_out and self._lines.empty():
                left_out, self._left_out = self._left_out, 0
                event(log, "log_left_out", level=logging.WARNING, lines=left_out)

    def _write(self, line: bytes) -> None:
        """By the descriptor: a buffered file would be locked when the process ends."""
        with contextlib.suppress(OSError):  # nobody is there to read it, now or ever
            while line:
                line = line[os.write(self._fd, line) :]

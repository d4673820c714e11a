"""Non-blocking ends of ffmpeg's pipes, on the event loop: neither can hold up the other."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections import deque
from collections.abc import Callable

READ_BYTES = 256 * 1024
# Linux: the most an unprivileged process may ask for, /proc/sys/fs/pipe-max-size by default.
UNPRIVILEGED_PIPE_BYTES = 1 << 20


class PipeWriter:
    """Writes buffers to a pipe, in order, without a copy of ours.

    A buffer handed to :meth:`write` must not change until :attr:`idle` is true again.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, fd: int, on_idle: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._fd = fd
        self._on_idle = on_idle
        self._pending: deque[memoryview] = deque()
        self._open = True
        os.set_blocking(fd, False)

    @property
    def idle(self) -> bool:
        """Whether everything has left for the pipe."""
        return not self._pending

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait for room in the pipe."""
        return sum(len(view) for view in self._pending)

    def write(self, data: memoryview | bytes) -> None:
        """Queue a buffer; as much as fits goes out at once."""
        was_idle = self.idle
        self._pending.append(memoryview(data).cast("B"))
        if was_idle and not self._drain():
            self._loop.add_writer(self._fd, self._writable)

    def close(self) -> None:
        """Close the pipe: end of input for ffmpeg. What is pending is lost."""
        if self._open:
            self._open = False
            self._loop.remove_writer(self._fd)
            self._pending.clear()
            os.close(self._fd)

    def _writable(self) -> None:
        if self._drain():
            self._loop.remove_writer(self._fd)
            self._on_idle()

    def _drain(self) -> bool:
        while self._pending:
            view = self._pending[0]
            try:
                written = os.write(self._fd, view)
            except BlockingIOError:
                return False
            except OSError:  # ffmpeg is gone; whoever waits for the child acts on it
                self._pending.clear()
                return True
            if written < len(view):  # it is full: to be told so takes an error each time
                self._pending[0] = view[written:]
                return False
            self._pending.popleft()
        return True


class PipeReader:
    """Hands over whatever a pipe gives, until its end."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fd: int,
        on_data: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._fd = fd
        self._on_data = on_data
        self._on_end = on_end
        self._open = True
        os.set_blocking(fd, False)
        loop.add_reader(fd, self._readable)

    def close(self) -> None:
        """Stop reading."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            os.close(self._fd)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self._on_data(data)
        else:
            self.close()
            self._on_end()


def widen(fd: int, wished_bytes: int) -> None:
    """Make a pipe hold a whole frame where we may: fewer wake-ups per frame (Linux only)."""
    setter = getattr(fcntl, "F_SETPIPE_SZ", None)
    if setter is None:
        return
    for size in (wished_bytes, UNPRIVILEGED_PIPE_BYTES):
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, setter, size)
            return

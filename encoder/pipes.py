"""Non-blocking ends of ffmpeg's pipes, on the event loop: neither can hold up the other."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import struct
import termios
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

# What a pipe of the usual size can hold (pipe(7)). More than 128 KiB would be mapped and unmapped
# by malloc for each read, which takes longer than the read itself.
READ_BYTES = 64 * 1024
# For so long room in the pipe is waited for at once, while ffmpeg reads the rest of a picture: to
# be told of it by the event loop costs several times the processor time (docs/performance.md).
PATIENCE_SECONDS = 0.002
# Linux: the most an unprivileged process may ask for, /proc/sys/fs/pipe-max-size by default.
UNPRIVILEGED_PIPE_BYTES = 1 << 20


_INT = struct.Struct("i")


@dataclass(frozen=True, slots=True)
class Extent:
    """Where bytes lie in a file in memory: from there a pipe can refer to them without a copy."""

    fd: int
    offset: int

    def after(self, count: int) -> Extent:
        """What follows so many bytes."""
        return Extent(self.fd, self.offset + count)


class PipeWriter:
    """Writes buffers to a pipe, in order, without a copy of ours.

    A buffer handed to :meth:`write` must not change until :attr:`idle` is true again; one that is
    handed over with its :class:`Extent` not until the reader has taken it (:attr:`taken_bytes`),
    for until then the pipe holds no bytes of its own, but the pages of the file (splice(2)).
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, fd: int, on_idle: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._fd = fd
        self._on_idle = on_idle
        self._pending: deque[tuple[memoryview, Extent | None]] = deque()
        self._open = True
        self._can_refer = hasattr(os, "splice")  # Linux
        self._refers = False  # something was handed over so
        self._sent_bytes = 0
        self._room = select.poll()
        self._room.register(fd, select.POLLOUT)
        os.set_blocking(fd, False)

    @property
    def idle(self) -> bool:
        """Whether everything has left for the pipe."""
        return not self._pending

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait for room in the pipe."""
        return sum(len(view) for view, _extent in self._pending)

    @property
    def queued_bytes(self) -> int:
        """All bytes that were ever handed to :meth:`write`."""
        return self._sent_bytes + self.pending_bytes

    @property
    def taken_bytes(self) -> int:
        """How many of them may change: those that the reader has, or that were copied."""
        unread = 0
        if self._refers and self._open:
            answer = fcntl.ioctl(self._fd, termios.FIONREAD, bytes(_INT.size))
            unread = _INT.unpack(answer)[0]
        return self._sent_bytes - unread

    def write(self, data: memoryview | bytes, extent: Extent | None = None) -> None:
        """Queue a buffer; as much as fits within :data:`PATIENCE_SECONDS` goes out at once.

        Args:
            data: the bytes.
            extent: where the same bytes lie in a file, if they do.
        """
        was_idle = self.idle
        self._pending.append((memoryview(data).cast("B"), extent))
        if was_idle and not self._drain_for_a_moment():
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

    def _drain_for_a_moment(self) -> bool:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._drain():
            left = deadline - time.monotonic()
            if left <= 0 or not self._room.poll(1000 * left):
                return False
        return True

    def _drain(self) -> bool:
        while self._pending:
            view, extent = self._pending[0]
            try:
                sent = self._send(view, extent)
            except BlockingIOError:
                return False
            except OSError:  # ffmpeg is gone; whoever waits for the child acts on it
                self._pending.clear()
                return True
            self._sent_bytes += sent
            if sent < len(view):  # it is full: to be told so takes an error each time
                self._pending[0] = view[sent:], extent.after(sent) if extent else None
                return False
            self._pending.popleft()
        return True

    def _send(self, view: memoryview, extent: Extent | None) -> int:
        if extent is not None and self._can_refer:
            try:
                sent = os.splice(extent.fd, self._fd, len(view), offset_src=extent.offset)
            except (BlockingIOError, BrokenPipeError):
                raise
            except OSError:  # no kernel, file system or sandbox that lets us: copy
                self._can_refer = False
            else:
                self._refers = True
                return sent
        return os.write(self._fd, view)


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

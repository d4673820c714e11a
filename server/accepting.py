"""Connections shared out between web processes that listen on one socket.

The kernel wakes all of them for a new connection, and always the same one is first while none is
busy: of a crowd that arrives at once it gets nearly everybody, and players keep their connection.
So a process that has more than another leaves new ones to that other for a moment.
"""

from __future__ import annotations

import asyncio
import mmap
import socket
import struct
from collections.abc import Callable
from typing import Any

_SLOTS = 128  # twice the most processes: each may have a successor beside it
_ABSENT = -1
# A process may have so many more than another; less would make them wait for each other.
SLACK = 8
# Taken in one turn, so that the others are asked again soon.
_AT_ONCE = 4
# For so long it is left to another process; if that is stuck, the connection is taken after all.
_LEAVE_SECONDS = 0.005
# No descriptor or memory is left: the next attempt.
_RETRY_SECONDS = 0.5


class Tally:
    """How many connections each process has, in memory that they share; made before the fork."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, 4 * _SLOTS)
        for number in range(_SLOTS):
            self.leave(number)

    def write(self, number: int, connections: int) -> None:
        """Process ``number`` has so many."""
        struct.pack_into("<i", self._map, number % _SLOTS * 4, connections)

    def leave(self, number: int) -> None:
        """Process ``number`` is gone."""
        self.write(number, _ABSENT)

    def has_too_many(self, number: int, connections: int) -> bool:
        """Whether another process should take the next one."""
        self.write(number, connections)
        counts = struct.unpack(f"<{_SLOTS}i", self._map)
        others = (c for at, c in enumerate(counts) if c != _ABSENT and at != number % _SLOTS)
        return connections > min(others, default=connections) + SLACK


class Acceptor:
    """In the place of an :class:`asyncio.Server`: takes connections where that is fair.

    Args:
        loop: of this process.
        listener: open, non-blocking.
        protocol: makes the protocol of a connection.
        has_too_many: whether the next one is another's.
        is_full: whether the next one must wait until somebody leaves.
        options: of ``loop.connect_accepted_socket``.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        protocol: Callable[[], Any],
        has_too_many: Callable[[], bool],
        is_full: Callable[[], bool],
        options: dict[str, Any],
    ) -> None:
        self._loop, self._listener, self._protocol = loop, listener, protocol
        self._has_too_many, self._is_full, self._options = has_too_many, is_full, options
        self._paused: asyncio.TimerHandle | None = None
        self._joining: set[asyncio.Task[Any]] = set()
        loop.add_reader(listener.fileno(), self._ready)

    @property
    def joining(self) -> int:
        """Connections that were taken and are not yet served: TLS takes its time."""
        return len(self._joining)

    def close(self) -> None:
        """Take no more."""
        self._loop.remove_reader(self._listener.fileno())
        if self._paused is not None:
            self._paused.cancel()

    async def wait_closed(self) -> None:
        """It is closed at once; who is connected stays."""

    def _ready(self) -> None:
        for _ in range(_AT_ONCE):
            if self._is_full():
                self._pause(_RETRY_SECONDS)
                return
            if self._has_too_many():
                self._pause(_LEAVE_SECONDS)
                return
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                self._pause(_RETRY_SECONDS)
                return
            connection.setblocking(False)
            joining = self._loop.create_task(self._join(connection))
            self._joining.add(joining)
            joining.add_done_callback(self._joining.discard)

    async def _join(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection, **self._options)
        except OSError:  # gone again, or no TLS
            connection.close()

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._paused = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._paused = None
        self._loop.add_reader(self._listener.fileno(), self._ready)

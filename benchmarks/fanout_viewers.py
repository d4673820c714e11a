"""Many viewers in one process, each with a connection on which it waits for part after part."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.fanout_http2 import Reader, greeting, request

# Connections opened at once; more would only queue.
_BATCH = 100
# A player learns the next part's URI from the playlist, which is renamed just after the part.
_THINK_SECONDS = 0.03


@dataclass(frozen=True, slots=True)
class Position:
    """One part."""

    msn: int
    part: int

    def next(self, parts: int) -> Position:
        """The one after it, where a segment has so many parts."""
        if self.part + 1 < parts:
            return Position(self.msn, self.part + 1)
        return Position(self.msn + 1, 0)


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer as a viewer saw it."""

    asked: Position
    asked_ns: int
    first_byte_ns: int
    status: int
    body_bytes: int
    body_hash: int


@dataclass(slots=True)
class Crowd:
    """Viewers that all follow one rendition.

    Args:
        host: of the server.
        port: of the server.
        path: the request's path and query for a position.
        parts: parts in a segment.
        tls: for viewers over TLS and HTTP/2.
    """

    host: str
    port: int
    path: Callable[[Position], str]
    parts: int
    tls: ssl.SSLContext | None = None
    answers: list[list[Answered]] = field(default_factory=list)
    lost: int = 0  # connections that ended by themselves
    _viewers: list[_Viewer] = field(default_factory=list)

    async def join(self, viewers: int) -> None:
        """Open the connections."""
        loop = asyncio.get_running_loop()

        def kind() -> _Viewer:
            return _Viewer(self) if self.tls is None else _Http2Viewer(self)

        while len(self._viewers) < viewers:
            batch = min(_BATCH, viewers - len(self._viewers))
            made = await asyncio.gather(
                *[
                    loop.create_connection(kind, self.host, self.port, ssl=self.tls)
                    for _ in range(batch)
                ]
            )
            self._viewers += [viewer for _, viewer in made]
        self.answers = [viewer.answers for viewer in self._viewers]

    def follow(self, first: Position) -> None:
        """Each viewer asks for this part, and from then on for the next as soon as it has one."""
        for viewer in self._viewers:
            viewer.ask(first)

    @property
    def waiting(self) -> int:
        """Viewers that have asked and have no answer yet."""
        return sum(viewer.waits for viewer in self._viewers)

    def stop(self) -> None:
        """Ask for nothing more."""
        for viewer in self._viewers:
            viewer.following = False

    def leave(self) -> None:
        """Close the connections."""
        self.stop()
        for viewer in self._viewers:
            viewer.transport.abort()


class _Viewer(asyncio.Protocol):
    """Over HTTP/1.1."""

    transport: asyncio.Transport

    def __init__(self, crowd: Crowd) -> None:
        self.answers: list[Answered] = []
        self.following = True
        self.waits = False
        self._crowd = crowd
        self._asked = Position(0, 0)
        self._asked_ns = self._first_byte_ns = 0
        self._buffer = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        self._crowd.lost += self.following

    def ask(self, position: Position) -> None:
        self._asked, self._asked_ns, self.waits = position, time.monotonic_ns(), True
        self._send(self._crowd.path(position))

    def _send(self, path: str) -> None:
        self.transport.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        if not self._buffer:
            self._first_byte_ns = time.monotonic_ns()
        self._buffer += data
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        if not blank or len(body) < content_length(head):
            return
        self._buffer = b""
        self._answered(int(head[9:12]), body)

    def _answered(self, status: int, body: bytes) -> None:
        self.waits = False
        self.answers.append(
            Answered(
                self._asked, self._asked_ns, self._first_byte_ns, status, len(body), hash(body)
            )
        )
        if self.following:
            again = self._asked if status != 200 else self._asked.next(self._crowd.parts)
            self._loop.call_later(_THINK_SECONDS, self._ask_again, again)

    def _ask_again(self, position: Position) -> None:
        if self.following and not self.transport.is_closing():
            self.ask(position)


class _Http2Viewer(_Viewer):
    """Over TLS and HTTP/2, one stream after another."""

    def __init__(self, crowd: Crowd) -> None:
        super().__init__(crowd)
        self._reader = Reader()
        self._stream = 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(greeting())

    def _send(self, path: str) -> None:
        self.transport.write(request(self._stream, path))
        self._stream += 2

    def data_received(self, data: bytes) -> None:
        reader, now_ns = self._reader, time.monotonic_ns()
        had_begun = reader.has_begun
        if reply := reader.feed(data):
            self.transport.write(reply)
        if reader.has_begun and not had_begun:
            self._first_byte_ns = now_ns
        if reader.has_ended:
            status, body = reader.status, reader.body
            reader.next_answer()
            self._answered(status, body)
        if reader.has_closed:
            self.transport.close()


def content_length(head: bytes) -> int:
    """The Content-Length of a response head."""
    lower = head.lower()
    at = lower.index(b"\r\ncontent-length:") + 17
    return int(lower[at : lower.find(b"\r\n", at) if b"\r\n" in lower[at:] else None])

"""Errors that gunicorn answers by itself, before it asks any application: as all others (69).

A request line that is too long, headers that are none: the answer is a problem in JSON that a page
of any origin can read, as if the application had made it.
"""

from __future__ import annotations

import socket
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.http.errors import LimitRequestLine
from gunicorn.http2.async_connection import AsyncHTTP2Connection
from h2.exceptions import ProtocolError

from server.asgi import Answer, refusal

# Who is refused may still be sending. Closed at once, the connection would take the answer with it.
LINGER_SECONDS = 2.0
_NO_ERROR = 0


def early_error(status: int, detail: str, *extra: tuple[str, str]) -> bytes:
    """A whole response of HTTP/1.1, after which the connection ends."""
    more = ((name.encode("latin-1"), value.encode("latin-1")) for name, value in extra)
    answer = refusal(status, detail or "it failed", *more, (b"connection", b"close"))
    line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()
    rows = [line, *(b": ".join(row) for row in answer.headers)]
    return b"\r\n".join([*rows, b"", answer.body])


def write_error(connection: socket.socket, status: int, _reason: str, detail: str) -> None:
    """In the place of :func:`gunicorn.util.write_error`, which the threaded worker calls."""
    util.write_nonblock(connection, early_error(status, detail))


class Protocol(ASGIProtocol):  # type: ignore[misc] # untyped
    """gunicorn's own, for the asgi worker."""

    _is_refused = False
    _closed: bool

    def _send_error_response(
        self, status: int, message: str, extra_headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self._is_refused = True
        self._safe_write(early_error(status, message, *extra_headers))

    def _close_transport(self) -> None:
        transport: Any = self.transport
        if not self._is_refused or self._closed or not transport or not transport.can_write_eof():
            super()._close_transport()
            return
        self._closed = True
        transport.write_eof()
        # It ends when the client has heard, and closes; or then.
        self.worker.loop.call_later(LINGER_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        """What comes after a refusal is for nobody."""
        if not self._is_refused:
            super().data_received(data)


class Http2(AsyncHTTP2Connection):  # type: ignore[misc] # untyped
    """gunicorn's own, for connections of HTTP/2.

    Of an address that is too long gunicorn resets the stream, and the client has no status.
    """

    def _handle_request_received(self, event: Any) -> Any:
        asked, limit = dict(event.headers), self.cfg.limit_request_line
        length = len(asked.get(":path", ""))
        # Who still sends a body, or may have none in the answer, is reset as ever.
        if length <= limit or asked[":method"] != "GET" or event.stream_ended is None:
            return super()._handle_request_received(event)
        try:
            self._refuse(event.stream_id, refusal(414, str(LimitRequestLine(length, limit))))
        except ProtocolError:  # a client without room for a few hundred bytes
            self._reset_quietly(event.stream_id, _NO_ERROR)
        return None

    def _refuse(self, stream: int, answer: Answer) -> None:
        status = (b":status", str(answer.status).encode())
        self.h2_conn.send_headers(stream, [status, *answer.headers])
        self.h2_conn.send_data(stream, answer.body, end_stream=True)

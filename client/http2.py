"""One GET over HTTP/2: a server that chooses h2 in the handshake need not answer over it (65).

By the library that the web processes speak it with; the standard library has none.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable
from http.client import HTTPException

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import H2Error

from client.fetch import BROKEN, MAX_BODY_BYTES, PIECE_BYTES, USER_AGENT, Answer, nothing, split
from client.fetch import tls_context as usual_context

NOT_CHOSEN = "the TLS handshake does not choose h2"
_STREAM = 1  # the first that a client may open


def get(url: str, *, verify_tls: bool, seconds: float = 10) -> Answer | None:
    """Ask once, on a connection of its own; never raises for what a server does.

    Args:
        url: of a file.
        verify_tls: refuse certificates that are not trusted.
        seconds: for the handshake, and then for the whole answer.

    Returns:
        The answer. Where h2 is not chosen, or does not bring one, its status is 0 and ``error``
        says why. None on plain http.

    Raises:
        CannotCheck: not http or https, or no host.
    """
    parts, asked_at = split(url), time.monotonic()
    if parts.scheme != "https":
        return None
    context = usual_context(verify=verify_tls)
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        address = (parts.hostname, parts.port or 443)
        with (
            socket.create_connection(address, seconds) as plain,
            context.wrap_socket(plain, server_hostname=parts.hostname) as secure,
        ):
            if secure.selected_alpn_protocol() != "h2":
                return nothing(url, "GET", asked_at, NOT_CHOSEN)
            return _ask(secure, url, time.monotonic() + seconds)
    except OSError as error:
        return nothing(url, "GET", asked_at, f"no TLS: {error}")


def _ask(secure: ssl.SSLSocket, url: str, deadline: float) -> Answer:
    asked_at = time.monotonic()
    try:
        found = _Answering()
        for events in _events(secure, url, deadline):
            for event in events:
                found.take(event)
            if found.has_ended:
                return found.answer(url, asked_at)
        raise HTTPException("the connection ended before the answer")
    except (*BROKEN, H2Error) as error:
        reason = "timed out" if isinstance(error, TimeoutError) else str(error) or repr(error)
        return nothing(url, "GET", asked_at, f"h2 is chosen, and then: {reason}")


def _events(secure: ssl.SSLSocket, url: str, deadline: float) -> Iterable[list[Event]]:
    """Ask, and take apart what comes until the other side ends the connection."""
    connection = H2Connection(H2Configuration(header_encoding=None))
    connection.initiate_connection()
    connection.send_headers(_STREAM, _request(url), end_stream=True)
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        secure.settimeout(left)
        secure.sendall(connection.data_to_send())
        data = secure.recv(PIECE_BYTES)
        if not data:
            return
        events = connection.receive_data(data)
        for event in events:
            if isinstance(event, DataReceived):  # else it may send no more than 64 kB
                connection.acknowledge_received_data(event.flow_controlled_length, _STREAM)
        yield events


def _request(url: str) -> list[tuple[str, str]]:
    parts = split(url)
    return [
        (":method", "GET"),
        (":scheme", parts.scheme),
        (":authority", parts.netloc.rpartition("@")[2]),
        (":path", (parts.path or "/") + (f"?{parts.query}" if parts.query else "")),
        ("user-agent", USER_AGENT),
        ("accept-encoding", "identity"),
    ]


class _Answering:
    """One answer as it comes."""

    def __init__(self) -> None:
        self.has_ended = False
        self._status = 0
        self._headers: tuple[tuple[str, str], ...] = ()
        self._body = bytearray()
        self._first_byte_at = 0.0

    def take(self, event: Event) -> None:
        """Add what an event tells.

        Raises:
            HTTPException: there will be no whole answer.
            ValueError: its status is no number.
        """
        if isinstance(event, ResponseReceived):
            self._first_byte_at = time.monotonic()
            pairs = [(name.decode("latin-1"), v.decode("latin-1")) for name, v in event.headers]
            self._status = int(dict(pairs)[":status"])
            self._headers = tuple(pair for pair in pairs if not pair[0].startswith(":"))
        elif isinstance(event, DataReceived):
            self._body += event.data
            if len(self._body) > MAX_BODY_BYTES:
                raise HTTPException(f"more than {MAX_BODY_BYTES} bytes")
        elif isinstance(event, StreamReset | ConnectionTerminated):
            what = "the stream is reset" if isinstance(event, StreamReset) else "GOAWAY"
            raise HTTPException(f"{what}, error code {event.error_code}")
        elif isinstance(event, StreamEnded):
            self.has_ended = True

    def answer(self, url: str, asked_at: float) -> Answer:
        """All of it."""
        times = (asked_at, self._first_byte_at, time.monotonic())
        return Answer(url, "GET", self._status, self._headers, bytes(self._body), *times)

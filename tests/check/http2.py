"""Servers that choose h2 in the handshake, and what they make of it: sound ones and broken ones."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache

import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from h2.exceptions import H2Error

from client import http2
from client.fetch import Answer

# What a server does on one connection; it has this answer to give.
Script = Callable[[ssl.SSLSocket, Answer], None]
_PIECE_BYTES = 65_536
_STUCK_SECONDS = 60


@lru_cache(maxsize=1)
def _issued() -> trustme.LeafCert:
    return trustme.CA().issue_cert("127.0.0.1")


@contextmanager
def serving(script: Script, answer: Answer, *protocols: str) -> Iterator[str]:
    """Serve one connection while the block runs; its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _issued().configure_cert(context)
    if protocols:
        context.set_alpn_protocols(protocols)

    def run() -> None:
        with suppress(OSError, H2Error):  # the client leaves when it knows enough
            plain, _address = listener.accept()
            plain.settimeout(_STUCK_SECONDS)
            with plain, context.wrap_socket(plain, server_side=True) as secure:
                script(secure, answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_STUCK_SECONDS)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/live/made-up/index.m3u8"
        thread.join(_STUCK_SECONDS)
    assert not thread.is_alive()


def over(script: Script, *protocols: str, seconds: float = 30) -> Callable[[Answer], Answer]:
    """What the check gets over HTTP/2 of an answer, from a server that does this."""

    def asked(answer: Answer) -> Answer:
        with serving(script, answer, *(protocols or ("h2", "http/1.1"))) as url:
            found = http2.get(url, verify_tls=False, seconds=seconds)
        assert found is not None
        return found

    return asked


# --- what a server does --------------------------------------------------------------------------


def speaks(secure: ssl.SSLSocket, answer: Answer) -> None:
    """As it should."""
    connection = _asked(secure)
    headers = [pair for pair in answer.headers if pair[0] != "content-length"]
    connection.send_headers(1, [(":status", str(answer.status)), *headers])
    _pour(secure, connection, answer.body)
    connection.end_stream(1)
    _hand_over(secure, connection)
    _until_left(secure)


def answers(**other: object) -> Script:
    """As it should, only that the answer is another one."""
    return lambda secure, answer: speaks(secure, replace(answer, **other))  # type: ignore[arg-type]


def hangs_up(secure: ssl.SSLSocket, _answer: Answer) -> None:
    """When it has heard the request."""
    _asked(secure)
    _end(secure)


def resets(secure: ssl.SSLSocket, _answer: Answer) -> None:
    """The stream of the request."""
    connection = _asked(secure)
    connection.reset_stream(1, 2)
    _hand_over(secure, connection)
    _until_left(secure)


def goes_away(secure: ssl.SSLSocket, _answer: Answer) -> None:
    """GOAWAY instead of an answer."""
    connection = _asked(secure)
    connection.close_connection(11)
    _hand_over(secure, connection)
    _until_left(secure)


def cuts_short(secure: ssl.SSLSocket, answer: Answer) -> None:
    """Half of what Content-Length says, and then the end."""
    connection = _asked(secure)
    length = ("content-length", str(len(answer.body)))
    connection.send_headers(1, [(":status", "200"), length])
    connection.send_data(1, answer.body[: len(answer.body) // 2], end_stream=True)
    _hand_over(secure, connection)
    _until_left(secure)


def speaks_http1(secure: ssl.SSLSocket, _answer: Answer) -> None:
    """The handshake says h2, and behind it is somebody who does not know it."""
    secure.recv(_PIECE_BYTES)
    secure.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    _end(secure)


def says_nothing(secure: ssl.SSLSocket, _answer: Answer) -> None:
    """For ever."""
    _until_left(secure)


def never_ends(secure: ssl.SSLSocket, _answer: Answer) -> None:
    """A body without an end, piece by piece."""
    connection = _asked(secure)
    connection.send_headers(1, [(":status", "200")])
    while True:
        _pour(secure, connection, b"#")


def _asked(secure: ssl.SSLSocket) -> H2Connection:
    """Wait for the request."""
    connection = H2Connection(H2Configuration(client_side=False))
    connection.initiate_connection()
    events: list[object] = []
    while not any(isinstance(event, RequestReceived) for event in events):
        _hand_over(secure, connection)
        events = list(connection.receive_data(_received(secure)))
    return connection


def _pour(secure: ssl.SSLSocket, connection: H2Connection, body: bytes) -> None:
    """Send as much at a time as the client allows."""
    while body:
        window = connection.local_flow_control_window(1)
        size = min(window, connection.max_outbound_frame_size, len(body))
        if size:
            connection.send_data(1, body[:size])
            body = body[size:]
            _hand_over(secure, connection)
        else:
            connection.receive_data(_received(secure))


def _hand_over(secure: ssl.SSLSocket, connection: H2Connection) -> None:
    secure.sendall(connection.data_to_send())


def _received(secure: ssl.SSLSocket) -> bytes:
    data = secure.recv(_PIECE_BYTES)
    if not data:
        raise ConnectionError("the client has left")
    return data


def _end(secure: ssl.SSLSocket) -> None:
    secure.shutdown(socket.SHUT_WR)  # a close would be a reset, where something is not read yet
    _until_left(secure)


def _until_left(secure: ssl.SSLSocket) -> None:
    while secure.recv(_PIECE_BYTES):
        pass

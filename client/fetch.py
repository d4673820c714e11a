"""One HTTP request and everything about its answer: times, headers, the body as it came.

The standard library's client on purpose: it neither follows redirects nor unpacks gzip behind our
back, and a checker must see both.
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol
from urllib.parse import SplitResult, urljoin, urlsplit

from client.errors import CannotCheck

MAX_BODY_BYTES = 64 * 1024 * 1024
USER_AGENT = "lipstream-check"
# A header for those who can unpack the answer: nothing here does it unasked.
GZIP = {"Accept-Encoding": "gzip"}
_GZIP_WINDOW = 31  # zlib's way to say: gzip
PIECE_BYTES = 64 * 1024
BROKEN = (OSError, http.client.HTTPException, ValueError)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. ``status`` 0: nothing did, and ``error`` says why. Times are monotonic."""

    url: str
    method: str
    status: int
    headers: tuple[tuple[str, str], ...]  # names in lower case
    body: bytes
    asked_at: float
    first_byte_at: float
    done_at: float
    error: str = ""

    def header(self, name: str) -> str:
        """One header, joined if it came several times; empty if it did not."""
        return ", ".join(value for key, value in self.headers if key == name)

    @property
    def seconds(self) -> float:
        """From the question to the last byte."""
        return self.done_at - self.asked_at

    @property
    def waited(self) -> float:
        """From the question to the first byte."""
        return self.first_byte_at - self.asked_at

    @property
    def told(self) -> str:
        """The status, or why there is none."""
        return str(self.status) if self.status else self.error


class Fetch(Protocol):
    """Asks one question. Tests answer from a script instead of a network."""

    def __call__(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        seconds: float = 10,
    ) -> Answer:
        """Ask; never raises for what a server does."""


class HttpFetch:
    """Over the network. Each thread has its own connections, kept alive as a player does.

    Args:
        verify_tls: refuse certificates that are not trusted.
        user_agent: what we call ourselves.
    """

    def __init__(self, *, verify_tls: bool = True, user_agent: str = USER_AGENT) -> None:
        self._verify_tls = verify_tls
        self._user_agent = user_agent
        self._local = threading.local()

    def __call__(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        seconds: float = 10,
    ) -> Answer:
        """Ask once; a kept connection that the server has closed meanwhile is opened again."""
        asked_at = time.monotonic()
        parts = split(url)
        asked = {"User-Agent": self._user_agent, "Accept-Encoding": "identity", **(headers or {})}
        for last in (False, True):
            connection, is_fresh = self._connection(parts, seconds)
            try:
                return _exchange(connection, parts, url, method, asked, asked_at, seconds)
            except BROKEN as error:
                self._forget(parts)
                timed_out = isinstance(error, TimeoutError)
                if last or is_fresh or timed_out:
                    reason = "timed out" if timed_out else str(error) or type(error).__name__
                    return nothing(url, method, asked_at, reason)
        raise AssertionError("unreachable")

    def _connection(
        self, parts: SplitResult, seconds: float
    ) -> tuple[http.client.HTTPConnection, bool]:
        kept: dict[str, http.client.HTTPConnection] = self._local.__dict__.setdefault("kept", {})
        found = kept.get(parts.netloc)
        if found is not None and found.sock is not None:
            return found, False
        host, port = parts.hostname or "", parts.port
        made: http.client.HTTPConnection
        if parts.scheme == "https":
            made = http.client.HTTPSConnection(
                host, port, timeout=seconds, context=tls_context(verify=self._verify_tls)
            )
        else:
            made = http.client.HTTPConnection(host, port, timeout=seconds)
        kept[parts.netloc] = made
        return made, True

    def _forget(self, parts: SplitResult) -> None:
        found = self._local.kept.pop(parts.netloc, None)
        if found is not None:
            found.close()


def tls_context(*, verify: bool) -> ssl.SSLContext:
    """How we speak TLS: with anybody, or with those who are trusted."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def split(url: str) -> SplitResult:
    """Take an address apart.

    Raises:
        CannotCheck: not http or https, or no host.
    """
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise CannotCheck(url, str(error)) from error
    if parts.scheme not in ("http", "https") or not has_host:
        raise CannotCheck(url, "give the http:// or https:// address of a playlist")
    return parts


@lru_cache(maxsize=16_384)  # the rules ask for the same few hundred again and again
def resolve(base: str, uri: str) -> str | None:
    """The address of a URI in a playlist; None if it is none that may be fetched."""
    try:
        url = urljoin(base, uri)
        split(url)
    except (ValueError, CannotCheck):
        return None
    return url if url.isascii() and url.isprintable() and " " not in url else None


def unpacked(body: bytes, most_bytes: int) -> bytes | None:
    """What a gzip body holds, at most so much of it; None if it is no gzip."""
    try:
        return zlib.decompressobj(_GZIP_WINDOW).decompress(body, most_bytes)
    except zlib.error:
        return None


def _exchange(
    connection: http.client.HTTPConnection,
    parts: SplitResult,
    url: str,
    method: str,
    headers: Mapping[str, str],
    asked_at: float,
    seconds: float,
) -> Answer:
    deadline = asked_at + seconds
    connection.timeout = seconds
    if connection.sock is not None:
        connection.sock.settimeout(seconds)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.request(method, target, headers=dict(headers))
    response = connection.getresponse()
    first_byte_at = time.monotonic()
    body = _body(response, connection, deadline)
    found = tuple((name.lower(), value) for name, value in response.getheaders())
    done_at = time.monotonic()
    return Answer(url, method, response.status, found, body, asked_at, first_byte_at, done_at)


def _body(
    response: http.client.HTTPResponse, connection: http.client.HTTPConnection, deadline: float
) -> bytes:
    body = bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if connection.sock is not None:
            connection.sock.settimeout(left)
        piece = response.read1(PIECE_BYTES)
        if not piece:
            break
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise http.client.HTTPException(f"more than {MAX_BODY_BYTES} bytes")
    if response.length:  # the connection ended before Content-Length bytes came
        raise http.client.IncompleteRead(bytes(body), response.length)
    response.close()
    return bytes(body)


def nothing(url: str, method: str, asked_at: float, reason: str) -> Answer:
    """That no answer came."""
    now = time.monotonic()
    return Answer(url, method, 0, (), b"", asked_at, now, now, reason)

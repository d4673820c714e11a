"""Who may watch: signed, expiring tokens in the path, ``/live/<id>/t/<token>/index.m3u8``.

In the path, since a native ``<video>`` sends no headers; and since every URI in a playlist is
relative, all that is asked for after the first request carries the token too.

A token is checked and taken out of the path before anything else looks at it, so it never decides
what an answer is: all viewers still share one (docs/decisions/0008-tls-and-tokens.md).
"""

from __future__ import annotations

import base64
import hmac
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from config import ConfigError
from server.asgi import Answer, Environ, Wsgi, refusal

STREAM_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
# Whoever has one link can try keys on it at home.
SHORTEST_KEY = 16
# Ten years.
LONGEST_HOURS = 87_600
# Seconds since 1970 outgrow four bytes in 2106.
_EXPIRY_BYTES = 5
# Of the 32 bytes of the HMAC. 128 bits cannot be guessed by asking, and 21 bytes in all are 28
# characters without padding or spare bits: one token has one spelling.
_MAC_BYTES = 16
_TOKEN = re.compile(r"[A-Za-z0-9_-]{28}")
_WITH_TOKEN = re.compile(rf"(/live/({STREAM_ID.pattern}))/t/([^/]*)(/[^/].*)", re.DOTALL)
_NO_STORE = (b"cache-control", b"no-store")

Clock = Callable[[], float]


class Refused(Exception):
    """This token does not open this stream; the words are for the viewer."""


def check_key(key: str, setting: str = "viewer_key") -> None:
    """Refuse a key or a token that can be guessed.

    Raises:
        ConfigError: it is too short.
    """
    if len(key) < SHORTEST_KEY:
        raise ConfigError(
            f"{setting} has {len(key)} characters: use {SHORTEST_KEY} or more that nobody can "
            "guess, such as `openssl rand -hex 32` prints"
        )


def make_token(key: str, stream: str, expires_at: int) -> str:
    """A token for one stream.

    Args:
        key: the setting ``viewer_key``.
        stream: id of the stream.
        expires_at: Unix time from which on it is refused.
    """
    expiry = expires_at.to_bytes(_EXPIRY_BYTES, "big")
    return base64.urlsafe_b64encode(expiry + _mac(key, stream, expiry)).decode()


def check_token(key: str, stream: str, token: str, now: float) -> None:
    """Return if the token opens the stream now.

    Raises:
        Refused: it is malformed, of another key or stream, or has expired.
    """
    if not _TOKEN.fullmatch(token):
        raise Refused("this link is damaged; copy it whole")
    raw = base64.urlsafe_b64decode(token)
    expiry, mac = raw[:_EXPIRY_BYTES], raw[_EXPIRY_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, stream, expiry)):
        raise Refused("this link is not for this stream; ask for another")
    if now >= int.from_bytes(expiry, "big"):
        raise Refused("this link has expired; ask for another")


def _mac(key: str, stream: str, expiry: bytes) -> bytes:
    return hmac.digest(key.encode(), expiry + stream.encode(), sha256)[:_MAC_BYTES]


def token_path(key: str, stream: str, expires_at: int) -> str:
    """Where a viewer with a new token finds the stream."""
    return f"/live/{stream}/t/{make_token(key, stream, expires_at)}/index.m3u8"


def admitted(key: str, path: str, now: float) -> str:
    """The path without its token; of what is not below ``/live``, the path as it is.

    Raises:
        Refused: the token is missing, or not good.
    """
    # Flask's router sees no difference between one slash and several at the front.
    if not re.match(r"/*live(/|$)", path):
        return path
    found = _WITH_TOKEN.fullmatch(path)
    if found is None:
        raise Refused("this stream needs a link with a token: /live/<id>/t/<token>/index.m3u8")
    prefix, stream, token, rest = found.groups()
    check_token(key, stream, token, now)
    return prefix + rest


def without_tokens(text: str) -> str:
    """A text for logs: whatever stands where a path has its token is left out."""
    return re.sub(r"(/t/)[^/\s]{8,}", r"\1...", text)


def forbidden(reason: Refused) -> Answer:
    """403, in the form of all errors; not to be stored, as the same path may be good tomorrow."""
    return refusal(403, str(reason), _NO_STORE)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A WSGI application behind the tokens."""

    wsgi: Wsgi
    key: str
    clock: Clock = time.time

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        try:
            path = admitted(self.key, environ.get("PATH_INFO", ""), self.clock())
        except Refused as reason:
            answer = forbidden(reason)
            rows = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in answer.headers]
            start_response("403 Forbidden", rows)
            return [b"" if environ["REQUEST_METHOD"] == "HEAD" else answer.body]
        return self.wsgi(environ | {"PATH_INFO": path}, start_response)

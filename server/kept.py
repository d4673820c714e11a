"""Answers that are kept for a while, and what a client with conditions gets of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from werkzeug.datastructures import Headers as HeaderTable
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.wrappers import Response

from server.asgi import Answer, Environ, Headers, refusal
from server.ranges import BEYOND_HEADERS, beyond, drop_odd_range

# How the path of a playlist ends.
PLAYLIST = ".m3u8"
# Besides its body and headers an answer costs about this.
_ENTRY_BYTES = 1024
# Others may keep a playlist for longer (63). Here it goes as soon as the crowd has had it: a viewer
# who is late gets the current one (37), and a stream that is started anew under its id, on a clock
# that was set back, does not meet answers of its past.
PLAYLIST_SECONDS = 1
# What a live edge still asks for; later it is read from tmpfs again.
MEDIA_SECONDS = 12
CONDITIONS = frozenset(
    {
        b"range",
        b"if-range",
        b"if-match",
        b"if-none-match",
        b"if-modified-since",
        b"if-unmodified-since",
    }
)
# Headers of an answer that its 416 has too: pages must be able to read it (69).
_ALWAYS = (b"access-control-expose-headers", b"date", b"age", b"vary")
_BEYOND = tuple((name.lower().encode(), value.encode()) for name, value in BEYOND_HEADERS)


class Target(NamedTuple):
    """All that an answer below ``/live/`` depends on."""

    path: str
    query: str
    gzip: bool


def fitted(answer: Answer, request_headers: list[tuple[bytes, bytes]]) -> Answer:
    """The answer to a request with conditions: 200, 206, 304, 412 or 416 (66).

    Only what carries a validator is a file of which one can have a part.
    """
    if answer.status != 200 or not answer.header(b"etag"):
        return answer
    asked: Environ = {"REQUEST_METHOD": "GET"}
    for name, value in request_headers:
        if name in CONDITIONS:
            asked["HTTP_" + name.decode().upper().replace("-", "_")] = value.decode("latin-1")
    drop_odd_range(asked)
    rows = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in answer.headers]
    response = Response([answer.body], 200, HeaderTable(rows), direct_passthrough=False)
    try:
        response.make_conditional(asked, accept_ranges=True, complete_length=len(answer.body))
    except RequestedRangeNotSatisfiable:
        return _beyond(answer)
    body = b"" if response.status_code in (304, 412) else b"".join(response.iter_encoded())
    shown = response.get_wsgi_headers(asked)
    headers = tuple((k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in shown)
    return Answer(response.status_code, headers, body)


def _beyond(answer: Answer) -> Answer:
    bytes_there = len(answer.body)
    shared = (row for row in answer.headers if row[0] in _ALWAYS)
    content_range = (b"content-range", b"bytes */%d" % bytes_there)
    return refusal(416, beyond(bytes_there), content_range, *_BEYOND, *shared)


def lifetime(answer: Answer) -> int:
    """Seconds for which an answer may be kept; 0: not at all.

    Only 200s are. An error says how things are now: a 404 for a part that comes in a moment would
    be given to all its viewers, and anybody could have it made.
    """
    if answer.status != 200 or answer.header(b"set-cookie") or answer.header(b"vary") == b"*":
        return 0
    rules = [rule.strip() for rule in answer.header(b"cache-control").lower().split(b",")]
    if b"public" not in rules or {b"no-store", b"no-cache", b"private"}.intersection(rules):
        return 0
    ages = [rule.removeprefix(b"max-age=") for rule in rules if rule.startswith(b"max-age=")]
    return int(ages[0]) if ages and ages[0].isdigit() else 0


class _Entry:
    __slots__ = ("age", "answer", "expires", "shown", "size", "stored")

    def __init__(self, answer: Answer, size: int, stored: float, expires: float) -> None:
        self.answer = self.shown = answer
        self.size, self.stored, self.expires = size, stored, expires
        self.age = -1


class KeptAnswers:
    """Answers for as long as their Cache-Control says, or less, and bounded in bytes.

    The least used go first.

    Args:
        limit_bytes: the bound.
        clock: seconds, rising.
    """

    def __init__(self, limit_bytes: int, clock: Callable[[], float]) -> None:
        self.used_bytes = 0
        self._limit = limit_bytes
        self._clock = clock
        self._entries: OrderedDict[Target, _Entry] = OrderedDict()

    def find(self, target: Target) -> Answer | None:
        """The kept answer, with its Age."""
        entry = self._entries.get(target)
        if entry is None:
            return None
        now = self._clock()
        if now >= entry.expires:
            self._drop(target)
            return None
        self._entries.move_to_end(target)
        age = int(now - entry.stored)
        if age != entry.age:
            entry.age = age
            entry.shown = _with_age(entry.answer, age)
        return entry.shown

    def keep(self, target: Target, answer: Answer) -> None:
        """Keep it, if its headers allow that and it has room."""
        is_playlist = target.path.endswith(PLAYLIST)
        seconds = min(lifetime(answer), PLAYLIST_SECONDS if is_playlist else MEDIA_SECONDS)
        size = _ENTRY_BYTES + len(answer.body) + _header_bytes(answer.headers) + len(target.path)
        if not seconds or size > self._limit:
            return
        if target in self._entries:
            self._drop(target)
        now = self._clock()
        self._entries[target] = _Entry(answer, size, now, now + seconds)
        self.used_bytes += size
        self._make_room(now)

    def _make_room(self, now: float) -> None:
        while self._entries:
            oldest, entry = next(iter(self._entries.items()))
            if self.used_bytes <= self._limit and now < entry.expires:
                return
            self._drop(oldest)

    def _drop(self, target: Target) -> None:
        self.used_bytes -= self._entries.pop(target).size


def _with_age(answer: Answer, age: int) -> Answer:
    # How long the first one was held is no longer true of those who come later.
    rows = (row for row in answer.headers if row[0] != b"server-timing")
    return Answer(answer.status, (*rows, (b"age", str(age).encode())), answer.body)


def _header_bytes(headers: Headers) -> int:
    return sum(len(name) + len(value) for name, value in headers)

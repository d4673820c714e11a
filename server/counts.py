"""What the web processes count, in memory that they share: one row each, summed when asked.

A row is written by its own process alone, number by number, so counting takes no lock between
processes and no file; a row outlives its process, so no sum ever falls. Why not the multiprocess
mode of prometheus_client: docs/decisions/0009-metrics.md.
"""

from __future__ import annotations

import mmap
import re
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import lru_cache
from time import perf_counter
from typing import Any

from server.asgi import Environ, Message, Send, Wsgi

# Kinds of requests: what is told apart in a metric must be few things, whatever is asked for.
KINDS = (
    "playlist",  # at once: multivariant, or a media playlist without directives
    "reload",  # of a media playlist, held until it has what was asked for (36)
    "part",  # held if it is the hinted one (33)
    "segment",  # or an init segment
    "snapshot",
    "page",
    "api",
    "probe",  # health and metrics
    "other",
)
# Where the answer came from: a call of Flask, one that was under way for somebody else already,
# the kept answers, or a call that could serve nobody else.
CALLED, JOINED, KEPT, OWN = WAYS = ("called", "joined", "kept", "own")
# Of who speaks live, as the worker accounts for it.
LIVE = ("heard", "underruns", "silent", "dropped")
STATUSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
# From an answer out of memory (below 1 ms) to a hold of three target durations (40).
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# Twice the most web processes: at a reload each has its successor beside it.
ROWS = 128
_INFINITE = len(BUCKETS)
_SECONDS = _INFINITE + 1
_BYTES = _SECONDS + 1
_STATUS = _BYTES + 1
_KIND_WIDTH = _STATUS + len(STATUSES)
_WAY = len(KINDS) * _KIND_WIDTH
_HELD = _WAY + len(WAYS)
_LIVE = _HELD + 1
_WIDTH = _LIVE + len(LIVE)
_NUMBER_BYTES = 8

_MEDIA = re.compile(r"-(init\.mp4|\d+(?P<part>\.\d+)?\.(m4s|vtt))$")


@lru_cache(maxsize=1024)
def kind_of(path: str, *, has_msn: bool = False) -> int:
    """The place in :data:`KINDS` of a request, by its path and whether it names an msn."""
    return KINDS.index(_kind(path, has_msn))


def _kind(path: str, has_msn: bool) -> str:
    if path.startswith("/live/"):
        return _live_kind(path, has_msn)
    if path in ("/", "/demo", "/favicon.ico") or path.startswith("/static/"):
        return "page"
    if path in ("/healthz", "/readyz", "/metrics"):
        return "probe"
    return "api" if path.startswith("/api/") else "other"


def _live_kind(path: str, has_msn: bool) -> str:
    if path.endswith(".m3u8"):
        return "reload" if has_msn else "playlist"
    if path.endswith("/snapshot.jpg"):
        return "snapshot"
    media = _MEDIA.search(path)
    if media is None:
        return "other"
    return "part" if media["part"] else "segment"


class Row:
    """The numbers of one process. Threads of one process must not write at the same time.

    Args:
        numbers: its share of the table.
    """

    __slots__ = ("_numbers",)

    def __init__(self, numbers: memoryview[float]) -> None:
        self._numbers = numbers

    def answered(self, kind: int, status: int, seconds: float, body_bytes: int) -> None:
        """One request has its answer.

        Args:
            kind: place in :data:`KINDS`.
            status: HTTP status.
            seconds: from the request to its answer's first byte.
            body_bytes: of the answer.
        """
        numbers, at = self._numbers, kind * _KIND_WIDTH
        numbers[at + bisect_left(BUCKETS, seconds)] += 1
        numbers[at + _SECONDS] += seconds
        numbers[at + _BYTES] += body_bytes
        numbers[at + _STATUS - 1 + status // 100] += 1

    def came(self, way: str) -> None:
        """A request was answered in one of :data:`WAYS`."""
        self._numbers[_WAY + WAYS.index(way)] += 1

    def held(self, change: int) -> None:
        """So many more requests wait."""
        self._numbers[_HELD] += change

    def live(self, name: str, change: float) -> None:
        """One of :data:`LIVE` has grown."""
        self._numbers[_LIVE + LIVE.index(name)] += change


class Table:
    """The rows of all web processes. Make it before they are forked.

    The process that forks gives each a row and takes it back.
    """

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, ROWS * _WIDTH * _NUMBER_BYTES)
        self._numbers = memoryview(self._map).cast("d")
        self._owners: dict[int, int] = {}  # row by process
        self._mine = 0

    def lease(self, process: int) -> None:
        """The process that is forked next counts in a row of its own."""
        free = (row for row in range(ROWS) if row not in self._owners.values())
        # Should there ever be more than twice the most processes, some counts may be lost.
        self._mine = self._owners[process] = next(free, ROWS - 1)

    def release(self, process: int) -> None:
        """A process is gone: what it had counted stays counted, nobody waits for it any more."""
        row = self._owners.pop(process, None)
        if row is not None:
            self._numbers[row * _WIDTH + _HELD] = 0

    def row(self) -> Row:
        """The row of this process."""
        start = self._mine * _WIDTH
        return Row(self._numbers[start : start + _WIDTH])

    def sums(self) -> Sums:
        """All rows together."""
        return Sums([sum(self._numbers[column::_WIDTH]) for column in range(_WIDTH)])


class Sums:
    """What all web processes have counted, by name."""

    def __init__(self, numbers: list[float]) -> None:
        self._numbers = numbers

    def buckets(self, kind: str) -> list[tuple[str, float]]:
        """Upper bound in seconds and how many were not above it, rising, to ``+Inf``."""
        at, total, found = self._at(kind), 0.0, []
        for number, bound in enumerate((*BUCKETS, float("inf"))):
            total += self._numbers[at + number]
            found.append(("+Inf" if number == _INFINITE else str(bound), total))
        return found

    def seconds(self, kind: str) -> float:
        """Sum of the seconds to the first byte."""
        return self._numbers[self._at(kind) + _SECONDS]

    def body_bytes(self, kind: str) -> float:
        """Bytes of all answers."""
        return self._numbers[self._at(kind) + _BYTES]

    def status(self, kind: str, status: str) -> float:
        """Answers of one of :data:`STATUSES`."""
        return self._numbers[self._at(kind) + _STATUS + STATUSES.index(status)]

    def way(self, way: str) -> float:
        """Answers that came in one of :data:`WAYS`."""
        return self._numbers[_WAY + WAYS.index(way)]

    def live(self, name: str) -> float:
        """One of :data:`LIVE`."""
        return self._numbers[_LIVE + LIVE.index(name)]

    @property
    def held(self) -> float:
        """Requests that wait now."""
        return self._numbers[_HELD]

    def _at(self, kind: str) -> int:
        return KINDS.index(kind) * _KIND_WIDTH


class SendCounter:
    """Around an ASGI ``send``: counts the one answer that goes through it.

    Args:
        send: of the server.
        row: where it is counted.
        kind: place in :data:`KINDS`.
        began: :func:`time.perf_counter` when the request came.
    """

    def __init__(self, send: Send, row: Row, kind: int, began: float) -> None:
        self._send, self._row, self._kind = send, row, kind
        self._began = began
        self._status, self._seconds, self._bytes = 0, 0.0, 0

    async def __call__(self, message: Message) -> None:
        """Pass one message on."""
        if message["type"] == "http.response.start":
            self._status, self._seconds = message["status"], perf_counter() - self._began
        else:
            self._bytes += len(message.get("body", b""))
        await self._send(message)

    def done(self) -> None:
        """The answer has been sent, or its client is gone."""
        if self._status:
            self._row.answered(self._kind, self._status, self._seconds, self._bytes)
            self._row.came(OWN)


class Counted:
    """Around a WSGI application that answers all by itself, in many threads.

    Args:
        wsgi: the application.
        row: where its answers are counted.
    """

    def __init__(self, wsgi: Wsgi, row: Row) -> None:
        self._wsgi, self._row = wsgi, row
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request; its body is not touched, so the server may still send it by itself."""
        began, seen = perf_counter(), [0, 0]

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            lengths = (v for k, v in headers if k.lower() == "content-length" and v.isdigit())
            seen[:] = int(status[:3]), int(next(lengths, 0))
            return start_response(status, headers, *rest)

        kind = kind_of(environ["PATH_INFO"], has_msn="_HLS_msn=" in environ["QUERY_STRING"])
        with self._lock:
            self._row.held(1)
        try:
            return self._wsgi(environ, start)
        finally:
            with self._lock:
                self._row.held(-1)
                body_bytes = 0 if environ["REQUEST_METHOD"] == "HEAD" else seen[1]
                self._row.answered(kind, seen[0] or 500, perf_counter() - began, body_bytes)
                self._row.came(OWN)

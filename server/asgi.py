"""A WSGI application under ASGI: called in a bounded number of threads, its answer sent on.

A library for this exists (a2wsgi). It was left because its thread waits for ever when the client
of a longer answer goes away, because it needs three hops between thread and loop for every answer,
and because a slow upload occupies a thread: docs/decisions/0006-coalescer.md.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import IO, Any

from werkzeug.wsgi import FileWrapper

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]
Environ = dict[str, Any]
Wsgi = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

# Bigger bodies go out in pieces, each when the one before is through: a client that reads slowly
# then costs one piece of memory, not a copy of the body.
PIECE_BYTES = 64 * 1024
_READ_BYTES = 256 * 1024

log = logging.getLogger(__name__)


class Busy(Exception):
    """All threads of a lane are taken."""


@dataclass(slots=True, eq=False)
class Answer:
    """One complete response; its first ASGI message is built once for all who get it."""

    status: int
    headers: Headers
    body: bytes
    start: Message = field(init=False)

    def __post_init__(self) -> None:
        headers = list(self.headers)
        self.start = {"type": "http.response.start", "status": self.status, "headers": headers}

    def header(self, name: bytes) -> bytes:
        """The value of a header, lower-case name; empty if there is none."""
        return next((value for key, value in self.headers if key == name), b"")

    async def send_to(self, send: Send) -> None:
        """Send it to one client."""
        await send(self.start)
        body = self.body
        if len(body) <= PIECE_BYTES:
            await send({"type": "http.response.body", "body": body})
            return
        for at in range(0, len(body), PIECE_BYTES):
            end = at + PIECE_BYTES
            piece = {"body": body[at:end], "more_body": end < len(body)}
            await send({"type": "http.response.body", **piece})


def refusal(status: int, detail: str, *extra: tuple[bytes, bytes]) -> Answer:
    """An error of this layer, in the form of all errors (69: readable by any page)."""
    title = HTTPStatus(status).phrase
    body = json.dumps({"title": title, "status": status, "detail": detail}).encode()
    headers = (
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"access-control-allow-origin", b"*"),
        *extra,
    )
    return Answer(status, headers, body)


_RETRY = (b"retry-after", b"1")
BUSY = refusal(503, "too many different requests are held; ask again in a second", _RETRY)
FAILED = refusal(500, "it failed")
TOO_SLOW = refusal(408, "the body did not come in time", (b"connection", b"close"))


class Lane:
    """Threads for one kind of call, started when first needed.

    They are daemons, unlike those of ``concurrent.futures``: a call that is held must not hold up
    the end of the process.

    Args:
        name: of the threads.
        threads: that many calls at once.
        queued: that many may wait for a thread; more are :class:`Busy`.
    """

    def __init__(self, name: str, threads: int, queued: int = 0) -> None:
        self._name, self._threads, self._limit = name, threads, threads + queued
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._taken = self._started = 0

    def submit(self, work: Callable[[], None]) -> None:
        """Have it called in a thread.

        Raises:
            Busy: too much is under way already.
        """
        with self._lock:
            if self._taken >= self._limit:
                raise Busy(self._name)
            self._taken += 1
            another = self._started < min(self._taken, self._threads)
            self._started += another
        self._work.put(work)
        if another:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        while True:
            work = self._work.get()
            try:
                work()
            except Exception:
                log.exception("a call in a thread failed")
            finally:
                del work  # else an idle thread keeps the last answer alive
                with self._lock:
                    self._taken -= 1


# --- whole answers -------------------------------------------------------------------------------


def call(wsgi: Wsgi, environ: Environ) -> Answer:
    """Call the application and take its whole answer; runs in a thread."""
    started: list[tuple[int, Headers]] = []
    written: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Any:
        started[:] = [head_of(status, headers)]
        return written.append

    with closing(wsgi(environ, start_response)) as chunks:
        written.extend(chunks)
    status, headers = started[0]
    return Answer(status, headers, b"".join(written))


def get_environ(path: str, query: str, headers: Environ) -> Environ:
    """A GET that carries nothing of the client but what is given."""
    return new_environ("GET", path, query, "HTTP/1.1") | headers


def new_environ(method: str, path: str, query: str, protocol: str) -> Environ:
    """A WSGI environment without a body and without headers."""
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": protocol,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": _NoBody(),
        "wsgi.errors": _Errors(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": _wrap_file,
    }


def head_of(status: str, headers: list[tuple[str, str]]) -> tuple[int, Headers]:
    """What was given to start_response, as ASGI wants it."""
    rows = ((k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers)
    return int(status[:3]), tuple(rows)


@contextmanager
def closing(chunks: Iterable[bytes]) -> Iterator[Iterable[bytes]]:
    """Close what the application returned, if it wants that."""
    try:
        yield chunks
    finally:
        getattr(chunks, "close", lambda: None)()


def _wrap_file(file: IO[bytes], _bytes: int = 0) -> FileWrapper:
    return FileWrapper(file, _READ_BYTES)


class _NoBody:
    def read(self, _bytes: int = -1) -> bytes:
        return b""

    readline = read

    def __iter__(self) -> Iterator[bytes]:
        return iter(())


class _Errors:
    def write(self, text: str) -> None:
        log.error("%s", text.rstrip())

    def flush(self) -> None:
        pass

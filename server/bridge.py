"""Single requests passed on to a WSGI application, their answers sent as they come."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import logging
import tempfile
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import IO, Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from server.asgi import (
    BUSY,
    FAILED,
    PIECE_BYTES,
    TOO_SLOW,
    Answer,
    Busy,
    Environ,
    Lane,
    Message,
    Receive,
    Scope,
    Send,
    Wsgi,
    call,
    closing,
    head_of,
    new_environ,
)
from server.bodies import TIMED, ReceivedBody, linger

log = logging.getLogger(__name__)

# Request bodies up to this stay in memory, bigger ones go to a temporary file.
SPOOL_BYTES = 1024 * 1024
# Everything printable: only bytes beyond ASCII are quoted, for which WSGI has no place.
_QUERY_SAFE = "".join(map(chr, range(33, 127)))


class Bridge:
    """Serves single requests with a WSGI application.

    Args:
        wsgi: the application.
        body_bytes: what it accepts; of a longer body it is given this and one byte more, so that
            it refuses it in its own words.
    """

    def __init__(self, wsgi: Wsgi, body_bytes: int) -> None:
        self._wsgi = wsgi
        self._body_bytes = body_bytes

    async def respond(self, lane: Lane, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request with one call of the application.

        The body is read before a thread is taken: a slow upload occupies none.
        """
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as body:
            length = await self._read(scope, receive, body)
            if length is None:
                await TOO_SLOW.send_to(send)
                return
            exchange = _Exchange(self._wsgi, request_environ(scope, body, length), send)
            try:
                await exchange.run_in(lane)
            except Busy:
                await BUSY.send_to(send)
        if length > self._body_bytes:
            await linger(receive)

    async def stream(self, lane: Lane, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request whose body the application reads as it comes, in its thread.

        So nothing is received for who is refused, and nothing is held that the application does
        not want; but each such request has a thread for as long as its body takes.
        """
        body = ReceivedBody(receive, asyncio.get_running_loop())
        environ = request_environ(scope, body, _declared_length(scope))
        if not _has(scope, b"content-length"):
            del environ["CONTENT_LENGTH"]
            environ["wsgi.input_terminated"] = True
        try:
            await _Exchange(self._wsgi, environ | {TIMED: True}, send).run_in(lane)
        except Busy:
            await BUSY.send_to(send)
        if not body.is_over:
            await linger(receive)

    async def _read(self, scope: Scope, receive: Receive, body: IO[bytes]) -> int | None:
        """Read the body; returns its length (the declared one if it is too long), None: no body."""
        declared = _declared_length(scope)
        if declared > self._body_bytes:
            return declared
        more = declared > 0 or _has(scope, b"transfer-encoding") or scope["http_version"] == "2"
        while more and body.tell() <= self._body_bytes:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body.write(message.get("body", b""))
            more = message.get("more_body", False)
        length = body.tell()
        body.seek(0)
        return length


async def ask(wsgi: Wsgi, lane: Lane, environ: Environ) -> Answer:
    """In a thread, for a moment: the application's own word on something."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Answer] = loop.create_future()

    def work() -> None:
        try:
            answer = call(wsgi, environ)
        except Exception:
            log.exception("the application failed at %s", environ["PATH_INFO"])
            answer = FAILED
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(_answer, done, answer)

    try:
        lane.submit(work)
    except Busy:
        return BUSY
    return await done


def _answer(done: asyncio.Future[Answer], answer: Answer) -> None:
    if not done.done():
        done.set_result(answer)


class NoBody:
    """The body of a request that has none."""

    def read(self, _bytes: int = -1) -> bytes:
        """Nothing."""
        return b""

    readline = read


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _has(scope: Scope, wanted: bytes) -> bool:
    return any(name == wanted for name, _ in scope["headers"])


def request_environ(scope: Scope, body: Any, length: int) -> Environ:
    """The WSGI environment of an ASGI request whose body has been read."""
    raw = scope.get("raw_path") or scope["path"].encode()
    # WSGI's strings hold one byte in each character.
    path = unquote_to_bytes(raw).decode("latin-1")
    query = quote_from_bytes(scope["query_string"], safe=_QUERY_SAFE)
    environ = new_environ(scope["method"], path, query, f"HTTP/{scope['http_version']}")
    for name, value in scope["headers"]:
        key = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
        text = value.decode("latin-1")
        glue = ";" if name == b"cookie" else ","
        environ[key] = f"{environ[key]}{glue}{text}" if key in environ else text
    environ.pop("HTTP_CONTENT_LENGTH", None)
    environ.pop("HTTP_TRANSFER_ENCODING", None)  # the body is here, whole
    if "HTTP_CONTENT_TYPE" in environ:
        environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE")
    server, client = scope.get("server") or ("localhost", 80), scope.get("client") or ("", 0)
    return environ | {
        "CONTENT_LENGTH": str(length),
        "wsgi.input": body,
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "SERVER_NAME": str(server[0]),
        "SERVER_PORT": str(server[1] or 0),
        "REMOTE_ADDR": str(client[0]),
    }


class _Exchange:
    """One request and its answer. The thread calls, the loop sends; either may stop first."""

    def __init__(self, wsgi: Wsgi, environ: Environ, send: Send) -> None:
        self._wsgi, self._environ, self._send = wsgi, environ, send
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._gone = False
        self._sending: concurrent.futures.Future[None] | None = None
        self._start: Message | None = None

    async def run_in(self, lane: Lane) -> None:
        done = self._loop.create_future()
        lane.submit(lambda: self._run(done))
        try:
            await done
        finally:
            self._leave()

    def _leave(self) -> None:
        """The client is gone, or has all: a thread that still sends is told so."""
        with self._lock:
            self._gone = True
            if self._sending is not None:
                self._sending.cancel()

    def _run(self, done: asyncio.Future[None]) -> None:
        error: BaseException | None = None
        try:
            with closing(self._wsgi(self._environ, self._start_response)) as chunks:
                self._pass_on(chunks)
        except concurrent.futures.CancelledError:
            pass  # nobody waits for it any more
        except Exception as raised:  # noqa: BLE001 - the loop raises it again, where it is logged
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits for it either
            self._loop.call_soon_threadsafe(_settle, done, error)

    def _start_response(self, status: str, headers: list[tuple[str, str]], _e: Any = None) -> Any:
        code, rows = head_of(status, headers)
        self._start = {"type": "http.response.start", "status": code, "headers": list(rows)}
        return lambda chunk: self._emit(chunk, more=True)

    def _pass_on(self, chunks: Iterable[bytes]) -> None:
        """Short answers whole, in one hop to the loop; others as they come."""
        rest = iter(chunks)
        first = next(rest, b"")  # start_response may be called as late as here
        assert self._start is not None, "the application began no answer"
        length = next((v for k, v in self._start["headers"] if k == b"content-length"), b"")
        if length.isdigit() and int(length) <= PIECE_BYTES:
            self._emit(first + b"".join(rest), more=False)
            return
        for chunk in itertools.chain((first,), rest):
            if chunk:
                self._emit(chunk, more=True)
        self._emit(b"", more=False)

    def _emit(self, body: bytes, *, more: bool) -> None:
        """Send, and wait until it is through: the client's pace is the application's."""
        with self._lock:
            if self._gone:
                raise concurrent.futures.CancelledError
            message = {"type": "http.response.body", "body": body, "more_body": more}
            sending = asyncio.run_coroutine_threadsafe(self._deliver(message), self._loop)
            self._sending = sending
        sending.result()

    async def _deliver(self, message: Message) -> None:
        start, self._start = self._start, None
        if start is not None:
            await self._send(start)
        await self._send(message)


def _settle(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)

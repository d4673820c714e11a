"""The layer in front of Flask: one call for all who ask the same, its answer kept for a while.

What is below ``/live/`` is the same for every viewer, so a request there is reduced to what can
change its answer, a :class:`server.kept.Target`, and Flask is called with that and nothing else:
no header of one viewer can reach another. Everything else is passed on, request by request.

A call that has to wait for media takes no thread meanwhile (:mod:`server.holding`).
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import formatdate
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from werkzeug.http import parse_accept_header

from server.asgi import (
    BUSY,
    FAILED,
    Answer,
    Busy,
    Environ,
    Lane,
    Receive,
    Scope,
    Send,
    Wsgi,
    call,
    get_environ,
    refusal,
)
from server.bridge import Bridge
from server.counts import CALLED, JOINED, KEPT, Row, SendCounter, Table, kind_of
from server.events_asgi import EventStreams
from server.holding import HOLD, Hold, Wait
from server.kept import CONDITIONS, PLAYLIST, KeptAnswers, Target, fitted
from server.live import PATH as LIVE_PATH
from server.live_asgi import LiveSockets
from server.tokens import Guarded, Refused, admitted, forbidden
from server.watcher import Ticket

# Answers that are kept, in bytes of memory of one web process.
KEPT_BYTES = 64 * 1024 * 1024
SHARED = "/live/"
# Bodies that are read as they come; each has a thread meanwhile.
STREAMED_AT_ONCE = 8
# Calls that may wait for a thread: when a part comes, all that were held for it come together.
QUEUED = 4096
# What a playlist's answer depends on. Any other parameter is dropped, else everybody could have a
# call of his own held by asking for the next part with one more parameter.
_MSN, _PART, _SKIP = "_HLS_msn", "_HLS_part", "_HLS_skip"
# 42: v2 may leave out date ranges too. There are none, so it is the same answer.
_SKIPS = ("YES", "v2")
_PATH = re.compile(r"/live(/[A-Za-z0-9][A-Za-z0-9._-]*)+")
_EVENTS = re.compile(r"/api/streams/[^/]+/events")
_NOTED = frozenset((b"authorization", b"accept-encoding"))

_RETRY = (b"retry-after", b"1")
GOODBYE = refusal(503, "this process is ending; ask again", _RETRY)

Responder = Callable[[Lane, Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger(__name__)


class _Route(NamedTuple):
    path: str
    query: str
    is_playlist: bool
    kind: int  # place in server.counts.KINDS


class _Call:
    """One call of Flask under way, or put aside, and who waits for it, in order."""

    __slots__ = ("hold", "lane", "loop", "ticket", "timer", "waiters")

    def __init__(self, lane: Lane) -> None:
        self.lane, self.loop = lane, asyncio.get_running_loop()
        self.waiters: dict[asyncio.Future[Answer], None] = {}
        self.hold = Hold()
        self.ticket: Ticket | None = None
        self.timer: asyncio.TimerHandle | None = None

    def answer_all(self, answer: Answer) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(answer)

    def take_back(self) -> bool:
        """Whether it was put aside, and now no longer is."""
        if self.timer is not None:
            self.timer.cancel()
        return self.ticket is not None and self.ticket.cancel()


class Coalescer:
    """An ASGI application around a WSGI application.

    Args:
        wsgi: answers everything.
        threads: of each kind of call, at once.
        body_bytes: longest request body that ``wsgi`` accepts.
        is_streamed: whether POST to a path brings a body that is read as it comes.
        media_root: whose streams' events are followed; None: ``wsgi`` does that too.
        viewer_key: what below ``/live/`` needs a token signed with it; empty: nothing does.
        row: where this process counts its answers; None: nobody will ask.
        kept_bytes: bound of the kept answers.
        clock: seconds, rising.
    """

    def __init__(
        self,
        wsgi: Wsgi,
        *,
        threads: int,
        body_bytes: int,
        is_streamed: Callable[[str], bool] = lambda _path: False,
        media_root: Path | None = None,
        viewer_key: str = "",
        row: Row | None = None,
        kept_bytes: int = KEPT_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kept = KeptAnswers(kept_bytes, clock)
        self.calls = 0  # of the application, for shared answers
        self._row = Table().row() if row is None else row
        self._wsgi = wsgi
        self._is_streamed = is_streamed
        self._viewer_key = viewer_key
        # Tokens of what is passed on are checked where the application's own path is known.
        passed_on: Wsgi = Guarded(wsgi, viewer_key) if viewer_key else wsgi
        self._bridge = Bridge(passed_on, body_bytes)
        self._events = EventStreams(passed_on, media_root) if media_root else None
        self._live = LiveSockets(passed_on, media_root, self._row) if media_root else None
        self._in_flight: dict[Target, _Call] = {}
        self._closing = False
        # One kind of request cannot take the threads of another. Who insists on an answer of his
        # own, with Authorization, waits in a thread, and can exhaust his own lane only.
        self._reloads = Lane("reload", threads, queued=QUEUED)
        self._media = Lane("media", threads, queued=QUEUED)
        self._own = Lane("own", max(4, threads // 4))
        self._other = Lane("other", max(8, threads // 4), queued=4096)
        self._streaming = Lane("body", STREAMED_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._live and LIVE_PATH.fullmatch(scope["path"]):
            await self._live.respond(self._other, scope, receive, send)
        else:  # websocket: closed before it is accepted, so the client sees 403
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    def close(self) -> None:
        """Wake whoever waits, with 503; from now on nobody waits. Call it in the loop's thread."""
        self._closing = True
        for under_way in self._in_flight.values():
            under_way.take_back()
            under_way.answer_all(GOODBYE)
        if self._events:
            self._events.close()
        if self._live:
            self._live.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            kind = (await receive())["type"]
            if kind == "lifespan.shutdown":
                self.close()
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        if scope["method"] == "POST" and self._is_streamed(scope["path"]):
            await self._pass_on(self._streaming, scope, receive, send, began)
            return
        if scope["method"] != "GET" or SHARED not in scope["path"]:
            await self._pass_on(self._other, scope, receive, send, began)
            return
        try:
            path = self._admitted(scope["path"])
        except Refused as reason:
            refused, seconds = forbidden(reason), perf_counter() - began
            self._row.answered(kind_of(scope["path"]), refused.status, seconds, len(refused.body))
            await refused.send_to(send)
            return
        target, conditional, kind = _read_request(scope, path)
        if target is None:
            await self._pass_on(self._own, scope, receive, send, began)
            return
        answer = self.kept.find(target)
        if answer is None:
            answer = await self._join(target)
        else:
            self._row.came(KEPT)
        if conditional:
            answer = fitted(answer, scope["headers"])
        self._row.answered(kind, answer.status, perf_counter() - began, len(answer.body))
        await answer.send_to(send)

    async def _pass_on(
        self, lane: Lane, scope: Scope, receive: Receive, send: Send, began: float
    ) -> None:
        has_msn = _MSN.encode() in scope["query_string"]
        counted = SendCounter(send, self._row, kind_of(scope["path"], has_msn=has_msn), began)
        try:
            await self._responder(lane, scope)(lane, scope, receive, counted)
        finally:
            counted.done()

    def _responder(self, lane: Lane, scope: Scope) -> Responder:
        """What answers a request that is not shared."""
        if lane is self._streaming:
            return self._bridge.stream
        if scope["method"] == "GET" and self._events and _EVENTS.fullmatch(scope["path"]):
            return self._events.respond
        return self._bridge.respond

    def _admitted(self, path: str) -> str:
        key = self._viewer_key
        return admitted(key, path, time.time()) if key else path

    async def _join(self, target: Target) -> Answer:
        """Wait for the call that answers this, which is begun if there is none.

        A client that goes away cancels its own wait; the call goes on for the others. If there are
        none, it goes to its end, or is forgotten where it was put aside.
        """
        if self._closing:
            return GOODBYE
        under_way, way = self._in_flight.get(target), JOINED
        if under_way is None:
            try:
                under_way, way = self._begin(target), CALLED
            except Busy:
                return BUSY
        self._row.came(way)
        waiter: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        under_way.waiters[waiter] = None
        self._row.held(1)
        try:
            return await waiter
        except asyncio.CancelledError:
            under_way.waiters.pop(waiter, None)
            if not under_way.waiters and under_way.take_back():
                del self._in_flight[target]
            raise
        finally:
            self._row.held(-1)

    def _begin(self, target: Target) -> _Call:
        under_way = _Call(self._reloads if _MSN in target.query else self._media)
        self._submit(target, under_way)
        self.calls += 1
        self._in_flight[target] = under_way
        return under_way

    def _submit(self, target: Target, under_way: _Call) -> None:
        """Have it called in a thread; may be called in any.

        Raises:
            Busy: too many wait for one.
        """
        loop = under_way.loop

        def work() -> None:
            answer = self._ask(target, under_way.hold)
            wait, under_way.hold.wait = under_way.hold.wait, None
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                if wait is None:
                    loop.call_soon_threadsafe(self._finish, target, under_way, answer)
                else:
                    loop.call_soon_threadsafe(self._put_aside, target, under_way, wait)

        under_way.lane.submit(work)

    def _put_aside(self, target: Target, under_way: _Call, wait: Wait) -> None:
        """Until what it waits for is there, or its time is over."""
        if self._closing or not under_way.waiters:
            del self._in_flight[target]
            return

        def again() -> None:
            try:
                self._submit(target, under_way)
            except Busy:
                under_way.loop.call_soon_threadsafe(self._finish, target, under_way, BUSY)

        def give_up() -> None:
            if under_way.take_back():
                under_way.hold.is_over = True
                again()

        left = under_way.hold.began + wait.seconds - time.monotonic()
        under_way.timer = under_way.loop.call_later(max(0.0, left), give_up)
        under_way.ticket = wait.begin(again)

    def _ask(self, target: Target, hold: Hold) -> Answer:
        """In a thread: have Flask make the answer."""
        extra: Environ = {HOLD: hold}
        if target.gzip:
            extra["HTTP_ACCEPT_ENCODING"] = "gzip"
        try:
            answer = call(self._wsgi, get_environ(target.path, target.query, extra))
        except Exception:
            log.exception("the application failed at %s", target.path)
            return FAILED
        if answer.header(b"date"):
            return answer
        date = (b"date", formatdate(usegmt=True).encode())  # it says when, also if sent later
        return Answer(answer.status, (*answer.headers, date), answer.body)

    def _finish(self, target: Target, under_way: _Call, answer: Answer) -> None:
        if under_way.timer is not None:
            under_way.timer.cancel()
        self.kept.keep(target, answer)
        del self._in_flight[target]
        under_way.answer_all(answer)


# --- requests ------------------------------------------------------------------------------------


def _read_request(scope: Scope, path: str) -> tuple[Target | None, bool, int]:
    """What is asked for, whether under a condition, and its kind; no target: not to be shared."""
    route = _route(path, scope["query_string"])
    gzip = conditional = False
    for name, value in scope["headers"]:
        if name in _NOTED:
            if name == b"authorization":
                return None, False, 0
            gzip = _takes_gzip(value)
        elif name in CONDITIONS:
            conditional = True
    if route is None:
        return None, False, 0
    return Target(route.path, route.query, gzip and route.is_playlist), conditional, route.kind


@lru_cache(maxsize=1024)  # all viewers of a stream ask for the same few things
def _route(path: str, query: bytes) -> _Route | None:
    if not _PATH.fullmatch(path):
        return None
    if not path.endswith(PLAYLIST):
        return _Route(path, "", False, kind_of(path))
    wanted = directives(query)
    return _Route(path, wanted, True, kind_of(path, has_msn=_MSN in wanted))


def directives(query: bytes) -> str:
    """The delivery directives of a query, each once, in one spelling."""
    given: dict[str, str] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        given.setdefault(name, value)  # the first counts, as in Flask
    kept = {name: _number(given[name]) for name in (_MSN, _PART) if name in given}
    if given.get(_SKIP) in _SKIPS:  # a full playlist answers any other
        kept[_SKIP] = _SKIPS[0]
    return urlencode(kept)


def _number(text: str) -> str:
    plain = text.isascii() and text.isdigit() and len(text) <= 18
    return str(int(text)) if plain else text


@lru_cache(maxsize=256)
def _takes_gzip(value: bytes) -> bool:
    return b"gzip" in value and parse_accept_header(value.decode("latin-1")).quality("gzip") > 0

"""Server-sent events without a thread per listener: one inotify and one task each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import inotify_simple
from inotify_simple import flags

from encoder.media_root import RUN
from server.asgi import Answer, Lane, Receive, Scope, Send, Wsgi, refusal
from server.bridge import NoBody, ask, request_environ
from server.events import (
    FOLLOWED,
    HEARTBEAT,
    HEARTBEAT_SECONDS,
    Following,
    Telling,
    journal_path,
    read_following,
)

# Of one web process: each is a connection, a task and a timer.
LISTENERS_AT_ONCE = 256
TOO_MANY = refusal(
    503,
    f"{LISTENERS_AT_ONCE} listen here already; ask again in some seconds",
    (b"retry-after", b"5"),
)
_NO_BODY = b""


class EventStreams:
    """Answers listeners.

    Args:
        wsgi: says whether a listener may be.
        media_root: entered already.
    """

    def __init__(self, wsgi: Wsgi, media_root: Path) -> None:
        self._wsgi = wsgi
        self._root = media_root
        self._watch = _Renames(media_root / RUN)
        self._listeners = 0
        self._closing = False

    async def respond(self, lane: Lane, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one listener until he goes, or the stream does."""
        environ = request_environ(scope, NoBody(), 0) | {FOLLOWED: True}
        answer = await ask(self._wsgi, lane, environ)
        if answer.status != 200:
            await answer.send_to(send)
        elif self._listeners >= LISTENERS_AT_ONCE or self._closing:
            await TOO_MANY.send_to(send)
        else:
            self._listeners += 1
            try:
                await self._follow(answer, receive, send)
            finally:
                self._listeners -= 1

    def close(self) -> None:
        """End all answers: this process ends, and the listeners ask the next one."""
        self._closing = True
        self._watch.wake_all()

    async def _follow(self, answer: Answer, receive: Receive, send: Send) -> None:
        following = read_following(answer.body)
        headers = [(k, v) for k, v in answer.headers if k != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        gone = asyncio.ensure_future(_leaves(receive))
        try:
            await self._tell(following, gone, send)
        finally:
            gone.cancel()
        await _write(send, _NO_BODY, more=False)

    async def _tell(self, following: Following, gone: asyncio.Future[None], send: Send) -> None:
        name = journal_path(self._root, following.stream).name
        with self._watch.of(name) as changed:
            told = Telling(self._root, following)
            await _write(send, told.greeting())
            while not (gone.done() or self._closing or told.is_over()):
                changed.clear()
                news = told.news()
                if news:
                    await _write(send, news)
                elif not await _either(changed, gone, HEARTBEAT_SECONDS):
                    await _write(send, HEARTBEAT)


class _Renames:
    """Wakes who waits for a file of a folder; asks the kernel only while somebody does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiters: dict[str, set[asyncio.Event]] = {}
        self._inotify: inotify_simple.INotify | None = None

    @contextmanager
    def of(self, name: str) -> Iterator[asyncio.Event]:
        """Lend an event that is set when the file of that name is replaced or removed."""
        changed = asyncio.Event()
        self._waiters.setdefault(name, set()).add(changed)
        self._open()
        try:
            yield changed
        finally:
            self._waiters[name].discard(changed)
            if not self._waiters[name]:
                del self._waiters[name]
            if not self._waiters:
                self._close()

    def wake_all(self) -> None:
        """Whatever it is they wait for."""
        for waiters in self._waiters.values():
            for changed in waiters:
                changed.set()

    def _open(self) -> None:
        if self._inotify is None:
            self._inotify = inotify_simple.INotify()
            self._inotify.add_watch(self._folder, flags.MOVED_TO | flags.DELETE)
            asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._read)

    def _close(self) -> None:
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fileno())
            self._inotify.close()
            self._inotify = None

    def _read(self) -> None:
        assert self._inotify is not None
        for happened in self._inotify.read(timeout=0):
            for changed in self._waiters.get(happened.name, ()):
                changed.set()


async def _either(changed: asyncio.Event, gone: asyncio.Future[None], seconds: float) -> bool:
    """Whether one of the two came in time."""
    waiting = asyncio.ensure_future(changed.wait())
    try:
        done, _ = await asyncio.wait(
            (waiting, gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        return bool(done)
    finally:
        waiting.cancel()


async def _leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _write(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})

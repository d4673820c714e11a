"""WebSockets of who speaks live: sound to the worker of a stream, its words back. No threads.

A browser cannot read the status of a handshake that fails, but it can read a close frame: so every
WebSocket is accepted, and who is refused is told why by a close code of 4000 + HTTP status.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from encoder.media_root import RUN
from rawmedia import SPEECH_SOCKET
from server.asgi import Answer, Environ, Lane, Message, Receive, Scope, Send, Wsgi
from server.bridge import NoBody, ask, request_environ
from server.counts import LIVE, OWN, Row, kind_of
from server.live import SOCKET

# Of one web process; a stream has one speaker, so more of them are a mistake or an attack.
SPEAKERS_AT_ONCE = 128
# 0.7 s at 48 kHz; who sends less often is not live.
LONGEST_MESSAGE_BYTES = 64 * 1024
# A microphone sends 50 times a second, also while nobody speaks.
IDLE_SECONDS = 10.0
# The worker takes a message in less than a millisecond; if it does not, it hangs.
STUCK_SECONDS = 2.0
# It answers a greeting at once, and has its last word as fast.
GREETING_SECONDS, GOODBYE_SECONDS = 5.0, 2.0
# A browser offers these, and has to be answered one that it has offered.
PROTOCOL, TOKEN_PROTOCOL = "lipstream.pcm", "bearer."
# RFC 6455, 7.4.1, and the registry it began.
UNSUPPORTED, INVALID, RESTART, TRY_AGAIN_LATER = 1003, 1007, 1012, 1013
# Ours: an HTTP status.
OWN_CODES = 4000
# RFC 6455, 5.5: what a close frame has room for.
_LONGEST_REASON_BYTES = 123
_LONGEST_LINE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class End:
    """How a connection ends."""

    code: int
    reason: str = ""


TOO_MANY = End(OWN_CODES + 503, f"{SPEAKERS_AT_ONCE} speak here already; connect again later")
GOODBYE = End(RESTART, "this process ends; connect again")
WORKER_AWAY = End(RESTART, "the face is starting, or was restarted; connect again in a second")
STUCK = End(TRY_AGAIN_LATER, "the face takes no sound; connect again in some seconds")
IDLE = End(OWN_CODES + 408, f"nothing came for {IDLE_SECONDS:g} s; send silence as sound")
TEXT = End(UNSUPPORTED, "a text came; send s16le samples as binary messages")


class LiveSockets:
    """Answers speakers.

    Args:
        wsgi: says whether somebody may speak.
        media_root: entered already.
        row: where it is counted.
    """

    def __init__(self, wsgi: Wsgi, media_root: Path, row: Row) -> None:
        self._wsgi = wsgi
        self._run = media_root / RUN
        self._row = row
        self._speakers = 0
        self._closing: asyncio.Event | None = None  # made in the loop

    def close(self) -> None:
        """End all connections: this process ends, and the speakers connect to the next one."""
        if self._closing is not None:
            self._closing.set()

    async def respond(self, lane: Lane, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one speaker until he goes, or must go."""
        self._closing = self._closing or asyncio.Event()
        began = perf_counter()
        await receive()  # websocket.connect
        self._speakers += 1
        try:
            asked = await ask(self._wsgi, lane, _environ(scope))
            await send({"type": "websocket.accept", "subprotocol": _protocol(scope)})
            self._count(scope, asked, perf_counter() - began)
            end = await self._serve(asked, receive, send)
            await _close(send, end)
        finally:
            self._speakers -= 1

    def _count(self, scope: Scope, asked: Answer, seconds: float) -> None:
        status = 101 if asked.status == 200 else asked.status
        self._row.answered(kind_of(scope["path"]), status, seconds, 0)
        self._row.came(OWN)

    async def _serve(self, asked: Answer, receive: Receive, send: Send) -> End | None:
        """None: the speaker went by himself."""
        if self._speakers > SPEAKERS_AT_ONCE:
            return TOO_MANY
        wish = json.loads(asked.body)
        if asked.status != 200:
            return End(OWN_CODES + asked.status, wish["detail"])
        worker = _Worker(self._run / f"{wish.pop('stream')}{SPEECH_SOCKET}")
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                welcome = await worker.greet(wish)
        except (OSError, ValueError):  # a TimeoutError is an OSError
            worker.leave()
            return WORKER_AWAY
        try:
            if not welcome.pop("ok"):
                return End(OWN_CODES + 409, welcome["error"])
            await send({"type": "websocket.send", "text": json.dumps(welcome)})
            return await self._relay(worker, receive, send)
        finally:
            worker.leave()

    async def _relay(self, worker: _Worker, receive: Receive, send: Send) -> End | None:
        assert self._closing is not None
        ways = [
            asyncio.ensure_future(worker.hear(self._told(send))),
            asyncio.ensure_future(_pass_on(receive, worker)),
            asyncio.ensure_future(self._closing.wait()),
        ]
        spoken, sent, _closing = ways
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if sent.done() and not spoken.done():  # the worker's account is still to come
                worker.finish()
                await asyncio.wait((spoken,), timeout=GOODBYE_SECONDS)
            return _first_end(sent, spoken)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    def _told(self, send: Send) -> Callable[[dict[str, Any]], Awaitable[None]]:
        """What the worker tells of the sound is counted, and passed on."""
        before = dict.fromkeys(LIVE, 0.0)

        async def tell(account: dict[str, Any]) -> None:
            for name in LIVE:
                self._row.live(name, account[name] - before[name])
                before[name] = account[name]
            if "ended" not in account:
                with suppress(OSError):  # he is gone
                    await send({"type": "websocket.send", "text": json.dumps(account)})

        return tell


class _Worker:
    """The inference worker's end of the connection."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: asyncio.StreamWriter | None = None

    async def greet(self, wish: dict[str, Any]) -> dict[str, Any]:
        self._reader, self._writer = await asyncio.open_unix_connection(
            self._path, limit=_LONGEST_LINE_BYTES
        )
        self._writer.write(json.dumps(wish).encode() + b"\n")
        return await self._line()

    async def hear(self, tell: Callable[[dict[str, Any]], Awaitable[None]]) -> End:
        """Listen until its last word."""
        try:
            while True:
                said = await self._line()
                await tell(said)
                if "ended" in said:
                    return End(said["ended"], said["reason"])
        except (OSError, ValueError):
            return WORKER_AWAY

    async def take(self, data: bytes) -> None:
        """Hand it sound; OSError: it takes no more."""
        assert self._writer is not None
        self._writer.write(data)
        async with asyncio.timeout(STUCK_SECONDS):
            await self._writer.drain()

    def finish(self) -> None:
        """Nothing more will be said."""
        if self._writer is not None and not self._writer.is_closing():
            with suppress(OSError):
                self._writer.write_eof()

    def leave(self) -> None:
        """What a worker that hangs has not taken by now it need not take."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def _line(self) -> dict[str, Any]:
        line = await self._reader.readline()
        said: dict[str, Any] = json.loads(line)  # an empty one, at the end, is no JSON
        return said


async def _pass_on(receive: Receive, worker: _Worker) -> End | None:
    """Hand on what comes. None: the speaker went, or the worker will say why it takes no more."""
    while True:
        try:
            async with asyncio.timeout(IDLE_SECONDS):  # wait_for() can lose a cancellation
                message = await receive()
        except TimeoutError:
            return IDLE
        if message["type"] == "websocket.disconnect":
            return None
        end = _wrong_with(message)
        if end is not None:
            return end
        try:
            await worker.take(message["bytes"])
        except TimeoutError:
            return STUCK
        except OSError:
            return None


def _wrong_with(message: Message) -> End | None:
    data = message.get("bytes")
    if data is None:
        return TEXT
    if len(data) % 2:
        return End(INVALID, f"a message of {len(data)} bytes; a sample has two")
    return None


def _first_end(sent: asyncio.Future[Any], spoken: asyncio.Future[Any]) -> End | None:
    """Who must go is told of his own mistake first, then of what the worker says of him."""
    for way in (sent, spoken):
        if way.done() and way.result() is not None:
            end: End = way.result()
            return end
    return None if sent.done() else GOODBYE


def _environ(scope: Scope) -> Environ:
    """As of a GET; a page cannot give a WebSocket a header, so its token comes as a protocol."""
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    environ = request_environ(scope | {"method": "GET", "scheme": scheme}, NoBody(), 0)
    offered = next((name for name in _offered(scope) if name.startswith(TOKEN_PROTOCOL)), None)
    if offered and "HTTP_AUTHORIZATION" not in environ:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {_token(offered)}"
    return environ | {SOCKET: True}


def _token(protocol: str) -> str:
    """Base64 for URLs, without padding; what is none is no token either."""
    text = protocol.removeprefix(TOKEN_PROTOCOL)
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("latin-1")
    except (binascii.Error, ValueError):
        return ""


def _offered(scope: Scope) -> list[str]:
    return list(scope.get("subprotocols") or ())


def _protocol(scope: Scope) -> str | None:
    return PROTOCOL if PROTOCOL in _offered(scope) else None


async def _close(send: Send, end: End | None) -> None:
    code, reason = (1000, "") if end is None else (end.code, end.reason)
    fits = reason.encode()[:_LONGEST_REASON_BYTES].decode(errors="ignore")
    await send({"type": "websocket.close", "code": code, "reason": fits})

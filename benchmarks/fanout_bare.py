"""The alternative: an ASGI application without Flask, threads or keys, for two kinds of requests.

It reads inotify in the event loop, reads each part once and gives the same bytes to all who wait
for it. It checks nothing, keeps everything and serves nothing else: a floor, no server.
"""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from pathlib import Path
from typing import Any

import inotify_simple
from inotify_simple import flags

from encoder.playlist_reader import read_position

_CORS = [
    (b"x-content-type-options", b"nosniff"),
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Age, Date, Content-Length, Content-Range"),
    (b"timing-allow-origin", b"*"),
    (b"server-timing", b"hold;dur=183.1, age;dur=0.9"),
]


class BareApp:
    """Serves ``/live/<stream>/<rendition>/<name>`` for a folder of streams."""

    def __init__(self, live: Path) -> None:
        self._live = live
        self._inotify: inotify_simple.INotify | None = None
        self._folders: dict[int, str] = {}
        self._answers: dict[str, list[dict[str, Any]]] = {}
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}

    def close(self) -> None:
        """Nothing waits long."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        if self._inotify is None:
            self._watch()
        query = scope["query_string"].decode()
        key = f"{scope['path']}?{query}" if query else scope["path"]
        if key.endswith("/index.m3u8"):  # asked once, to see that the server is up
            self._answers[key] = _messages(b"#EXTM3U\n", b"application/vnd.apple.mpegurl", "")
        while key not in self._answers:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.setdefault(key, []).append(waiter)
            await waiter
        for message in self._answers[key]:
            await send(message)

    def _watch(self) -> None:
        self._inotify = inotify_simple.INotify(nonblocking=True)
        for folder in self._live.glob("*/*/"):
            name = f"/live/{folder.relative_to(self._live)}"
            self._folders[self._inotify.add_watch(folder, flags.MOVED_TO)] = name
        asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._changed)

    def _changed(self) -> None:
        assert self._inotify is not None
        for happened in self._inotify.read(timeout=0):
            folder = self._folders[happened.wd]
            path = self._live.parent / f"{folder}/{happened.name}"[1:]
            body = path.read_bytes()
            if happened.name.endswith(".m3u8"):
                position = read_position(body.decode())
                msn, part = position.last_msn + 1, position.parts - 1
                if part < 0:
                    msn, part = position.last_msn, position.last_parts - 1
                key = f"{folder}/{happened.name}?_HLS_msn={msn}&_HLS_part={part}"
                kind = b"application/vnd.apple.mpegurl"
            else:
                key, kind = f"{folder}/{happened.name}", b"video/mp4"
            self._answers[key] = _messages(body, kind, happened.name)
            for waiter in self._waiters.pop(key, ()):
                if not waiter.done():
                    waiter.set_result(None)


def _messages(body: bytes, kind: bytes, name: str) -> list[dict[str, Any]]:
    """The same headers as lipstream's, so that the answers have the same length."""
    date = formatdate(usegmt=True).encode()
    file = [
        (b"content-disposition", b"inline; filename=" + name.encode()),
        (b"last-modified", date),
        (b"etag", b'"' + name.encode() + b'"'),
        (b"accept-ranges", b"bytes"),
    ]
    headers = [
        *(file if kind == b"video/mp4" else ()),
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"public, max-age=12"),
        (b"date", date),
        *_CORS,
    ]
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    return [start, {"type": "http.response.body", "body": body}]

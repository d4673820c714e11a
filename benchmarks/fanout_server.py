"""A web server for the benchmark: lipstream's own, or the bare alternative; counts its requests.

python -m benchmarks.fanout_server KIND COUNTS CPUS
    KIND: web or bare; COUNTS: a file of 16 bytes a process: requests, calls of Flask;
    CPUS: those it may use, such as 0,1

Like server.web it is given a listening socket and a line of JSON on stdin.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import config
from benchmarks.fanout_bare import BareApp
from server import web
from server.app import MAX_BODY_BYTES, create_app
from server.asgi import Receive, Scope, Send
from server.coalescer import Coalescer
from server.specs import WebSpec

SLOTS = 16


class Counts:
    """Two counters in a shared file, one pair for each process: no lock needed."""

    def __init__(self, path: Path, slot: int) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SLOTS * 16)
        self._at = slot % SLOTS * 16
        self.requests = self.calls = 0

    def write(self) -> None:
        struct.pack_into("<QQ", self._map, self._at, self.requests, self.calls)


def read_counts(path: Path) -> tuple[int, int]:
    """Requests and calls of all processes so far."""
    pairs = list(struct.iter_unpack("<QQ", path.read_bytes()))
    return sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)


class _CountingAsgi:
    """Around an ASGI application."""

    def __init__(self, app: Any, counts: Counts) -> None:
        self._app, self._counts = app, counts
        self.close = app.close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._counts.requests += 1
            self._counts.write()
        await self._app(scope, receive, send)


def _counting_wsgi(wsgi: Any, counts: Counts, *, is_all: bool) -> Any:
    def app(environ: Any, start: Any) -> Any:
        counts.calls += 1
        counts.requests += is_all
        counts.write()
        return wsgi(environ, start)

    return app


def load(kind: str, counts_path: Path, settings: config.Settings, media_root: Path) -> Any:
    """The application of one worker process."""
    counts = Counts(counts_path, os.getpid())
    if kind == "bare":
        return _CountingAsgi(BareApp(media_root / "live"), counts)
    flask = create_app(settings, media_root)
    if settings.web_worker == "gthread":
        return _counting_wsgi(flask.wsgi_app, counts, is_all=True)
    wsgi = _counting_wsgi(flask.wsgi_app, counts, is_all=False)
    app = Coalescer(wsgi, threads=settings.web_threads, body_bytes=MAX_BODY_BYTES)
    return _CountingAsgi(app, counts)


def main() -> None:
    kind, counts_path = sys.argv[1], Path(sys.argv[2])
    os.sched_setaffinity(0, map(int, sys.argv[3].split(",")))
    settings = config.load()
    spec = WebSpec(**json.loads(sys.stdin.readline()))
    web._allow_many_connections()
    app: Callable[[], Any] = partial(load, kind, counts_path, settings, Path(spec.media_root))
    web._Gunicorn(app, web.gunicorn_options(settings, spec)).run()


if __name__ == "__main__":
    main()

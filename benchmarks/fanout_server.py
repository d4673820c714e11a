"""A web server for the benchmark: lipstream's own, or the bare alternative; notes its requests.

python -m benchmarks.fanout_server KIND ASKED CALLED CPUS
    KIND: web or bare; ASKED: a folder for what each process is asked for; CALLED: one for what
    its Flask is called for; CPUS: those it may use, such as 0,1

Like server.web it is given a listening socket and a line of JSON on stdin.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import config
from benchmarks.fanout_asked import Asked
from benchmarks.fanout_bare import BareApp
from server import web
from server.app import MAX_BODY_BYTES, create_app
from server.asgi import Receive, Scope, Send
from server.coalescer import Coalescer
from server.specs import WebSpec


class _NotingAsgi:
    """Around an ASGI application."""

    def __init__(self, app: Any, asked: Asked) -> None:
        self._app, self._asked = app, asked
        self.close = app.close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._asked.note(_thing(scope["method"], scope["path"], scope["query_string"].decode()))
        await self._app(scope, receive, send)


def _noting_wsgi(wsgi: Any, *notes: Asked) -> Any:
    def app(environ: Any, start: Any) -> Any:
        what = (environ[name] for name in ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING"))
        thing = _thing(*what)
        for each in notes:
            each.note(thing)
        return wsgi(environ, start)

    return app


def _thing(method: str, path: str, query: str) -> str:
    return f"{method} {path}?{query}"


def load(kind: str, folders: tuple[Path, Path], settings: config.Settings, media_root: Path) -> Any:
    """The application of one worker process."""
    asked, called = map(Asked, folders)
    if kind == "bare":
        return _NotingAsgi(BareApp(media_root / "live"), asked)
    flask = create_app(settings, media_root)
    if settings.web_worker == "gthread":
        return _noting_wsgi(flask.wsgi_app, asked, called)
    wsgi = _noting_wsgi(flask.wsgi_app, called)
    app = Coalescer(wsgi, threads=settings.web_threads, body_bytes=MAX_BODY_BYTES)
    return _NotingAsgi(app, asked)


def main() -> None:
    kind, folders, cpus = sys.argv[1], (Path(sys.argv[2]), Path(sys.argv[3])), sys.argv[4]
    os.sched_setaffinity(0, map(int, cpus.split(",")))
    settings = config.load()
    spec = WebSpec(**json.loads(sys.stdin.readline()))
    web._allow_many_connections()
    app: Callable[[], Any] = partial(load, kind, folders, settings, Path(spec.media_root))
    web._Gunicorn(app, web.gunicorn_options(settings, spec)).run()


if __name__ == "__main__":
    main()

"""gunicorn around the application: ``python -m server.web``.

It is started with an open listening socket and one line of JSON on stdin, a
:class:`server.specs.WebSpec`; settings come from the environment. stdin stays open as a lifeline:
its end means the supervisor is gone.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import signal
import socket
import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gunicorn.app.base
import gunicorn.http2.async_connection
import gunicorn.util
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.http2.errors import HTTP2ConnectionError
from gunicorn.workers.gasgi import ASGIWorker

import config
import logs
from config import ConfigError, Settings
from server.accepting import Acceptor, Tally
from server.app import MAX_BODY_BYTES, create_app
from server.asgi import Wsgi
from server.coalescer import Coalescer
from server.counts import Counted, Table
from server.early import Http2, Protocol, write_error
from server.live_asgi import LONGEST_MESSAGE_BYTES
from server.specs import WebSpec
from server.speech import PATH as SPEECH_PATH
from server.tls import check_certificate, gunicorn_tls
from server.tokens import Guarded, without_tokens
from server.uploads import PATHS as UPLOAD_PATHS

# Requests that are still held then are cut: the clients ask the next process again.
GRACEFUL_SECONDS = 1
# Descriptors of one web process.
MOST_DESCRIPTORS = 65_536
# Of these, so many are for files: without one no playlist could be read.
RESERVED_DESCRIPTORS = 512
# gunicorn limits the wait for a second request on a connection, but not for the first.
FIRST_REQUEST_SECONDS = 20.0
# A client must have greeted by then, and may take so long to say goodbye.
TLS_HANDSHAKE_SECONDS, TLS_SHUTDOWN_SECONDS = 10.0, 2.0
# Of the worker processes that are forked from this one.
TALLY = Tally()
COUNTS = Table()

log = logging.getLogger(__name__)


class _Gunicorn(gunicorn.app.base.BaseApplication):  # type: ignore[misc] # untyped
    def __init__(self, app: Callable[[], Any], options: dict[str, Any]) -> None:
        self._app = app
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for key, value in self._options.items():
            self.cfg.set(key, value)

    def load(self) -> Any:
        return self._app()


class OurLog(Logger):  # type: ignore[misc] # untyped
    """gunicorn's own, whose lines go where ours go: one for each event, JSON off a terminal."""

    def setup(self, cfg: Any) -> None:
        """Called at the start, and when the settings are read again."""
        super().setup(cfg)
        self.error_log.propagate = True

    def _set_handler(self, *_: Any, **__: Any) -> None:
        """It needs none of its own."""


class AsgiWorker(ASGIWorker):  # type: ignore[misc] # untyped
    """gunicorn's own, which takes its share of the connections, and ends when it is told to."""

    _serving: asyncio.Task[None] | None = None

    async def _serve(self) -> None:
        self._serving = asyncio.current_task()
        if isinstance(self.loop, asyncio.BaseEventLoop):  # others cannot be given another method
            loop: Any = self.loop
            loop.create_server = self._accept_fairly
        await super()._serve()

    async def _accept_fairly(
        self, _protocol: Callable[[], Any], *, sock: socket.socket, ssl: Any = None, **_: Any
    ) -> Acceptor:
        sock.setblocking(False)
        sock.listen(self.cfg.backlog)

        def here() -> int:
            return int(self.nr_conns) + acceptor.joining

        def patient() -> Any:
            made = Protocol(self)
            # Weakly: who has left by then must not stay in memory for it.
            self.loop.call_later(FIRST_REQUEST_SECONDS, _hang_up_if_silent, weakref.ref(made))
            return made

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVED_DESCRIPTORS

        options: dict[str, Any] = {}
        if ssl is not None:
            options = {
                "ssl": ssl,
                "ssl_handshake_timeout": TLS_HANDSHAKE_SECONDS,
                "ssl_shutdown_timeout": TLS_SHUTDOWN_SECONDS,
            }
        acceptor = Acceptor(
            self.loop,
            sock,
            patient,
            has_too_many=lambda: TALLY.has_too_many(self.age, here()),
            is_full=lambda: here() >= most,
            options=options,
        )
        return acceptor

    def _get_ssl_context(self) -> Any:
        """Never without TLS where it is wanted: gunicorn would log, and serve plain HTTP."""
        context = super()._get_ssl_context()
        if context is None and self.cfg.is_ssl:
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR)
        return context

    def notify(self) -> None:
        """Called every second."""
        TALLY.write(self.age, self.nr_conns)
        super().notify()

    def handle_exit_signal(self) -> None:
        """SIGTERM: whoever waits is answered first; then the connections end."""
        super().handle_exit_signal()
        self._end_now()

    def handle_quit_signal(self) -> None:
        """SIGINT, SIGQUIT: the same, without waiting for connections."""
        super().handle_quit_signal()
        self._end_now()

    def _end_now(self) -> None:
        self.asgi.close()
        serving, self._serving = self._serving, None
        if serving is not None:
            # It sleeps for up to a second, and goes on to its shutdown when it is cancelled; after
            # the turn of the loop in which the answers go out.
            self.loop.call_later(0.02, serving.cancel)


def _hang_up_if_silent(connection: weakref.ref[Any]) -> None:
    """End a connection that has not sent a whole request head yet."""
    protocol = connection()
    if protocol is not None and protocol.req_count == 1 and protocol._awaiting_request:
        protocol._keepalive_timeout()


def gunicorn_options(settings: Settings, spec: WebSpec) -> dict[str, Any]:
    """gunicorn's settings, with reasons."""
    return {
        "bind": [f"fd://{spec.listen_fd}"],
        "backlog": 2048,
        "workers": settings.web_processes,
        "keepalive": 75,  # a player asks several times a second; a new connection costs it 1 RTT
        "timeout": 30,  # a worker that does not answer its arbiter for so long is replaced
        "graceful_timeout": GRACEFUL_SECONDS,
        "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108
        "limit_request_line": 4094,
        "accesslog": None,  # a line per request and viewer would drown everything else
        "logger_class": OurLog,
        "loglevel": "warning",
        "proc_name": "lipstream-web",
        "pre_fork": lambda _arbiter, worker: COUNTS.lease(worker.age),
        "child_exit": lambda _arbiter, worker: _forget(worker.age),
        **gunicorn_tls(settings),
        **(_asgi_options() if settings.web_worker == "asgi" else _gthread_options(settings)),
    }


def _forget(worker: int) -> None:
    """A worker process has ended."""
    TALLY.leave(worker)
    COUNTS.release(worker)


def _asgi_options() -> dict[str, Any]:
    return {
        "worker_class": AsgiWorker,
        "asgi_lifespan": "on",
        # A client that goes away frees what it held at once, and without a watch per request.
        "asgi_disconnect_grace_period": 0,
        # A message of a live speaker; gunicorn refuses a longer one with 1009.
        "websocket_max_message_size": LONGEST_MESSAGE_BYTES,
    }


def _gthread_options(settings: Settings) -> dict[str, Any]:
    return {
        "worker_class": "gthread",  # a held request waits in a thread
        "threads": settings.web_threads,
        # Far above the threads, else gthread closes keep-alive connections of waiting players.
        "worker_connections": settings.web_threads * 16,
    }


def main() -> int:
    """Serve until SIGTERM or the end of stdin."""
    settings = config.load()
    logs.configure(settings.log_format)
    spec = WebSpec(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_lifeline, name="lifeline", daemon=True).start()
    try:
        check_certificate(settings)
    except ConfigError as error:  # it was good when the service started: the next try may succeed
        logs.event(log, "certificate_unusable", level=logging.ERROR, reason=str(error))
        return 1
    _allow_many_connections()
    logging.getLogger("gunicorn.error").addFilter(_is_worth_a_line)
    logging.getLogger("gunicorn.error").addFilter(hide_tokens)
    gunicorn.util.write_error = write_error  # 69: what the threaded worker refuses by itself
    gunicorn.http2.async_connection.AsyncHTTP2Connection = Http2  # and what comes over HTTP/2
    root = Path(spec.media_root)
    flask = create_app(settings, root, COUNTS)
    load = partial(_application, flask.wsgi_app, settings, root)
    _Gunicorn(load, gunicorn_options(settings, spec)).run()
    return 0


def _application(wsgi: Wsgi, settings: Settings, media_root: Path) -> Wsgi | Coalescer:
    """What a worker serves; called in each worker process."""
    key, row = settings.viewer_key, COUNTS.row()
    if settings.web_worker == "gthread":
        return Counted(Guarded(wsgi, key) if key else wsgi, row)
    threads = settings.web_threads
    return Coalescer(
        wsgi,
        threads=threads,
        body_bytes=MAX_BODY_BYTES,
        is_streamed=_is_streamed,
        media_root=media_root,
        viewer_key=key,
        row=row,
    )


def _is_streamed(path: str) -> bool:
    """Whether a body may be long there."""
    return path in UPLOAD_PATHS or SPEECH_PATH.fullmatch(path) is not None


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Not that a client left in the middle of HTTP/2: anybody could fill the log with that."""
    return not (record.exc_info and isinstance(record.exc_info[1], HTTP2ConnectionError))


def hide_tokens(record: logging.LogRecord) -> bool:
    """gunicorn tells the path of a request that fails; whoever has a viewer's link can watch."""
    record.msg, record.args = without_tokens(record.getMessage()), ()
    return True


def _allow_many_connections() -> None:
    """Each viewer is a descriptor; the usual soft limit is 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _lifeline() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())

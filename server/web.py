"""gunicorn around the application: ``python -m server.web``.

It is started with an open listening socket and one line of JSON on stdin, a
:class:`server.specs.WebSpec`; settings come from the environment. stdin stays open as a lifeline:
its end means the supervisor is gone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import gunicorn.app.base
from flask import Flask

import config
import logs
from config import Settings
from server.app import create_app
from server.specs import WebSpec

# Requests that are still held then are cut: the clients ask the next process again.
GRACEFUL_SECONDS = 1


class _Gunicorn(gunicorn.app.base.BaseApplication):  # type: ignore[misc] # untyped
    def __init__(self, app: Flask, options: dict[str, Any]) -> None:
        self._app = app
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for key, value in self._options.items():
            self.cfg.set(key, value)

    def load(self) -> Flask:
        return self._app


def gunicorn_options(settings: Settings, spec: WebSpec) -> dict[str, Any]:
    """gunicorn's settings, with reasons."""
    return {
        "bind": [f"fd://{spec.listen_fd}"],
        "workers": settings.web_processes,
        "worker_class": "gthread",  # a held request waits in a thread
        "threads": settings.web_threads,
        # Far above the threads, else gthread closes keep-alive connections of waiting players.
        "worker_connections": settings.web_threads * 16,
        "keepalive": 75,  # a player asks several times a second; a new connection costs it 1 RTT
        "timeout": 30,  # a worker that does not answer its arbiter for so long is replaced
        "graceful_timeout": GRACEFUL_SECONDS,
        "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108
        "limit_request_line": 4094,
        "accesslog": None,  # a line per request and viewer would drown everything else
        "errorlog": "-",
        "loglevel": "warning",
        "proc_name": "lipstream-web",
    }


def main() -> int:
    """Serve until SIGTERM or the end of stdin."""
    settings = config.load()
    logs.configure(settings.log_format)
    spec = WebSpec(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_lifeline, name="lifeline", daemon=True).start()
    app = create_app(settings, Path(spec.media_root))
    _Gunicorn(app, gunicorn_options(settings, spec)).run()
    return 0


def _lifeline() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())

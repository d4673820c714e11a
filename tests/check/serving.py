"""The made-up stream behind a real socket, in real time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.check.origin import Origin
from tests.check.recording import BEGIN


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, origin: Origin) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.origin = origin
        self.began = time.monotonic() - BEGIN

    @property
    def now(self) -> float:
        return time.monotonic() - self.began


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave together
    server: _Server

    def _answer(self) -> None:
        headers = dict(self.headers.items())
        now = Fraction(self.server.now).limit_denominator(10_000)
        reply = self.server.origin.answer(self.command, self.path, headers, now)
        time.sleep(max(0.0, float(reply.at) - self.server.now))
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)
        self.wfile.flush()

    do_GET = do_HEAD = do_OPTIONS = _answer  # noqa: N815 - names that the base class calls

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def serving(origin: Origin) -> Iterator[str]:
    """The address of the multivariant playlist while the block runs."""
    server = _Server(origin)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/live/made-up/index.m3u8"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

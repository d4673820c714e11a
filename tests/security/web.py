"""The web processes alone, as the supervisor starts them, over a media root made by hand."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import requests

from config import ENVIRONMENT_PREFIX, Settings

START_SECONDS = 20.0
WORKERS = ("asgi", "gthread")


class Web:
    """gunicorn with its workers on a port of its own; no encoder, no supervisor.

    Args:
        media_root: where nothing is yet.
        settings: of the service.
        authority: PEM file with who is trusted, for HTTPS.
    """

    def __init__(self, media_root: Path, settings: Settings, authority: Path | None = None) -> None:
        self.media_root = media_root
        self.log: list[str] = []
        self._settings = settings
        self._verify = str(authority) if authority else True

    def __enter__(self) -> Web:
        for name in ("live/demo/v0", "run"):
            (self.media_root / name).mkdir(parents=True, mode=0o700)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            fd = listener.fileno()
            self._child = subprocess.Popen(
                [sys.executable, "-m", "server.web"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(fd,),
                env=_environment() | self._settings.to_environment(),
                start_new_session=True,
            )
            assert self._child.stdin is not None
            spec = {"listen_fd": fd, "media_root": str(self.media_root)}
            self._child.stdin.write(json.dumps(spec).encode() + b"\n")
            self._child.stdin.flush()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._await_answer()
        return self

    def __exit__(self, *_: object) -> None:
        self._child.terminate()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
            raise
        finally:
            self._reader.join(5)

    @property
    def url(self) -> str:
        scheme = "https" if self._settings.tls_cert else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the parent of the worker processes."""
        return self._child.pid

    def workers(self) -> list[int]:
        """The processes that answer."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def raw(self, request: bytes, seconds: float = 10.0, *, half_close: bool = False) -> bytes:
        """Send bytes as they are; returns all that comes back.

        Args:
            request: as it is sent.
            seconds: to wait for an answer.
            half_close: say that nothing more will come.
        """
        with socket.create_connection(("127.0.0.1", self.port), seconds) as link:
            try:
                link.sendall(request)
                if half_close:
                    link.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has heard enough; what it said can still be read
            answer = b""
            try:
                while data := link.recv(65536):
                    answer += data
            except (ConnectionResetError, TimeoutError):
                pass  # it was not interested in the rest
            return answer

    def get(self, path: bytes, headers: bytes = b"") -> bytes:
        """GET exactly that path, as no client library would send it."""
        head = b"GET " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        return self.raw(head + headers + b"\r\n")

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._child.poll() is None:
            try:
                if requests.get(f"{self.url}/healthz", timeout=5, verify=self._verify).ok:
                    return
            except (requests.ConnectionError, requests.Timeout):
                pass
            time.sleep(0.02)
        raise AssertionError("\n".join(["the web processes did not start:", *self.log]))

    def _read(self) -> None:
        assert self._child.stdout is not None
        for row in self._child.stdout:
            self.log.append(row.decode("utf-8", "replace").rstrip())


def status_of(answer: bytes) -> int:
    """The status of a raw answer; 0 where the connection was just closed."""
    answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ENVIRONMENT_PREFIX)}
    return kept | {"PYTHONUNBUFFERED": "1"}

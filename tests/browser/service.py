"""The service as a viewer meets it: `lipstream serve` in a process of its own, on a free port."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import IO

import requests

from tests.browser.processes import end_session

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
# Media belong into memory; None: the system's folder for temporary files.
SHARED_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
START_SECONDS = 20.0
STOP_SECONDS = 3.0
PLAYLIST = "/live/demo/index.m3u8"


class ServiceError(Exception):
    """The service did not start or did not stop as it should; carries the last lines it wrote."""

    def __init__(self, what: str, tail: deque[str]) -> None:
        super().__init__("\n".join([what, *tail]))


@contextlib.contextmanager
def running(port: int = 0) -> Iterator[str]:
    """Yields the base URL once the stream `demo` has a playlist.

    Args:
        port: 0 takes a free one.

    Raises:
        ServiceError: no address, or no playlist, in START_SECONDS.
    """
    deadline = time.monotonic() + START_SECONDS
    # A short path, since the service puts UNIX sockets below it.
    media = tempfile.TemporaryDirectory(prefix="ls-", dir=SHARED_MEMORY, ignore_cleanup_errors=True)
    options = ["--port", str(port), "--media-root", media.name]
    argv = [sys.executable, "-m", "server", "serve", *options]
    child = subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment(),
        start_new_session=True,
    )
    tail: deque[str] = deque(maxlen=40)
    try:
        assert child.stdout is not None
        base = _read_address(child.stdout, deadline, tail)
        _await_playlist(base, deadline, tail)
        yield base
    finally:
        end_session(child, sign=signal.SIGINT, seconds=STOP_SECONDS)
        media.cleanup()


def _environment() -> dict[str, str]:
    # The tests run with the defaults; and LIPSTREAM_FORBID_SKIPS is no setting of the service.
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LIPSTREAM_")}
    return kept | {"PYTHONUNBUFFERED": "1"}


def _read_address(output: IO[bytes], deadline: float, tail: deque[str]) -> str:
    """The first address printed; a thread goes on draining, since a full pipe stops the service."""
    found: queue.Queue[str | None] = queue.Queue()

    def drain() -> None:
        for row in output:
            tail.append(row.decode("utf-8", "replace").rstrip())
            if match := ADDRESS.search(tail[-1]):
                found.put(match.group())
        found.put(None)

    threading.Thread(target=drain, daemon=True).start()
    try:
        address = found.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise ServiceError("the service printed no address in time", tail) from None
    if address is None:
        raise ServiceError("the service ended before it printed an address", tail)
    return address


def _await_playlist(base: str, deadline: float, tail: deque[str]) -> None:
    while time.monotonic() < deadline:
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(base + PLAYLIST, timeout=5).status_code == 200:
                return
        time.sleep(0.05)
    raise ServiceError(f"{PLAYLIST} was not there in {START_SECONDS:g} s", tail)

"""The origin goes and another comes: those who wait hear of it, and nothing old is served."""

from __future__ import annotations

import re
import signal
import socket
import time
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from tests.fleet.conftest import SMALL, Fleet, port_of, start
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.ffmpeg

CACHES = ("varnish", "nginx")
FRONTS = ("varnish", "nginx", "haproxy", "caddy")
WAITING = 10
# So long is a playlist kept that was asked for by number.
KEPT_SECONDS = 1.0


def run_of(text: str) -> str:
    """What the names of one run of the stream begin with."""
    found = re.search(r"([0-9a-f]+)-init\.mp4", text)
    assert found, text
    return found[1]


def hold(fleet: Fleet, name: str) -> socket.socket:
    """A connection on which a request waits."""
    port = fleet[name].http_port
    assert port is not None
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    text = httpx.get(f"{fleet[name].url}/live/demo/v0/media.m3u8").text
    msn = 2 + max(int(n) for n in re.findall(r"-(\d+)\.m4s", text))
    request = f"GET /live/demo/v0/media.m3u8?_HLS_msn={msn} HTTP/1.1\r\nHost: x\r\n\r\n"
    connection.sendall(request.encode())
    return connection


def expect_away(fleet: Fleet, name: str) -> None:
    with httpx.Client(base_url=fleet[name].url, verify=fleet.pair.trusting(), timeout=10) as client:
        for path in ("index.m3u8", "v0/media.m3u8?_HLS_msn=2", "v0/abc-1.0.m4s"):
            began = time.monotonic()
            answer = client.get(f"/live/demo/{path}")
            assert time.monotonic() - began < 2
            assert answer.status_code == 503
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["status"] == 503


def test_another_origin_under_the_same_name() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(temporary_media_root()))
        first = stack.enter_context(Service(folder / "first", SMALL))
        fleet = start(stack, folder, port_of(first))
        client = stack.enter_context(httpx.Client(timeout=10))
        urls = [f"{fleet[name].url}/live/demo/v0/media.m3u8" for name in CACHES]
        waiting = [stack.enter_context(closing(hold(fleet, n))) for n in CACHES * WAITING]
        time.sleep(0.3)  # they are held by now; there is nothing to see it by
        second = stack.enter_context(Service(folder / "second", SMALL))
        # Kept just now, and the second stream, which counts from 1 again, has it too.
        queries = ("?_HLS_msn=1", "?_HLS_msn=2&_HLS_part=0", "")
        before = {run_of(client.get(url + query).text) for url in urls for query in queries}
        fleet.relay.target = None
        first.stop(signal.SIGTERM)
        stopped = time.monotonic()
        for connection in waiting:
            head = connection.recv(4096)
            assert head.startswith((b"HTTP/1.1 503", b"HTTP/1.1 200")), head
            assert b"access-control-allow-origin: *" in head.lower()
        assert time.monotonic() - stopped < 2
        time.sleep(max(0.0, stopped + KEPT_SECONDS + 0.1 - time.monotonic()))
        for name in FRONTS:
            expect_away(fleet, name)
        fleet.relay.target = port_of(second)
        time.sleep(0.25)  # a 503 is kept for 0.2 s
        after = {run_of(client.get(url + query).text) for url in urls for query in queries}
        own = run_of(client.get(f"{second.url}/live/demo/v0/media.m3u8").text)
        assert len(before) == 1
        assert after == {own}
        assert own not in before

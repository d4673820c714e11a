"""The origin goes and another comes: those who wait hear of it, and nothing old is served."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from tests.fleet.conftest import SMALL, Fleet, port_of, start
from tests.fronts import free_port
from tests.patience import STUCK_SECONDS, until
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.ffmpeg

CACHES = ("varnish", "nginx")
FRONTS = ("varnish", "nginx", "haproxy", "caddy")
WAITING = 10
# So long is a playlist kept that was asked for by number; others may keep it for 12 s.
KEPT_SECONDS = 1.0
# What a busy machine adds to that.
SLOW_SECONDS = 4.0
# Three target durations: so long is a request held that nothing answers.
HELD_SECONDS = 6.0
# Numbers that every run has passed: its answer is there at once, and another run's would do.
QUERIES = ("?_HLS_msn=1", "?_HLS_msn=2&_HLS_part=0", "")


def run_of(text: str) -> str:
    """What the names of one run of the stream begin with."""
    found = re.search(r"([0-9a-f]+)-init\.mp4", text)
    assert found, text
    return found[1]


def runs(client: httpx.Client, urls: list[str]) -> set[str]:
    """The runs of which those playlists tell."""
    return {run_of(client.get(url + query).text) for url in urls for query in QUERIES}


def hold(fleet: Fleet, name: str) -> socket.socket:
    """A connection on which a request waits."""
    port = fleet[name].http_port
    assert port is not None
    connection = socket.create_connection(("127.0.0.1", port), timeout=STUCK_SECONDS)
    url = f"{fleet[name].url}/live/demo/v0/media.m3u8"
    text = httpx.get(url, timeout=STUCK_SECONDS).text
    msn = 2 + max(int(n) for n in re.findall(r"-(\d+)\.m4s", text))
    request = f"GET /live/demo/v0/media.m3u8?_HLS_msn={msn} HTTP/1.1\r\nHost: x\r\n\r\n"
    connection.sendall(request.encode())
    return connection


def expect_away(fleet: Fleet, name: str) -> None:
    with httpx.Client(base_url=fleet[name].url, verify=fleet.pair.trusting(), timeout=10) as client:
        for path in ("index.m3u8", "v0/media.m3u8?_HLS_msn=2", "v0/abc-1.0.m4s"):
            began = time.monotonic()
            answer = client.get(f"/live/demo/{path}")
            assert time.monotonic() - began < HELD_SECONDS
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
        second = stack.enter_context(Service(folder / "second", SMALL))
        mark = len(fleet.relay.requests)
        waiting = [stack.enter_context(closing(hold(fleet, n))) for n in CACHES * WAITING]

        def held() -> int:
            return sum(n for what, n in fleet.relay.since(mark).items() if "_HLS_msn" in what)

        until("both caches hold a request", lambda: held() >= len(CACHES))
        # Kept just now, and the second stream answers the very same.
        before = runs(client, urls)
        fleet.relay.target = None
        first.stop(signal.SIGTERM)
        stopped = time.monotonic()
        for connection in waiting:
            head = connection.recv(4096)
            assert head.startswith((b"HTTP/1.1 503", b"HTTP/1.1 200")), head
            assert b"access-control-allow-origin: *" in head.lower()
        assert time.monotonic() - stopped < HELD_SECONDS

        def forgotten() -> bool:
            asked = (url + query for url in urls for query in QUERIES)
            return {client.get(each).status_code for each in asked} == {503}

        until("what was kept is forgotten", forgotten, KEPT_SECONDS + SLOW_SECONDS)
        for name in FRONTS:
            expect_away(fleet, name)
        fleet.relay.target = port_of(second)
        until("the 503 is forgotten", lambda: all(client.get(url).is_success for url in urls))
        after = runs(client, urls)
        own = run_of(client.get(f"{second.url}/live/demo/v0/media.m3u8").text)
        assert len(before) == 1
        assert after == {own}
        assert own not in before


def test_a_stream_started_anew_under_its_id() -> None:
    """Within one service: neither its own process nor a cache answers with the run before."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(temporary_media_root()))
        service = stack.enter_context(Service(folder / "media", SMALL))
        fleet = start(stack, folder, port_of(service))
        client = stack.enter_context(httpx.Client(timeout=10))
        bases = [service.url, *(fleet[name].url for name in CACHES)]
        urls = [f"{base}/live/demo/v0/media.m3u8" for base in bases]
        streams = f"{service.url}/api/streams"
        before = runs(client, urls)
        kept = time.monotonic()
        for _ in range(2):  # again: what can still be watched goes at once
            assert client.delete(f"{streams}/demo").is_success
        until("it is gone", lambda: client.get(f"{streams}/demo").status_code == 404)
        assert client.post(streams, json={"id": "demo"}).status_code == 201
        time.sleep(max(0.0, kept + KEPT_SECONDS - time.monotonic()))
        until("it is live", lambda: client.get(urls[0]).is_success)
        own = run_of(client.get(urls[0]).text)
        assert len(before) == 1
        assert own not in before
        assert runs(client, urls) == {own}


def numbers(service: Service) -> set[int]:
    """The media sequence numbers of all files of a stream."""
    folders = (service.media_root / "live/demo").glob("[av][0-9]")
    names = [file.name for folder in folders for file in folder.glob("[!.]*.m4s")]
    return {int(name.partition("-")[2].partition(".")[0]) for name in names}


def test_63_a_service_that_is_restarted_at_once_uses_no_number_twice(media_root: Path) -> None:
    """Else a browser, or a cache, that keeps held playlists would answer with the run before."""
    flags = (*SMALL, "--port", str(free_port()))
    with Service(media_root, flags) as first:
        os.kill(first.find("-m encoder"), signal.SIGSTOP)  # nothing more is published
        used = numbers(first)
    with Service(media_root, flags) as second:
        assert second.url == first.url
        assert min(numbers(second)) > max(used)

"""Many viewers of a real stream over real sockets: all get every part, all the same bytes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from benchmarks.fanout_viewers import Crowd, Position
from benchmarks.processes import family
from encoder.playlist_reader import read_position
from server.web import GRACEFUL_SECONDS
from tests.patience import STUCK_SECONDS, held_requests, until, until_all_have
from tests.service import Service

pytestmark = pytest.mark.ffmpeg

# Three target durations: so long would a request have been held that nothing answers.
HELD_SECONDS = 6.0
SMALL = ("--width", "320", "--height", "180", "--video-kbit", "150", "--web-processes", "1")


@pytest.fixture(params=["asgi", "gthread"])
def service(request: pytest.FixtureRequest, media_root: Path) -> Iterator[Service]:
    with Service(media_root, (*SMALL, "--web-worker", request.param)) as running:
        yield running


def viewers(service: Service) -> int:
    """A thread for each held request is what gthread has; 64 of them by default."""
    return 40 if "gthread" in service.flags else 200


def address(service: Service) -> tuple[str, int]:
    host, port = service.url.removeprefix("http://").split(":")
    return host, int(port)


def where(service: Service) -> tuple[Position, str]:
    """The next part, and the prefix of this run's names."""
    text = requests.get(f"{service.url}/live/demo/v0/media.m3u8", timeout=5).text
    position = read_position(text)
    prefix = re.match(r"[0-9a-f]+-", position.hint_uri)
    assert prefix
    return Position(position.last_msn + 1, position.parts), prefix[0]


async def watch(service: Service, ask: str, parts: int) -> Crowd:
    """Viewers that each wait for so many parts, one after another."""
    first, prefix = where(service)

    def part(at: Position) -> str:
        return f"/live/demo/v0/{prefix}{at.msn}.{at.part}.m4s"

    def playlist(at: Position) -> str:
        return f"/live/demo/v0/media.m3u8?_HLS_msn={at.msn}&_HLS_part={at.part}"

    crowd = Crowd(*address(service), part if ask == "part" else playlist, parts=10)
    await crowd.join(viewers(service))
    crowd.follow(first)
    await until_all_have(crowd, parts)
    threads = max(web_threads(service))
    crowd.leave()
    if "gthread" not in service.flags:
        assert threads < 8, f"{viewers(service)} viewers hold {threads} threads"
    return crowd


def web_threads(service: Service) -> list[int]:
    pids = family(service.find("server.web"))
    return [len(list(Path(f"/proc/{pid}/task").glob("*"))) for pid in pids]


@pytest.mark.parametrize("ask", ["part", "playlist"])
def test_no_viewer_misses_a_part_and_all_get_the_same(service: Service, ask: str) -> None:
    crowd = asyncio.run(watch(service, ask, parts=6))
    assert crowd.lost == 0
    by_part: dict[Position, set[int]] = {}
    for row in crowd.answers:
        assert len(row) >= 6
        assert {answer.status for answer in row} == {200}
        asked = [answer.asked for answer in row]
        assert asked == [asked[0], *(at.next(10) for at in asked[:-1])], "one was left out"
        for answer in row[1:]:  # the first may have been there already
            by_part.setdefault(answer.asked, set()).add(answer.body_hash)
    assert all(len(bodies) == 1 for bodies in by_part.values())


@pytest.mark.parametrize("service", ["asgi"], indirect=True)
def test_who_waits_is_woken_when_the_service_ends(service: Service) -> None:
    first, _ = where(service)
    encoder = service.find("-m encoder")
    os.kill(encoder, signal.SIGSTOP)  # so that nothing else can wake them
    with socket.create_connection(address(service)) as connection:
        connection.settimeout(STUCK_SECONDS)
        path = f"/live/demo/v0/media.m3u8?_HLS_msn={first.msn + 1}"
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        until("it is held", lambda: held_requests(service.url) == 1)
        told: list[float] = []

        def stop() -> None:
            told.append(time.monotonic())
            service.stop(signal.SIGTERM)

        stopping = threading.Thread(target=stop)
        stopping.start()
        head = connection.recv(4096)
        woken = time.monotonic() - told[0]
        os.kill(encoder, signal.SIGCONT)
        stopping.join()
    assert woken < GRACEFUL_SECONDS, "it was cut"
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"this process is ending" in head
    assert b"retry-after: 1\r\n" in head
    assert b"Connection: close\r\n" in head


ABSURD = [
    ("/live/demo/v0/media.m3u8?_HLS_msn=99999999999999999999&_HLS_part=-1", {}, {400}),
    ("/live/demo/v0/media.m3u8?_HLS_msn=" + "9" * 3000, {}, {400}),
    ("/live/demo/v0/media.m3u8?" + "&".join(f"a{n}=1" for n in range(400)), {}, {200}),
    ("/live/" + "x" * 10_000, {}, {400, 414}),
    ("/live/demo/v0/%00%ff%0d%0aX-Mine:%201", {}, {404}),
    ("/live/../../etc/passwd", {}, {404}),
    ("/live/demo/v0/.partial-media.m3u8", {}, {404}),
    ("/live/demo/v0/media.m3u8", {"Range": "bytes=9-1"}, {200}),
    ("/live/demo/v0/media.m3u8", {"Accept-Encoding": ";;;q=x,gzip;q=-1"}, {200}),
    ("/live/demo/v0/media.m3u8", {"X-Long": "x" * 20_000}, {400, 431}),
]


def test_absurd_requests_are_answered_at_once_and_hold_nothing(service: Service) -> None:
    for path, headers, expected in ABSURD:
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n".encode()
        request += "".join(f"{k}: {v}\r\n" for k, v in headers.items()).encode() + b"\r\n"
        with socket.create_connection(address(service)) as connection:
            connection.settimeout(STUCK_SECONDS)
            began = time.monotonic()
            connection.sendall(request)
            head = connection.recv(4096)
        assert int(head[9:12]) in expected, (path[:80], head[:200])
        assert time.monotonic() - began < HELD_SECONDS, (path[:80], "it was held")
        assert b"\r\nX-Mine" not in head
    assert requests.get(f"{service.url}/healthz", timeout=STUCK_SECONDS).ok
    itself = int("gthread" in service.flags)  # there every request under way is counted
    until("nothing is held", lambda: held_requests(service.url) == itself, HELD_SECONDS / 2)

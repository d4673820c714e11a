"""Crowds that behave badly, and a deploy under a crowd: viewers go on, and memory is bounded."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from selenium.webdriver import Chrome

from server.web import FIRST_REQUEST_SECONDS
from tests.browser.watching import until
from tests.faults.crowd import Held, Link, answer, ask, crowd, held, held_requests
from tests.faults.viewers import Audience, Row, check
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.faults

RELOAD_SECONDS = 5.0
# A part and a half more than in calm times is what a viewer's buffer does not show.
UNAFFECTED_SECONDS = 0.3
# Linux keeps up to 4 MiB of a connection that is not read (net.ipv4.tcp_wmem, tcp_rmem).
BEYOND_BUFFERS_BYTES = 16 << 20
# So many ask for that, and others once: what fills these buffers is what many viewers ask for.
INSATIABLE = 10


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    with temporary_media_root() as folder:
        flags = ("--width", "320", "--height", "180", "--ladder", "single")
        with Service(Path(folder) / "media", flags) as service:
            yield service


@pytest.fixture(scope="module")
def audience(running: Service, viewer: Chrome, rows: Path | None) -> Iterator[Audience]:
    """Well-behaved viewers, from before the trouble to after it."""
    with Audience(running.url, viewer, rows) as watching:
        yield watching


@pytest.fixture(scope="module")
def calm(audience: Audience) -> float:
    """The longest wait for a part while nothing is done: what others are held against."""
    with audience.row("none, for comparison") as row:
        audience.wait_for_segments(3)
    return row.seen.part_gap


@pytest.fixture(scope="module")
def never_asking(running: Service) -> Iterator[list[socket.socket]]:
    """Opened when it is first asked for; others are tested while it waits."""
    place = urlsplit(running.url)
    with ExitStack() as stack:
        address = (place.hostname, place.port)
        silent, dawdling = (
            stack.enter_context(socket.create_connection(address)) for _ in range(2)
        )
        dawdling.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-")
        yield [silent, dawdling]


def web_processes(running: Service) -> list[int]:
    parent = psutil.Process(running.find("server.web"))
    return [parent.pid, *(child.pid for child in parent.children())]


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


async def hold(links: list[Link], audience: Audience) -> None:
    """All of them wait for the first part of the segment after the one that has just begun."""
    follower = audience.video
    async with asyncio.timeout(10):
        while follower.newest is None or follower.newest.position[1] > 2:
            await asyncio.sleep(0.01)
    for link in links:
        ask(link, f"{follower.url}?_HLS_msn={follower.last_msn + 2}&_HLS_part=0")
    async with asyncio.timeout(10):
        while await asyncio.to_thread(held_requests, audience.url) < len(links):
            await asyncio.sleep(0.1)


def test_a_reload_of_the_web_processes_under_a_thousand_held_requests(
    running: Service, audience: Audience
) -> None:
    """SIGHUP, as after a new certificate: who waits is told at once, and asks the new workers."""

    async def story() -> None:
        workers = web_processes(running)[1:]
        async with crowd(running.url, 1000) as links:
            await hold(links, audience)
            # In a thread: what a thousand answers cost us to read is not the service's.
            ending = asyncio.ensure_future(asyncio.to_thread(seconds_until_gone, running, workers))
            os.kill(running.find("server.web"), signal.SIGHUP)
            statuses = [status for status, _ in await asyncio.gather(*map(answer, links))]
            assert set(statuses) <= {200, 503}
            assert await ending < RELOAD_SECONDS
            async with crowd(running.url, 1000) as again:
                await hold(again, audience)
                statuses = [status for status, _ in await asyncio.gather(*map(answer, again))]
                assert statuses == [200] * 1000

    with audience.row("web processes reloaded under 1,000 held requests") as row:
        run(story())
    check(row.seen)


def seconds_until_gone(running: Service, pids: list[int]) -> float:
    """From now on; half a minute at most."""
    began = time.monotonic()
    while running.still_alive(pids) and time.monotonic() - began < 30:
        time.sleep(0.02)
    return time.monotonic() - began


def test_a_killed_worker_fails_its_requests_once(running: Service, audience: Audience) -> None:
    async def story() -> None:
        async with crowd(running.url, 100) as links:
            await hold(links, audience)
            victim = web_processes(running)[-1]
            assert psutil.Process(victim).num_fds() > 40, "it has its share of the connections"
            os.kill(victim, signal.SIGKILL)
            ends = await asyncio.gather(*map(answer, links), return_exceptions=True)
            lost = [end for end in ends if isinstance(end, BaseException)]
            assert 0 < len(lost) < 100, "one worker's share"
            assert all(isinstance(end, (OSError, EOFError)) for end in lost)
            answered = [end for end in ends if not isinstance(end, BaseException)]
            assert {status for status, _ in answered} == {200}, "of the others none fails"
        async with crowd(running.url, len(lost)) as again:
            await hold(again, audience)
            statuses = [status for status, _ in await asyncio.gather(*map(answer, again))]
            assert statuses == [200] * len(lost), "and who asks again is answered"

    with audience.row("a web process killed (-9)") as row:
        run(story())
    check(row.seen)


def test_all_web_processes_killed(running: Service, audience: Audience) -> None:
    """The listening socket is the supervisor's: who connects meanwhile waits."""

    def kill(_row: Row) -> None:
        before = web_processes(running)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        until("others in their place", lambda: _others(running, before), 20)

    audience.promise("all web processes killed (-9)", kill)


def _others(running: Service, before: list[int]) -> bool:
    try:
        now = web_processes(running)
    except (AssertionError, psutil.Error):  # none just now
        return False
    return len(now) == len(before) and not set(now) & set(before)


@pytest.mark.usefixtures("never_asking")
def test_clients_that_vanish_while_they_are_held_leave_nothing(
    running: Service, audience: Audience, calm: float
) -> None:
    async def one_crowd(clients: int) -> Held:
        async with crowd(running.url, clients) as links:
            await hold(links, audience)
        await asyncio.sleep(0.5)
        return held(web_processes(running))

    async def story() -> None:
        before = await one_crowd(20)  # new processes load what they need for the first of them
        await one_crowd(500)
        after = await one_crowd(500)
        assert_bounded(before, after, memory_mb=25)
        assert after.descriptors - before.descriptors < 20

    name = "500 clients vanish while they are held, twice"
    audience.promise(name, lambda _row: run(story()), part_gap=calm + UNAFFECTED_SECONDS)


def test_idle_connections_and_slow_readers_cost_little_and_nobody_else(
    running: Service, audience: Audience, calm: float
) -> None:
    """What some of them ask for is more than the kernel keeps for them: the service has it."""

    async def story() -> None:
        before = held(web_processes(running))
        assert audience.video.newest is not None
        newest = audience.video.newest.segments[-1]
        segment = f"{running.url}/live/demo/v0/{newest.uri}"
        asked = 1 + BEYOND_BUFFERS_BYTES // len(requests.get(segment, timeout=5).content)
        async with crowd(running.url, 2000), crowd(running.url, 50) as slow:
            for number, link in enumerate(slow):
                receive_little(link)
                for _ in range(asked if number < INSATIABLE else 1):
                    ask(link, segment)
            for _ in range(3):
                await asyncio.gather(*(link[0].readexactly(1) for link in slow))
                await asyncio.sleep(1)
            # 2,000 idle connections were seen to hold 30 MB.
            assert_bounded(before, held(web_processes(running)), memory_mb=80)

    name = "2,000 idle connections, 50 clients that read 1 byte/s"
    audience.promise(name, lambda _row: run(story()), part_gap=calm + UNAFFECTED_SECONDS)


def receive_little(link: Link) -> None:
    """The kernel takes little for it."""
    link[1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)


def assert_bounded(before: Held, after: Held, *, memory_mb: float) -> None:
    assert after.memory_mb - before.memory_mb < memory_mb, (before, after)
    assert after.threads - before.threads < 40, (before, after)


def test_who_never_asks_is_hung_up_on(never_asking: list[socket.socket]) -> None:
    """Not one byte, or never the end of a head: descriptors are for those who watch."""
    for link in never_asking:
        link.settimeout(FIRST_REQUEST_SECONDS + 5)
        while link.recv(1000):  # an answer, if any
            continue

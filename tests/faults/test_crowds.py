"""Crowds that behave badly, and a deploy under a crowd: the others go on, and memory is bounded."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from server.web import FIRST_REQUEST_SECONDS
from tests.faults.crowd import Follower, Held, Link, answer, ask, crowd, held
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.faults

# A part comes each 0.2 s. A follower that is left alone waits no longer than this for one, on a
# machine that has other things to do as well.
LONGEST_PAUSE_SECONDS = 1.5


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    with temporary_media_root() as folder:
        flags = ("--width", "320", "--height", "180", "--ladder", "single")
        with Service(Path(folder) / "media", flags) as service:
            yield service


def playlist(running: Service) -> str:
    return f"{running.url}/live/demo/v0/media.m3u8"


def web_processes(running: Service) -> list[int]:
    parent = psutil.Process(running.find("server.web"))
    return [parent.pid, *(child.pid for child in parent.children())]


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


@asynccontextmanager
async def followed(running: Service) -> AsyncIterator[Follower]:
    """A well-behaved client, from before the trouble to after it."""
    follower = Follower(playlist(running))
    following = asyncio.ensure_future(follower.follow())
    await _answers(follower, 5)
    yield follower
    await _answers(follower, 5)
    following.cancel()


async def _answers(follower: Follower, more: int) -> None:
    enough = len(follower.seen) + more
    while len(follower.seen) < enough:
        await asyncio.sleep(0.05)


async def hold(links: list[Link], follower: Follower) -> None:
    """All of them wait for the first part of the segment after the one that has just begun."""
    async with asyncio.timeout(10):
        while follower.seen[-1][1].parts > 2:
            await asyncio.sleep(0.01)
    msn = follower.seen[-1][1].last_msn + 2
    for link in links:
        ask(link, f"{follower.url}?_HLS_msn={msn}&_HLS_part=0")
    await asyncio.sleep(0.5)


def test_a_reload_of_the_web_processes_under_a_thousand_held_requests(running: Service) -> None:
    """SIGHUP, as after a new certificate: who waits is told at once, and asks the new workers."""

    async def story() -> None:
        workers = web_processes(running)[1:]
        async with followed(running) as follower, crowd(running.url, 1000) as links:
            await hold(links, follower)
            began = time.monotonic()
            os.kill(running.find("server.web"), signal.SIGHUP)
            statuses = [status for status, _ in await asyncio.gather(*map(answer, links))]
            assert set(statuses) <= {200, 503}
            while running.still_alive(workers):
                await asyncio.sleep(0.05)
            assert time.monotonic() - began < 5
            async with crowd(running.url, 1000) as again:
                await hold(again, follower)
                statuses = [status for status, _ in await asyncio.gather(*map(answer, again))]
                assert statuses == [200] * 1000
        assert len(follower.refused) <= 2, follower.refused
        assert follower.longest_pause() < 5

    run(story())


def test_a_killed_worker_fails_its_requests_once(running: Service) -> None:
    async def story() -> None:
        async with followed(running) as follower, crowd(running.url, 100) as links:
            await hold(links, follower)
            victim = web_processes(running)[-1]
            assert psutil.Process(victim).num_fds() > 40, "it has its share of the connections"
            os.kill(victim, signal.SIGKILL)
            ends = await asyncio.gather(*map(answer, links), return_exceptions=True)
            lost = [end for end in ends if isinstance(end, BaseException)]
            assert 0 < len(lost) < 100, "one worker's share"
            assert all(isinstance(end, (OSError, EOFError)) for end in lost)
        assert len(follower.refused) <= 1, follower.refused
        assert follower.longest_pause() < LONGEST_PAUSE_SECONDS

    run(story())


def test_clients_that_vanish_while_they_are_held_leave_nothing(running: Service) -> None:
    async def story() -> None:
        before = held(web_processes(running))
        async with followed(running) as follower:
            for _ in range(2):
                async with crowd(running.url, 500) as links:
                    await hold(links, follower)
            await asyncio.sleep(1)
        after = held(web_processes(running))
        assert follower.refused == []
        assert follower.longest_pause() < LONGEST_PAUSE_SECONDS
        assert _bounded(before, after, memory_mb=25)
        assert after.descriptors - before.descriptors < 20

    run(story())


def test_idle_connections_and_slow_readers_cost_little_and_nobody_else(running: Service) -> None:
    async def story() -> None:
        before = held(web_processes(running))
        segment = f"{running.url}/live/demo/v0/{_segment(running)}"
        async with (
            followed(running) as follower,
            crowd(running.url, 2000),
            crowd(running.url, 50) as slow,
        ):
            for link in slow:
                _receive_little(link)
                ask(link, segment)
            for _ in range(3):
                await asyncio.gather(*(link[0].readexactly(1) for link in slow))
                await asyncio.sleep(1)
            during = held(web_processes(running))
        assert follower.refused == []
        assert follower.longest_pause() < LONGEST_PAUSE_SECONDS
        # Measured: 2,000 idle connections hold 30 MB.
        assert _bounded(before, during, memory_mb=80)

    run(story())


def _segment(running: Service) -> str:
    text = requests.get(playlist(running), timeout=5).text
    return [line for line in text.splitlines() if line.endswith(".m4s")][-1]


def _receive_little(link: Link) -> None:
    """The kernel takes little for it, and the loop no more than it asks for."""
    link[1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)


def _bounded(before: Held, after: Held, *, memory_mb: float) -> bool:
    assert after.memory_mb - before.memory_mb < memory_mb, (before, after)
    assert after.threads - before.threads < 40, (before, after)
    return True


def test_who_never_asks_is_hung_up_on(running: Service) -> None:
    """Not one byte, or never the end of a head: descriptors are for those who watch."""

    async def story() -> None:
        async with crowd(running.url, 2) as (silent, dawdling), followed(running) as follower:
            dawdling[1].write(b"GET / HTTP/1.1\r\nHost: x\r\nX-")
            async with asyncio.timeout(FIRST_REQUEST_SECONDS + 5):
                assert await silent[0].read(1) == b""
                while await dawdling[0].read(1000) != b"":
                    continue
        assert follower.refused == []

    run(story())

"""Many clients on one event loop, which hold, idle, read slowly or vanish."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil
import requests

Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]
# Connections opened at once; more would only queue.
_BATCH = 200


@asynccontextmanager
async def crowd(url: str, clients: int) -> AsyncIterator[list[Link]]:
    """Open connections; those that are still open at the end are cut."""
    place = urlsplit(url)
    links: list[Link] = []
    try:
        while len(links) < clients:
            batch = min(_BATCH, clients - len(links))
            opening = [asyncio.open_connection(place.hostname, place.port) for _ in range(batch)]
            links += await asyncio.gather(*opening)
        yield links
    finally:
        for _, writer in links:
            writer.transport.abort()


def held_requests(url: str) -> int:
    """How many requests the service says are held, by whomever."""
    page = requests.get(f"{url}/metrics", timeout=5).text
    (told,) = re.findall(r"^lipstream_held_requests (\S+)$", page, re.MULTILINE)
    return int(float(told))


def ask(link: Link, url: str) -> None:
    """Send a GET and do not wait."""
    place = urlsplit(url)
    target = f"{place.path}?{place.query}" if place.query else place.path
    link[1].write(f"GET {target} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())


async def answer(link: Link) -> tuple[int, bytes]:
    """Status and body of the next answer."""
    head = (await link[0].readuntil(b"\r\n\r\n")).decode("latin-1")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
    }
    body = await link[0].readexactly(int(headers["content-length"]))
    return int(head.split()[1]), body


@dataclass(frozen=True, slots=True)
class Held:
    """What processes hold."""

    memory_mb: float
    threads: int
    descriptors: int


def held(pids: list[int]) -> Held:
    """By these processes together; what forked ones share counts once."""
    processes = [psutil.Process(pid) for pid in pids]
    return Held(
        sum(p.memory_full_info().pss for p in processes) / (1 << 20),
        sum(p.num_threads() for p in processes),
        sum(p.num_fds() for p in processes),
    )

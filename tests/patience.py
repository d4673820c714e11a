"""Waiting in tests for what comes, however slow the machine; and when something came to be."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import requests

from benchmarks.fanout_viewers import Crowd

# Half a part: a busy machine may hand over two answers at once, in any order.
TOGETHER_SECONDS = 0.1
# So long may nothing at all happen on the busiest machine.
STUCK_SECONDS = 10.0
_HELD = re.compile(r"^lipstream_held_requests (\S+)$", re.MULTILINE)


def until(what: str, happened: Callable[[], bool], seconds: float = STUCK_SECONDS) -> None:
    """Look until it has happened."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


async def until_all_have(crowd: Crowd, parts: int) -> None:
    """Until each viewer has so many; the slowest must go on getting them."""
    least, since = 0, time.monotonic()
    while least < parts:
        await asyncio.sleep(0.05)
        now_least = min(map(len, crowd.answers))
        if now_least > least:
            least, since = now_least, time.monotonic()
        assert time.monotonic() - since < STUCK_SECONDS, f"a viewer has {least} parts and no more"


def come_in_order(moments: Iterable[float]) -> bool:
    """Whether none came before the one that should come first."""
    return all(after > before - TOGETHER_SECONDS for before, after in pairwise(moments))


def held_requests(url: str) -> int:
    """Requests that wait for their answer in a service's web processes."""
    found = _HELD.search(requests.get(f"{url}/metrics", timeout=STUCK_SECONDS).text)
    assert found
    return int(float(found[1]))


def published_at(media_root: Path, rendition: str, msn: int, part: int) -> float:
    """When a part of the stream ``demo`` came to be, on the wall clock."""
    (file,) = (media_root / "live" / "demo" / rendition).glob(f"*-{msn}.{part}.m4s")
    return file.stat().st_mtime

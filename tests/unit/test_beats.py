"""A child that lives and does not work: it is told by its silence, and replaced."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable

import pytest

from inference.heart import LONGEST_WORK_SECONDS, Heart
from server import child as module
from server.child import Child

BEAT = """
import sys, time
sys.stdin.readline()
for number in range({beats}):
    print('{{"state": "live", "number": %d}}' % number, flush=True)
    time.sleep(0.05)
time.sleep({then})
"""


def child(beats: int, then: float) -> Child:
    code = BEAT.format(beats=beats, then=then)
    return Child("x", [sys.executable, "-c", code], dict, beats=True)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.6)
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.1)


def run(kept: Child, until: Callable[[], bool]) -> None:
    """Keep a child until something is so."""

    async def body() -> None:
        keeping = asyncio.ensure_future(kept.keep(lambda: False, lambda: None))
        deadline = time.monotonic() + 10
        while not until():
            assert time.monotonic() < deadline, kept
            await asyncio.sleep(0.01)
        await kept.end()
        await keeping

    asyncio.run(body())


def test_one_that_falls_silent_is_killed_and_started_again() -> None:
    kept = child(beats=3, then=60)
    run(kept, lambda: kept.restarts.total() > 0 and kept.running)
    assert kept.restarts == {"stuck": 1}
    assert kept.told.get("state", "live") == "live"


def test_one_that_never_beat_may_take_its_time() -> None:
    kept = child(beats=0, then=60)
    began = time.monotonic()
    run(kept, lambda: time.monotonic() - began > 1.5)
    assert not kept.restarts


def test_one_that_is_stopped_is_killed() -> None:
    kept = child(beats=1000, then=0)
    stopped: list[int] = []

    def stop_once() -> bool:
        if not stopped and kept.told and kept.process is not None:
            stopped.append(kept.process.pid)
            os.kill(stopped[0], signal.SIGSTOP)
        return bool(kept.restarts)

    run(kept, stop_once)
    assert kept.restarts == {"stuck": 1}


def test_an_end_of_its_own_keeps_its_own_reason() -> None:
    kept = child(beats=2, then=0)
    run(kept, lambda: bool(kept.restarts))
    assert kept.restarts == {"exit 0": 1}


def test_a_worker_is_well_while_it_waits_and_while_a_picture_takes_its_time() -> None:
    heart = Heart()
    now = time.monotonic()
    assert heart.is_well(now + 1000)
    with heart.working():
        assert heart.is_well(now + LONGEST_WORK_SECONDS - 1)
        assert not heart.is_well(now + LONGEST_WORK_SECONDS + 1)
    assert heart.is_well(now + 1000)

"""A child that lives and does not work: it is told by its silence, and replaced."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from encoder.process import Beats
from inference.heart import LONGEST_WORK_SECONDS, Heart
from server import child as module
from server.child import Child
from server.streams import media_progress

# Says what it is told to say, and nothing by itself.
ECHO = """
import sys
sys.stdin.readline()
for line in sys.stdin:
    if line == "end\\n":
        break
    print(line, end="", flush=True)
"""
BEAT = '{"state": "live", "media_seconds": 1.0}'
# Long enough for any test that is not about it.
NEVER = 1000.0


def child(code: str = ECHO, **how: Any) -> Child:
    return Child("x", [sys.executable, "-c", code], dict, beats=True, **how)


def say(kept: Child, *lines: str) -> None:
    assert kept.process is not None
    assert kept.process.stdin is not None
    kept.process.stdin.write("".join(line + "\n" for line in lines).encode())


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", NEVER)
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.05)


def run(kept: Child, until: Callable[[], bool], *first: str) -> None:
    """Keep a child, tell it what to say, and wait until something is so."""

    async def body() -> None:
        keeping = asyncio.ensure_future(kept.keep(lambda: False, lambda: None))
        deadline = time.monotonic() + 20
        while not kept.running:
            await asyncio.sleep(0.01)
        say(kept, *first)
        while not until():
            assert time.monotonic() < deadline, kept
            await asyncio.sleep(0.01)
        await kept.end()
        await keeping

    asyncio.run(body())


def test_one_that_falls_silent_is_killed_and_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.3)
    kept = child()
    run(kept, lambda: kept.restarts.total() > 0 and kept.running, BEAT)
    assert kept.restarts == {"stuck": 1}
    assert kept.last_told["state"] == "live", "what it last told is remembered"
    assert kept.told == {}, "but not as if it were told now"


def test_one_that_never_beats_may_take_its_time_but_not_for_ever() -> None:
    kept = child(first_beat_seconds=0.3)
    run(kept, lambda: bool(kept.restarts))
    assert kept.restarts == {"stuck": 1}


def test_how_long_one_may_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """All by one clock: no beat yet, then beats, then none."""
    monkeypatch.setattr(module, "SILENT_SECONDS", 3.0)
    kept = child(first_beat_seconds=90.0)
    kept.began = 100.0
    assert kept.silence(190.0) is None
    assert kept.silence(190.5) == 90.5
    kept.take_beat({}, 191.0)
    assert kept.silence(194.0) is None
    assert kept.silence(194.5) == 3.5


def test_one_that_beats_and_publishes_nothing_is_stuck() -> None:
    """The loop of an encoder process turns, and no media comes of it."""
    kept = child(progress=media_progress)
    kept.began = 100.0
    for second in range(100, 200):
        kept.take_beat({"state": "live", "media_seconds": float(second)}, float(second))
    assert kept.silence(199.0 + module.STILL_SECONDS) is None
    for second in range(200, 280):
        kept.take_beat({"state": "live", "media_seconds": 199.0}, float(second))
    assert kept.silence(199.0 + module.STILL_SECONDS) is None
    assert kept.silence(200.0 + module.STILL_SECONDS) == 61.0


@pytest.mark.parametrize("state", ["starting", "blocked", "ending", "ended"])
def test_one_that_cannot_publish_is_at_work_all_the_same(state: str) -> None:
    kept = child(progress=media_progress)
    kept.began = 100.0
    for second in range(100, 400):
        kept.take_beat({"state": state, "media_seconds": 7.0}, float(second))
    assert kept.silence(400.0) is None


def test_one_that_never_beat_was_never_well() -> None:
    """However long it was given for that: else it would be started at once, for ever."""
    kept = child()
    kept.began = 100.0
    assert [kept.next_delay(now) for now in (191.0, 700.5, 10_000.0)] == [0.2, 0.4, 0.8]


def test_one_that_never_beats_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its runs is longer than what a minute is here."""
    monkeypatch.setattr(module, "HEALTHY_SECONDS", 0.1)
    kept = child(first_beat_seconds=0.3)
    keeping = kept.keep(lambda: kept.failures >= module.START_ATTEMPTS, lambda: None)
    asyncio.run(asyncio.wait_for(keeping, 60))
    assert kept.restarts == {"stuck": module.START_ATTEMPTS}


def test_one_that_beat_and_published_nothing_was_not_well() -> None:
    kept = child(progress=media_progress)
    kept.began = 100.0
    for second in range(101, 163):
        kept.take_beat({"state": "live", "media_seconds": 7.0}, float(second))
    assert [kept.next_delay(now) for now in (162.0, 162.0, 162.0)] == [0.2, 0.4, 0.8]


def test_one_that_published_for_a_minute_was_well() -> None:
    """The seconds for which it hung before it was killed are no part of that minute."""
    kept = child(progress=media_progress)
    kept.began = 100.0
    assert [kept.next_delay(101.0) for _ in range(3)] == [0.2, 0.4, 0.8]
    for second in range(101, 161):
        kept.take_beat({"state": "live", "media_seconds": float(second)}, float(second))
    assert kept.next_delay(163.0) == 1.6, "it published up to 160"
    kept.take_beat({"state": "live", "media_seconds": 161.0}, 161.0)
    assert kept.next_delay(164.0) == 0.2


def test_a_beat_that_cannot_be_read_is_not_the_last() -> None:
    """Half a line, no JSON, none of ours, or longer than anything that is read at once."""
    kept = child()
    torn = ('{"state": "li', "[]", "x" * 200_000)
    run(kept, lambda: kept.told.get("state") == "live", *torn, BEAT)
    assert not kept.restarts


def test_one_that_is_stopped_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.3)
    kept = child()
    stopped: list[int] = []

    def stop_once() -> bool:
        if not stopped and kept.told and kept.process is not None:
            stopped.append(kept.process.pid)
            os.kill(stopped[0], signal.SIGSTOP)
        return bool(kept.restarts)

    run(kept, stop_once, BEAT)
    assert kept.restarts == {"stuck": 1}


def test_an_end_of_its_own_keeps_its_own_reason() -> None:
    kept = child()
    run(kept, lambda: bool(kept.restarts), BEAT, "end")
    assert kept.restarts == {"exit 0": 1}


def test_no_beat_is_torn_by_a_pipe_that_is_almost_full() -> None:
    """A beat is longer than what a pipe takes at once; whoever reads late gets whole lines."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    beats = Beats(writing)
    try:
        got = b""
        for number in range(20):
            beats.tell({"number": number, "filling": "x" * 3000})
            if number % 5 == 4:
                got += os.read(reading, 4096)
        while not got.endswith(b"\n"):
            beats.tell({"number": 20})
            got += os.read(reading, 4096)
    finally:
        os.close(reading)
        os.close(writing)
    numbers = [json.loads(line)["number"] for line in got.splitlines()]
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 2
    beats.tell({})  # nobody reads any more: no reason to end


def test_a_worker_is_well_while_it_waits_and_while_a_picture_takes_its_time() -> None:
    heart = Heart()
    now = time.monotonic()
    assert heart.is_well(now + 1000)
    with heart.working():
        assert heart.is_well(now + LONGEST_WORK_SECONDS - 1)
        assert not heart.is_well(now + LONGEST_WORK_SECONDS + 1)
    assert heart.is_well(now + 1000)

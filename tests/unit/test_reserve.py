"""Processes that wait to be told what to do: taken, made again, never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

from server import reserve as module
from server.child import Child
from server.reserve import Kind, Reserve

# Says what it was told, and from where.
ECHO = (
    "import os, sys\nline = sys.stdin.readline()\nif line: print(line, os.environ['X'], flush=True)"
)
KIND = Kind((sys.executable, "-c", ECHO), beats=True)
# Long enough for any machine.
LIMIT_SECONDS = 20


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.0)


def run(body: Callable[[Reserve], Any], *kinds: Kind) -> None:
    """With a reserve that is kept meanwhile, and has ended afterwards."""

    async def whole() -> None:
        reserve = Reserve(kinds or (KIND,), {"X": "x"})
        keeping = asyncio.ensure_future(reserve.keep(lambda: None))
        try:
            await body(reserve)
        finally:
            keeping.cancel()
            await reserve.end()
        assert reserve.pids == []

    asyncio.run(asyncio.wait_for(whole(), LIMIT_SECONDS))


async def filled(reserve: Reserve, besides: int = 0) -> int:
    """The one that waits, which is not ``besides``."""
    while not [pid for pid in reserve.pids if pid != besides]:
        await asyncio.sleep(0.01)
    return reserve.pids[0]


def test_one_that_waits_is_taken_and_made_again() -> None:
    async def body(reserve: Reserve) -> None:
        waiting = await filled(reserve)
        taken = reserve.take(KIND)
        assert taken is not None
        assert taken.pid == waiting
        assert taken.stdin is not None
        assert taken.stdout is not None
        taken.stdin.write(b"do it\n")
        assert await taken.stdout.read() == b"do it\n x\n"
        assert await taken.wait() == 0
        assert await filled(reserve, besides=waiting) != waiting

    run(body)


def test_there_is_none_of_another_kind_nor_before_one_has_come() -> None:
    async def body(reserve: Reserve) -> None:
        assert reserve.take(KIND) is None
        await filled(reserve)
        assert reserve.take(Kind(KIND.argv, beats=False)) is None
        assert reserve.take(KIND) is not None

    run(body)


def test_one_that_was_killed_is_not_handed_out() -> None:
    async def body(reserve: Reserve) -> None:
        killed = await filled(reserve)
        os.kill(killed, signal.SIGKILL)
        while reserve.pids:
            await asyncio.sleep(0.01)
        assert reserve.take(KIND) is None
        assert await filled(reserve, besides=killed) != killed

    run(body)


def test_what_cannot_be_started_leaves_the_others() -> None:
    missing = Kind(("/nonexistent/python",))

    async def body(reserve: Reserve) -> None:
        await filled(reserve)
        assert reserve.take(missing) is None
        assert reserve.take(KIND) is not None

    run(body, missing, KIND)


def test_whoever_waits_when_it_ends_is_ended() -> None:
    pids: list[int] = []

    async def body(reserve: Reserve) -> None:
        pids.append(await filled(reserve))

    run(body)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_child_is_one_that_waited_and_the_next_one_too() -> None:
    """Its first run and its restart: both are told what to do by their greeting alone."""
    code = "import sys, json\nprint(json.dumps(json.loads(sys.stdin.readline())), flush=True)\n"
    code += "sys.stdin.read()"
    kind = Kind((sys.executable, "-c", code), beats=True)

    async def body(reserve: Reserve) -> None:
        child = Child("x", kind.argv, lambda: {"do": "it"}, reserve=reserve, beats=True)
        waited = await filled(reserve)
        keeping = asyncio.ensure_future(child.keep(lambda: False, lambda: None))
        while child.told != {"do": "it"}:
            await asyncio.sleep(0.01)
        assert child.pid == waited
        next_one = await filled(reserve)
        os.kill(waited, signal.SIGKILL)
        while child.pid != next_one or child.told != {"do": "it"}:
            await asyncio.sleep(0.01)
        assert child.restarts == {"SIGKILL": 1}
        await child.end()
        await keeping

    run(body, kind)


@pytest.mark.parametrize("program", ["encoder", "inference"])
def test_a_process_that_is_never_needed_ends_well(program: str) -> None:
    """Its standard input ends before it was told anything: the supervisor is gone."""

    async def body(reserve: Reserve) -> None:
        await filled(reserve)
        process = reserve.take(kind)
        assert process is not None
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.close()
        assert await process.stderr.read() == b""
        assert await process.wait() == 0

    kind = Kind((sys.executable, "-m", program), beats=True)
    run(body, kind)

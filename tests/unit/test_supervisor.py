"""Restarts and the stop ladder, with small real processes."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from server.errors import ProcessGaveUp
from server.supervisor import BAD_INPUT, Child, Supervisor


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def child(name: str, code: str, **greeting: Any) -> Child:
    return Child(name, python(code), lambda: greeting)


async def run(supervisor: Supervisor, playlist: Path) -> None:
    await asyncio.wait_for(supervisor.run(supervisor.stop, playlist), 20)


def test_delays_double_and_are_forgotten_after_a_healthy_minute() -> None:
    failing = Child("x", [], dict)
    failing.began = 100.0
    delays = [failing.next_delay(101.0) for _ in range(10)]
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
    assert failing.next_delay(161.0) == 0.2


def test_a_child_that_ends_is_started_again_with_its_greeting(tmp_path: Path) -> None:
    """The second start makes the file that ends the test."""
    code = (
        "import sys, json, pathlib\n"
        "folder = pathlib.Path(json.loads(sys.stdin.readline())['folder'])\n"
        "first = folder / 'first'\n"
        "if not first.exists(): first.touch(); sys.exit(1)\n"
        "(folder / 'second').touch(); sys.stdin.read()\n"
    )
    supervisor = Supervisor(Settings(), [child("flaky", code, folder=str(tmp_path))])
    asyncio.run(run(supervisor, tmp_path / "second"))


def test_bad_input_is_not_tried_again(tmp_path: Path) -> None:
    supervisor = Supervisor(
        Settings(),
        [
            child("choosy", f"import sys; sys.exit({BAD_INPUT})"),
            child("other", "import sys; sys.stdin.read()"),
        ],
    )
    with pytest.raises(ProcessGaveUp) as gave_up:
        asyncio.run(run(supervisor, tmp_path / "never"))
    assert gave_up.value.name == "choosy"
    assert gave_up.value.exit_status == BAD_INPUT
    assert all(c.process and c.process.returncode is not None for c in supervisor.children)


def test_a_start_that_keeps_failing_is_given_up(tmp_path: Path) -> None:
    supervisor = Supervisor(Settings(), [child("broken", "import sys; sys.exit(7)")])
    with pytest.raises(ProcessGaveUp) as gave_up:
        asyncio.run(run(supervisor, tmp_path / "never"))
    assert gave_up.value.status == 7


def test_a_child_that_ignores_sigterm_is_killed_and_reaped(tmp_path: Path) -> None:
    code = (
        "import signal, sys, json, pathlib\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path(json.loads(sys.stdin.readline())['ready']).touch()\n"
        "signal.pause(); signal.pause()\n"
    )
    ready = tmp_path / "ready"
    stubborn = child("stubborn", code, ready=str(ready))
    began = time.monotonic()
    asyncio.run(run(Supervisor(Settings(), [stubborn]), ready))
    assert stubborn.process is not None
    assert stubborn.process.returncode == -9
    assert time.monotonic() - began < 6

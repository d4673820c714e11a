"""How an ffmpeg child is ended: by stand-ins that heed more or less of it, and always reaped."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from encoder import child as module
from encoder.arguments import Pipes
from encoder.child import EncoderChild
from tests.patience import until
from tests.service import Service

# A step that is heeded is over long before, on any machine; one that is not is not waited for.
HEEDED_SECONDS, IGNORED_SECONDS = 60.0, 0.1
# Each is a shell that reads what it is fed, and says so once it listens to signals as it will.
ENDS_WITH_ITS_INPUT = "echo ready >&2; cat /dev/fd/{video} /dev/fd/{audio} >/dev/null; exit 0"
ENDS_BY_SIGTERM = "trap 'exit 7' TERM; echo ready >&2; while :; do sleep 0.02; done"
HEEDS_NOTHING = "trap '' TERM; echo ready >&2; while :; do sleep 0.02; done"
# As a wrapper's ffmpeg would, it outlives its parent and holds its pipes.
LEAVES_A_CHILD = "sleep 1000 & echo $! >&2; echo ready >&2; exit 3"


async def start(script: str) -> EncoderChild:
    """A shell in ffmpeg's place, once it is ready."""

    def argv(pipes: Pipes) -> list[str]:
        fed = script.replace("{video}", str(pipes.video_in))
        return ["sh", "-c", fed.replace("{audio}", str(pipes.audio_in))]

    child = await EncoderChild.start(
        argv,
        frame_bytes=4096,
        on_idle=lambda: None,
        on_video=[lambda _data: None],
        on_audio=lambda _data: None,
        on_end=lambda: None,
    )
    async with asyncio.timeout(HEEDED_SECONDS):
        while "ready" not in child.stderr_tail:
            await asyncio.sleep(0.01)
    return child


def ended(script: str, end: Callable[[EncoderChild], Awaitable[int]]) -> int:
    """Its exit status; nothing of it is left, no zombie either."""

    async def story() -> int:
        child = await start(script)
        status = await asyncio.wait_for(end(child), HEEDED_SECONDS / 2)
        assert not Path(f"/proc/{child.pid}").exists()
        return status

    return asyncio.run(story())


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets how long the next step of the ladder may take."""
    return lambda seconds: monkeypatch.setattr(module, "STOP_STEP_SECONDS", seconds)


def test_the_end_of_its_input_is_enough(steps: Callable[[float], None]) -> None:
    steps(HEEDED_SECONDS)
    assert ended(ENDS_WITH_ITS_INPUT, lambda child: child.stop(drain=True)) == 0


def test_what_does_not_heed_that_is_terminated(steps: Callable[[float], None]) -> None:
    async def end(child: EncoderChild) -> int:
        steps(IGNORED_SECONDS)
        stopping = asyncio.ensure_future(child.stop(drain=True))
        await asyncio.sleep(0)  # it waits for what the end of the input does
        steps(HEEDED_SECONDS)
        return await stopping

    assert ended(ENDS_BY_SIGTERM, end) == 7


def test_what_heeds_nothing_is_killed(steps: Callable[[float], None]) -> None:
    steps(IGNORED_SECONDS)
    assert ended(HEEDS_NOTHING, lambda child: child.stop(drain=True)) == -signal.SIGKILL


def test_what_is_stopped_is_killed(steps: Callable[[float], None]) -> None:
    """By a signal: it would heed all of it, and never comes to that."""

    async def end(child: EncoderChild) -> int:
        os.killpg(child.pid, signal.SIGSTOP)
        return await child.stop(drain=True)

    steps(IGNORED_SECONDS)
    assert ended(ENDS_BY_SIGTERM, end) == -signal.SIGKILL


def test_what_is_not_to_end_well_is_killed_at_once(steps: Callable[[float], None]) -> None:
    steps(HEEDED_SECONDS)
    assert ended(HEEDS_NOTHING, lambda child: child.stop(drain=False)) == -signal.SIGKILL


def test_what_it_has_left_ends_with_it(steps: Callable[[float], None]) -> None:
    """And its own status is kept."""
    left: list[int] = []

    async def end(child: EncoderChild) -> int:
        left.append(int(child.stderr_tail[0]))
        while Path(f"/proc/{child.pid}").exists():
            await asyncio.sleep(0.01)
        assert Service.still_alive(left) == left
        return await child.stop(drain=True)

    steps(IGNORED_SECONDS)
    assert ended(LEAVES_A_CHILD, end) == 3
    until("it ends", lambda: Service.still_alive(left) == [], HEEDED_SECONDS)

"""Real pipes on a real event loop: order, part-way writes, ends."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest

from encoder.pipes import PipeReader, PipeWriter, widen

SECONDS = 5.0


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, SECONDS))


async def read_all(fd: int) -> bytes:
    """Read a pipe to its end on the loop."""
    data, ended = bytearray(), asyncio.Event()
    PipeReader(asyncio.get_running_loop(), fd, data.extend, ended.set)
    await ended.wait()
    return bytes(data)


def test_buffers_larger_than_the_pipe_arrive_whole_and_in_order() -> None:
    async def scenario() -> None:
        idle = asyncio.Event()
        theirs, ours = os.pipe()
        writer = PipeWriter(asyncio.get_running_loop(), ours, idle.set)
        picture = np.arange(500_000, dtype=np.uint32)
        expected = b""
        for data in (b"head", picture.data, b"", b"tail" * 50_000):
            writer.write(data)
            expected += bytes(data)
        assert not writer.idle
        assert 0 < writer.pending_bytes <= len(expected) - 4
        reading = asyncio.ensure_future(read_all(theirs))
        await idle.wait()
        assert writer.idle
        assert writer.pending_bytes == 0
        writer.close()
        assert await reading == expected

    run(scenario())


def test_what_fits_leaves_at_once_and_nobody_is_told() -> None:
    async def scenario() -> None:
        told = []
        theirs, ours = os.pipe()
        writer = PipeWriter(asyncio.get_running_loop(), ours, lambda: told.append(1))
        writer.write(b"abc")
        assert writer.idle
        assert os.read(theirs, 10) == b"abc"
        await asyncio.sleep(0)
        assert not told
        writer.close()
        os.close(theirs)

    run(scenario())


@pytest.mark.parametrize("first", [b"", b"x" * 1_000_000], ids=["before", "in mid-buffer"])
def test_a_reader_that_is_gone_raises_nothing(first: bytes) -> None:
    """ffmpeg died: whoever waits for the child acts on it, not whoever feeds it."""

    async def scenario() -> None:
        idle = asyncio.Event()
        theirs, ours = os.pipe()
        writer = PipeWriter(asyncio.get_running_loop(), ours, idle.set)
        writer.write(first)
        os.close(theirs)
        writer.write(b"y" * 1_000_000)
        if not writer.idle:
            await idle.wait()
        assert writer.idle
        assert writer.pending_bytes == 0
        writer.close()

    run(scenario())


def test_close_forgets_what_waits_and_may_come_twice() -> None:
    async def scenario() -> None:
        theirs, ours = os.pipe()
        writer = PipeWriter(asyncio.get_running_loop(), ours, lambda: None)
        writer.write(b"x" * 1_000_000)
        writer.close()
        writer.close()
        assert writer.idle
        assert 0 < len(await read_all(theirs)) < 1_000_000
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(ours)

    run(scenario())


def test_a_reader_tells_the_end_once() -> None:
    async def scenario() -> None:
        seen: list[bytes] = []
        theirs, ours = os.pipe()
        ended = asyncio.Event()
        ends: list[int] = []

        def end() -> None:
            ends.append(1)
            ended.set()

        reader = PipeReader(asyncio.get_running_loop(), theirs, seen.append, end)
        os.write(ours, b"abc")
        os.close(ours)
        await ended.wait()
        await asyncio.sleep(0.01)  # a second call would come with the next turn of the loop
        reader.close()
        assert (b"".join(seen), ends) == (b"abc", [1])

    run(scenario())


def test_a_closed_reader_says_nothing_more() -> None:
    async def scenario() -> None:
        seen: list[bytes] = []
        theirs, ours = os.pipe()
        reader = PipeReader(asyncio.get_running_loop(), theirs, seen.append, lambda: None)
        reader.close()
        with pytest.raises(BrokenPipeError):
            os.write(ours, b"abc")
        os.close(ours)
        await asyncio.sleep(0)
        assert not seen

    run(scenario())


@pytest.mark.skipif(not hasattr(fcntl, "F_GETPIPE_SZ"), reason="Linux only")
def test_widen_makes_room_for_a_frame() -> None:
    theirs, ours = os.pipe()
    widen(ours, 300_000)
    assert fcntl.fcntl(ours, fcntl.F_GETPIPE_SZ) >= 300_000
    widen(ours, 1 << 26)  # more than most users may: the next smaller wish, and no error
    assert fcntl.fcntl(ours, fcntl.F_GETPIPE_SZ) >= 300_000
    os.close(ours)
    os.close(theirs)

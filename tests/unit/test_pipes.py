"""Real pipes on a real event loop: order, part-way writes, ends."""

from __future__ import annotations

import asyncio
import fcntl
import mmap
import os
from collections.abc import Coroutine, Iterator
from typing import Any

import numpy as np
import pytest

from encoder.pipes import Extent, PipeReader, PipeWriter, widen

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


PAGE = mmap.PAGESIZE
refers = pytest.mark.skipif(not hasattr(os, "splice"), reason="Linux only")


@pytest.fixture
def shared() -> Iterator[tuple[int, mmap.mmap]]:
    """A file in memory as sources have them, and what is mapped of it: 400 pages of noise."""
    fd = os.memfd_create("shared")
    os.ftruncate(fd, 400 * PAGE)
    with mmap.mmap(fd, 400 * PAGE) as mapped:
        mapped[:] = np.random.default_rng(1).bytes(400 * PAGE)
        yield fd, mapped
    os.close(fd)


@refers
def test_what_lies_in_a_file_arrives_whole_and_in_order(shared: tuple[int, mmap.mmap]) -> None:
    fd, mapped = shared
    everything = bytes(mapped)

    async def scenario() -> None:
        idle = asyncio.Event()
        theirs, ours = os.pipe()
        writer = PipeWriter(asyncio.get_running_loop(), ours, idle.set)
        with memoryview(mapped) as view:
            pieces = [(PAGE, 399 * PAGE - 100), (0, 5), (3 * PAGE, PAGE)]
            for offset, length in pieces:
                writer.write(view[offset : offset + length], Extent(fd, offset))
            writer.write(b"copied")
            assert not writer.idle
            expected = b"".join(everything[at : at + length] for at, length in pieces) + b"copied"
            assert writer.queued_bytes == len(expected)
            reading = asyncio.ensure_future(read_all(theirs))
            await idle.wait()
            writer.close()
            assert await reading == expected
            assert writer.taken_bytes == writer.queued_bytes == len(expected)

    run(scenario())


@refers
def test_the_pipe_only_refers_to_it_until_it_is_read(shared: tuple[int, mmap.mmap]) -> None:
    fd, mapped = shared

    async def scenario() -> None:
        theirs, ours = os.pipe()
        writer = PipeWriter(asyncio.get_running_loop(), ours, lambda: None)
        with memoryview(mapped) as view:
            writer.write(view[:PAGE], Extent(fd, 0))
            writer.write(b"end")
        assert writer.idle
        assert (writer.queued_bytes, writer.taken_bytes) == (PAGE + 3, 0)
        os.read(theirs, PAGE // 2)
        assert writer.taken_bytes == PAGE // 2
        mapped[PAGE - 1 : PAGE] = b"!"  # it was lent: that is what the reader sees
        assert os.read(theirs, PAGE)[-4:] == b"!end"
        assert writer.taken_bytes == writer.queued_bytes
        writer.close()
        os.close(theirs)

    run(scenario())


def test_what_was_copied_may_change_at_once() -> None:
    async def scenario() -> None:
        theirs, ours = os.pipe()
        writer = PipeWriter(asyncio.get_running_loop(), ours, lambda: None)
        writer.write(b"abc")
        assert writer.taken_bytes == writer.queued_bytes == 3
        writer.close()
        os.close(theirs)

    run(scenario())


def test_where_a_pipe_cannot_refer_to_it_it_is_copied() -> None:
    """Nothing can be spliced out of the listing of a folder; a sandbox refuses it as well."""

    async def scenario() -> None:
        theirs, ours = os.pipe()
        folder = os.open("/", os.O_RDONLY)
        writer = PipeWriter(asyncio.get_running_loop(), ours, lambda: None)
        writer.write(b"abc", Extent(folder, 0))
        writer.write(b"def", Extent(folder, 0))
        assert os.read(theirs, 10) == b"abcdef"
        assert writer.taken_bytes == 6
        writer.close()
        os.close(folder)
        os.close(theirs)

    run(scenario())


@refers
def test_a_reader_that_is_gone_in_mid_file_raises_nothing(shared: tuple[int, mmap.mmap]) -> None:
    fd, mapped = shared

    async def scenario() -> None:
        idle = asyncio.Event()
        theirs, ours = os.pipe()
        writer = PipeWriter(asyncio.get_running_loop(), ours, idle.set)
        with memoryview(mapped) as view:
            writer.write(view, Extent(fd, 0))
            assert not writer.idle
            os.close(theirs)
            await idle.wait()
        assert writer.idle
        writer.close()

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

"""The encoder's end of the raw-media socket, with real producers in a thread of their own."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from encoder.intake import QUEUE_UNITS, SLOTS, Intake, queue_units
from rawmedia import (
    MAX_HELLO_BYTES,
    PROTOCOL,
    Disconnected,
    MediaFormat,
    Producer,
    Refused,
    connect,
    encode_line,
)

MEDIA = MediaFormat(32, 16, 25)
HELLO = encode_line({"lipstream": PROTOCOL} | asdict(MEDIA))
SECONDS = 5.0

Scenario = Callable[[Intake, Path], Awaitable[None]]


def play(folder: Path, scenario: Scenario, units: int = QUEUE_UNITS) -> None:
    """Run a scenario against a listening intake."""

    async def body() -> None:
        path = folder / "s.sock"
        intake = Intake(path, MEDIA, units)
        intake.start()
        try:
            await asyncio.wait_for(scenario(intake, path), SECONDS)
        finally:
            intake.close()
        assert not path.exists()

    asyncio.run(body())


@asynccontextmanager
async def producing(path: Path, media: MediaFormat = MEDIA) -> AsyncIterator[Producer]:
    """A real producer; its blocking calls go through :func:`asyncio.to_thread`."""
    context = connect(path, media)
    producer = await asyncio.to_thread(context.__enter__)
    try:
        yield producer
    finally:
        context.__exit__(None, None, None)


def write(producer: Producer, number: int) -> None:
    producer.write(np.full((16, 32, 3), number, np.uint8), np.full((1920, 1), number, np.int16))


async def until(true: Callable[[], bool]) -> None:
    """Let the loop turn until something holds; the scenario's time limit ends it otherwise."""
    while not true():
        await asyncio.sleep(0.001)


async def greet(path: Path, *pieces: bytes) -> bytes:
    """Speak to the socket by hand; returns the answer, up to the end of the connection."""
    reader, writer = await asyncio.open_unix_connection(path)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.01)
    answer = await reader.read()
    writer.close()
    return answer


def test_units_arrive_in_order_with_their_sound(tmp_path: Path) -> None:
    async def scenario(intake: Intake, path: Path) -> None:
        told = []
        intake.on_unit = lambda: told.append(intake.waiting)
        async with producing(path) as producer:
            assert intake.connected
            for number in (1, 2, 3):
                await asyncio.to_thread(write, producer, number)
            await until(lambda: intake.waiting == 3)
            assert told[-1] == 3
            for number in (1, 2, 3):
                peeked, unit = intake.peek(), intake.take()
                assert unit is not None
                assert peeked is unit
                assert (unit.frame == number).all()
                assert (unit.samples == number).all()
            assert intake.take() is intake.peek() is None

    play(tmp_path, scenario)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux only")
def test_a_unit_tells_where_its_picture_lies_also_when_its_source_is_gone(tmp_path: Path) -> None:
    async def scenario(intake: Intake, path: Path) -> None:
        async with producing(path) as producer:
            for number in (1, 2):
                await asyncio.to_thread(write, producer, number)
            await until(lambda: intake.waiting == 2)
        await until(lambda: not intake.connected)
        fd = -1
        for number in (1, 2):
            unit = intake.take()
            assert unit is not None
            assert unit.extent is not None
            fd = unit.extent.fd
            shown = os.pread(fd, MEDIA.frame_bytes, unit.extent.offset)
            assert shown == unit.frame.tobytes() == bytes([number]) * MEDIA.frame_bytes
            del unit  # the second one is the last of that memory
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)

    play(tmp_path, scenario)


def test_a_producer_knows_how_much_waits(tmp_path: Path) -> None:
    """The unit that is shown is not given back, and is not counted."""

    async def scenario(intake: Intake, path: Path) -> None:
        async with producing(path) as producer:
            assert producer.waiting() == 0
            for number in range(4):
                await asyncio.to_thread(write, producer, number)
            await until(lambda: intake.waiting == 4)
            shown = intake.take()
            assert producer.waiting() == 3
            following = intake.take()
            assert shown is not None
            assert following is not None
            intake.release(shown)
            await asyncio.sleep(0.01)
            assert producer.waiting() == 2
            intake.close()
            await asyncio.sleep(0.01)
            with pytest.raises(Disconnected):
                producer.waiting()

    play(tmp_path, scenario)


@pytest.mark.parametrize("latency", ["ultra", "low", "normal"])
def test_a_producer_knows_how_much_can_wait(tmp_path: Path, latency: str) -> None:
    """It is what waits once it is full and has a slot to draw into: a face asks for no more."""

    async def scenario(intake: Intake, path: Path) -> None:
        async with producing(path) as producer:
            for number in range(queue_units(latency) + 2):
                await asyncio.to_thread(write, producer, number)
            shown, following = intake.take(), intake.take()
            assert shown is not None
            assert following is not None
            intake.release(shown)
            await asyncio.to_thread(producer.wait)
            assert producer.waiting() == producer.room == queue_units(latency)

    play(tmp_path, scenario, queue_units(latency))


def test_a_producer_waits_for_a_free_slot_and_wakes_on_release(tmp_path: Path) -> None:
    async def scenario(intake: Intake, path: Path) -> None:
        async with producing(path) as producer:
            for number in range(SLOTS):
                await asyncio.to_thread(write, producer, number)
            sixth = asyncio.ensure_future(asyncio.to_thread(write, producer, 99))
            await until(lambda: intake.waiting == SLOTS)
            await asyncio.sleep(0.05)
            assert not sixth.done()
            first = intake.take()
            assert first is not None
            await asyncio.sleep(0.05)
            assert not sixth.done()  # taken is not released: it is still being shown
            intake.release(first)
            await sixth
            await until(lambda: intake.waiting == SLOTS)

    play(tmp_path, scenario)


@pytest.mark.parametrize(("latency", "ahead"), [("ultra", 3), ("low", 4), ("normal", SLOTS)])
def test_less_can_be_drawn_ahead_where_delay_matters(
    tmp_path: Path, latency: str, ahead: int
) -> None:
    async def scenario(intake: Intake, path: Path) -> None:
        async with producing(path) as producer:
            for number in range(ahead):
                await asyncio.to_thread(write, producer, number)
            one_more = asyncio.ensure_future(asyncio.to_thread(write, producer, 99))
            await until(lambda: intake.waiting == ahead)
            await asyncio.sleep(0.05)
            assert not one_more.done()
            intake.drop_oldest()
            await one_more

    play(tmp_path, scenario, queue_units(latency))


def test_the_oldest_unit_is_dropped_whole_and_its_slot_is_free(tmp_path: Path) -> None:
    async def scenario(intake: Intake, path: Path) -> None:
        async with producing(path) as producer:
            for number in range(SLOTS):
                await asyncio.to_thread(write, producer, number)
            await until(lambda: intake.waiting == SLOTS)
            intake.drop_oldest()
            assert intake.dropped == 1
            await asyncio.to_thread(write, producer, 99)
            unit = intake.take()
            assert unit is not None
            assert (unit.frame == 1).all()

    play(tmp_path, scenario)


def test_dropping_nothing_counts_nothing(tmp_path: Path) -> None:
    async def scenario(intake: Intake, _path: Path) -> None:
        intake.drop_oldest()
        assert intake.dropped == 0

    play(tmp_path, scenario)


def test_another_format_is_refused_and_both_are_named(tmp_path: Path) -> None:
    async def scenario(intake: Intake, path: Path) -> None:
        with pytest.raises(Refused, match=r"takes .*width=32.*, the source has .*width=64"):
            async with producing(path, replace(MEDIA, width=64)):
                pass
        assert not intake.connected

    play(tmp_path, scenario)


def test_one_producer_at_a_time(tmp_path: Path) -> None:
    async def scenario(intake: Intake, path: Path) -> None:
        async with producing(path) as first:
            with pytest.raises(Refused, match="has a source already"):
                async with producing(path):
                    pass
            await asyncio.to_thread(write, first, 1)  # the first one is not disturbed
            await until(lambda: intake.waiting == 1)
        await until(lambda: not intake.connected)
        async with producing(path):
            assert intake.connected

    play(tmp_path, scenario)


def test_what_was_sent_before_a_hang_up_is_still_shown(tmp_path: Path) -> None:
    async def scenario(intake: Intake, path: Path) -> None:
        async with producing(path) as producer:
            await asyncio.to_thread(write, producer, 7)
            await until(lambda: intake.waiting == 1)
        await until(lambda: not intake.connected)
        async with producing(path) as producer:
            await asyncio.to_thread(write, producer, 8)
            await until(lambda: intake.waiting == 2)
            for number in (7, 8):
                unit = intake.take()
                assert unit is not None
                assert (unit.frame == number).all()
                intake.release(unit)  # the owner of the first is gone: no error

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("pieces", "problem"),
    [
        ([b"GET / HTTP/1.1\r\n"], b"not one line of JSON"),
        ([b"[]\n"], b"not one line of JSON"),
        ([b"[" * 4000 + b"\n"], b"not one line of JSON"),
        ([b'{"lipstream":1}\n'], b"protocol 1: this side speaks 2"),
        ([b'{"lipstream":2,"width":320,"height":181,"fps":25}\n'], b"height is 181"),
        ([b"x" * MAX_HELLO_BYTES, b"x"], b"the greeting exceeds 4096 bytes"),
        ([b"x" * 3000, b"x" * 3000], b"the greeting exceeds 4096 bytes"),
    ],
)
def test_greetings_that_are_refused(tmp_path: Path, pieces: list[bytes], problem: bytes) -> None:
    async def scenario(intake: Intake, path: Path) -> None:
        answer = await greet(path, *pieces)
        assert b'"ok":false' in answer
        assert problem in answer
        assert not intake.connected
        async with producing(path):  # the next one is welcome
            assert intake.connected

    play(tmp_path, scenario)


def test_a_greeting_may_come_in_pieces(tmp_path: Path) -> None:
    async def scenario(intake: Intake, path: Path) -> None:
        _reader, writer = await asyncio.open_unix_connection(path)
        for byte in HELLO:
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        await until(lambda: intake.connected)
        writer.close()

    play(tmp_path, scenario)


def test_a_hang_up_during_the_greeting_is_no_source(tmp_path: Path) -> None:
    async def scenario(intake: Intake, path: Path) -> None:
        for piece in (b"", HELLO[:5]):
            link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            link.connect(str(path))
            link.send(piece)
            link.close()
        async with producing(path):
            assert intake.connected

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("slots", "waiting"),
    [
        pytest.param(bytes((SLOTS,)), 0, id="no such slot"),
        pytest.param(b"\xfe", 0, id="254"),
        pytest.param(b"\0\1\0", 2, id="a slot that waits already"),
        pytest.param(bytes(range(200)), SLOTS, id="200 slots"),
    ],
)
def test_a_producer_that_breaks_the_rules_is_hung_up_on(
    tmp_path: Path, slots: bytes, waiting: int
) -> None:
    async def scenario(intake: Intake, path: Path) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(HELLO)
        await reader.readline()
        writer.write(slots)
        assert await reader.read() == b""
        assert not intake.connected
        assert intake.waiting == waiting
        writer.close()

    play(tmp_path, scenario)


def test_the_socket_is_for_this_user_alone_and_replaces_an_old_one(tmp_path: Path) -> None:
    (tmp_path / "s.sock").write_text("left by a process that was killed")

    async def scenario(_intake: Intake, path: Path) -> None:
        assert path.stat().st_mode & 0o777 == 0o600
        async with producing(path):
            pass

    play(tmp_path, scenario)


def test_what_waits_can_be_taken_back_but_for_the_unit_that_is_next(tmp_path: Path) -> None:
    async def scenario(intake: Intake, path: Path) -> None:
        async with producing(path) as producer:
            for number in range(4):
                await asyncio.to_thread(write, producer, number)
            await until(lambda: intake.waiting == 4)
            assert await asyncio.to_thread(producer.recall) == 3
            assert intake.waiting == 1
            for number in range(10, 14):  # four slots are free again, and a fifth was never used
                await asyncio.to_thread(write, producer, number)
            await until(lambda: intake.waiting == SLOTS)
            units = [intake.take() for _ in range(SLOTS)]
            assert [int(u.frame[0, 0, 0]) for u in units if u] == [0, 10, 11, 12, 13]

    play(tmp_path, scenario)


@pytest.mark.parametrize("waiting", [0, 1])
def test_nothing_to_take_back(tmp_path: Path, waiting: int) -> None:
    async def scenario(intake: Intake, path: Path) -> None:
        async with producing(path) as producer:
            for number in range(waiting):
                await asyncio.to_thread(write, producer, number)
            await until(lambda: intake.waiting == waiting)
            assert await asyncio.to_thread(producer.recall) == 0
            assert intake.waiting == waiting

    play(tmp_path, scenario)


def test_marks_come_with_their_unit_or_with_the_next_that_is_fed(tmp_path: Path) -> None:
    async def scenario(intake: Intake, path: Path) -> None:
        told: list[tuple[int, int]] = []
        intake.on_mark = lambda mark, place: told.append((mark, place["unit"]))
        async with producing(path) as producer:
            for number, mark in enumerate((7, 0, 8, 9)):
                frame = np.full((16, 32, 3), number, np.uint8)
                samples = np.zeros((1920, 1), np.int16)
                await asyncio.to_thread(producer.write, frame, samples, mark)
            await until(lambda: intake.waiting == 4)
            for place in (100, 101):
                unit = intake.take()
                assert unit is not None
                intake.fed(unit, place)
            assert told == [(7, 100)]
            intake.drop_oldest()
            last = intake.take()
            assert last is not None
            intake.fed(last, 103)
            assert told == [(7, 100), (8, 103), (9, 103)]

    play(tmp_path, scenario)


class Exhausted(socket.socket):
    """A listener of a process without free descriptors; faults/test_places.py has a real one."""

    def accept(self) -> NoReturn:
        raise OSError(errno.EMFILE, "Too many open files")


def test_without_a_descriptor_a_source_waits_and_nothing_spins(tmp_path: Path) -> None:
    async def scenario(intake: Intake, path: Path) -> None:
        loop = asyncio.get_running_loop()
        assert intake._listener is not None
        intake._listener = Exhausted(fileno=intake._listener.detach())
        with socket.socket(socket.AF_UNIX) as source:
            source.setblocking(False)
            source.connect(str(path))
            source.send(HELLO)
            began = time.process_time()
            await asyncio.sleep(0.3)
            assert time.process_time() - began < 0.15
            assert not intake.connected
            intake._listener = socket.socket(fileno=intake._listener.detach())
            assert (await loop.sock_recv(source, MAX_HELLO_BYTES)).startswith(b'{"ok":true')
            assert intake.connected

    play(tmp_path, scenario)

"""Connections are shared out between the processes that listen on one socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.accepting import SLACK, Acceptor, Tally


def test_who_has_more_than_another_leaves_the_next_one_to_it() -> None:
    tally = Tally()
    assert not tally.has_too_many(1, 5000), "it is alone"
    tally.write(2, 0)
    assert not tally.has_too_many(1, SLACK)
    assert tally.has_too_many(1, SLACK + 1)
    tally.leave(2)
    assert not tally.has_too_many(1, 5000)


@given(st.lists(st.integers(0, 3), max_size=300))
def test_somebody_always_takes_it_and_none_gets_far_ahead(first_awake: list[int]) -> None:
    tally, counts = Tally(), [0, 0, 0, 0]
    for number in range(4):
        tally.write(number, 0)
    for first in first_awake:
        order = [(first + n) % 4 for n in range(4)]
        taker = next(n for n in order if not tally.has_too_many(n, counts[n]))
        counts[taker] += 1
    assert max(counts) - min(counts) <= SLACK + 1


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        opened.setblocking(False)
        yield opened


def test_a_connection_that_nobody_else_takes_is_taken(listener: socket.socket) -> None:
    asked: list[bool] = []

    def too_many_at_first() -> bool:
        asked.append(True)
        return len(asked) < 3

    async def connect() -> bytes:
        loop = asyncio.get_running_loop()
        acceptor = Acceptor(loop, listener, _Greeter, too_many_at_first, lambda: False, options={})
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        line = await asyncio.wait_for(reader.readline(), 5)
        acceptor.close()
        await acceptor.wait_closed()
        writer.close()
        return line

    assert asyncio.run(connect()) == b"hello\n"


def test_while_it_is_full_nobody_is_taken(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.accepting._RETRY_SECONDS", 0.02)
    full = [True]

    async def connect() -> bytes:
        loop = asyncio.get_running_loop()
        acceptor = Acceptor(loop, listener, _Greeter, lambda: False, lambda: full[0], options={})
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readline(), 0.1)
        full.clear()
        full.append(False)  # somebody left
        line = await asyncio.wait_for(reader.readline(), 5)
        acceptor.close()
        writer.close()
        return line

    assert asyncio.run(connect()) == b"hello\n"


def test_nothing_is_taken_after_its_end(listener: socket.socket) -> None:
    async def connect() -> None:
        loop = asyncio.get_running_loop()
        acceptor = Acceptor(loop, listener, _Greeter, lambda: True, lambda: False, options={})
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        await asyncio.sleep(0)
        acceptor.close()  # while it leaves the connection to another
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readline(), 0.05)
        writer.close()

    asyncio.run(connect())


class _Greeter(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello\n")

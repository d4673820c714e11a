"""Bodies that do not come: both ways of reading give up in time."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from werkzeug.exceptions import ClientDisconnected, RequestTimeout

from server.bodies import TIMED, ReceivedBody, timed


async def never() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


def messages(*pieces: bytes) -> Any:
    left = [
        {"type": "http.request", "body": piece, "more_body": at + 1 < len(pieces)}
        for at, piece in enumerate(pieces)
    ]

    async def receive() -> dict[str, Any]:
        return left.pop(0) if left else {"type": "http.disconnect"}

    return receive


async def read(receive: Any, seconds: float = 5.0) -> bytes:
    body = ReceivedBody(receive, asyncio.get_running_loop(), seconds)
    return await asyncio.to_thread(lambda: b"".join(iter(lambda: body.read(3) or b"", b"")))


def test_a_body_is_read_as_it_comes() -> None:
    assert asyncio.run(read(messages(b"abcd", b"", b"efghij", b""))) == b"abcdefghij"
    assert asyncio.run(read(messages(b""))) == b""


def test_a_body_that_does_not_come_is_given_up() -> None:
    with pytest.raises(RequestTimeout, match="did not come within"):
        asyncio.run(read(never, 0.05))


def test_a_body_that_comes_too_slowly_is_given_up() -> None:
    async def drip() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    with pytest.raises(RequestTimeout):
        asyncio.run(read(drip, 0.1))


def test_a_client_that_goes_away_ends_its_body() -> None:
    receive = messages(b"ab")

    async def cut() -> dict[str, Any]:
        message: dict[str, Any] = await receive()
        return message | {"more_body": True}

    with pytest.raises(ClientDisconnected):
        asyncio.run(read(cut))


def read_to_the_end(link: socket.socket, seconds: float) -> None:
    """As the application reads under gthread."""
    with timed({"gunicorn.socket": link}, seconds):
        while link.recv(10):
            pass
        raise ClientDisconnected


def test_a_body_that_stops_is_given_up_and_can_be_answered() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"a few bytes")
        with pytest.raises(RequestTimeout):
            read_to_the_end(ours, 0.05)
        ours.sendall(b"408")
        assert theirs.recv(10) == b"408"


def test_a_client_that_went_away_was_not_too_slow() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        with pytest.raises(ClientDisconnected):
            read_to_the_end(ours, 30)


@pytest.mark.parametrize("environ", [{}, {"gunicorn.socket": None}])
def test_what_the_loop_times_is_not_timed_twice(environ: dict[str, Any]) -> None:
    with pytest.raises(ClientDisconnected), timed(environ | {TIMED: True}, 0.0):
        raise ClientDisconnected

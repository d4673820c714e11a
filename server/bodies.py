"""Long request bodies, read as they come: never whole in memory, and not for ever.

Under the asgi worker the loop receives and a thread reads; under gthread the thread reads the
socket itself. Both have the same time for a whole body.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from werkzeug.exceptions import ClientDisconnected, RequestTimeout

from server.asgi import Environ, Receive

# 20 MB in two minutes are 1.3 Mbit/s: less than any phone has that can play a stream.
BODY_SECONDS = 120.0
# A client that is refused has so long to send the rest; less if nothing comes.
LINGER_SECONDS, IDLE_SECONDS = 20.0, 2.0
# Key in the environment: the loop receives this body, and sees to the time itself.
TIMED = "lipstream.timed_body"


class ReceivedBody(io.RawIOBase):
    """The body of an ASGI request as a file; read it in a thread.

    Args:
        receive: of the request.
        loop: in which it is called.
        seconds: for the whole body.
    """

    def __init__(
        self, receive: Receive, loop: asyncio.AbstractEventLoop, seconds: float = BODY_SECONDS
    ) -> None:
        self._receive, self._loop = receive, loop
        self._deadline = time.monotonic() + seconds
        self._rest = memoryview(b"")
        self._more = True

    @property
    def is_over(self) -> bool:
        """Whether all of it was received."""
        return not self._more

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # as it is called
        """Fill the buffer as far as one message reaches.

        Raises:
            RequestTimeout: the body did not come in time.
            ClientDisconnected: nothing comes any more.
        """
        while self._more and not self._rest:
            self._next_message()
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _next_message(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise _too_slow()
        waiting = asyncio.run_coroutine_threadsafe(self._message(), self._loop)
        try:
            body, self._more = waiting.result(left)
        except concurrent.futures.TimeoutError as error:
            waiting.cancel()
            raise _too_slow() from error
        self._rest = memoryview(body)

    async def _message(self) -> tuple[bytes, bool]:
        message = await self._receive()
        if message["type"] != "http.request":
            raise ClientDisconnected("the body ended early")
        return message.get("body", b""), message.get("more_body", False)


async def linger(receive: Receive) -> None:
    """Hear for a while what a client still sends after its answer, and forget it.

    Who answers early and then does not listen is not heard: over HTTP/1 the closed connection
    takes the answer with it, over HTTP/2 the client waits for room to go on sending.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            more = True
            while more:
                message = await asyncio.wait_for(receive(), IDLE_SECONDS)
                more = message.get("more_body", False)


@contextmanager
def timed(environ: Environ, seconds: float = BODY_SECONDS) -> Iterator[None]:
    """Within the block the body of this request ends when its time is over.

    Raises:
        RequestTimeout: it did.
    """
    connection = environ.get("gunicorn.socket")
    if connection is None or TIMED in environ:
        yield
        return
    ended = threading.Event()

    def end() -> None:
        ended.set()
        with suppress(OSError):  # it is closed already
            # Not SSLSocket's own, which would cut the answer off too.
            socket.socket.shutdown(connection, socket.SHUT_RD)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except ClientDisconnected as error:
        raise (_too_slow() if ended.is_set() else error) from error
    finally:
        timer.cancel()


def _too_slow() -> RequestTimeout:
    return RequestTimeout(f"the body did not come within {BODY_SECONDS:g} s; send a smaller file")
